"""One connection of a FunASR client: inputs one after another, each with its replies and one that is the last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from lingting.access.errors import LimitExceeded
from lingting.api.funasr import render
from lingting.api.funasr.parameters import Asked, changed
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.growing import Growing
from lingting.api.sockets.held import NOT_ALLOWED, OVERLOADED, RESTART, HeldSocket
from lingting.api.sockets.idle import Idle
from lingting.api.sockets.sound import Intake, Sound, SoundError, WavHead, is_wav
from lingting.api.sockets.speech import Speech
from lingting.api.sockets.turns import Turn, Turns
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, Seconds, Sentence
from lingting.errors import LingtingError, Overloaded
from lingting.recognition.events import Final, Guess, LiveEvent
from lingting.recognition.utterance import join_texts

_GOING_AWAY = 1001
_THREADED_BYTES = 65_536
_WAV_START = 12
_WINDOW = 5 * SAMPLE_RATE

Decode = Callable[[bytes, str], Awaitable[Recording]]
"""Makes a recording of a whole file of some kind; raises AudioError or Overloaded."""


class Input:
    """What a client sends until it says that it does not speak any more, and the replies to it. Event loop only.

    Args:
        caller: who speaks.
        decode: for files.
        reply: sends a reply, when it is this input's turn.

    Attributes:
        asked: what the client wants of it.
        speech: what is said in it.
        ending: whether no more sound comes to it.
    """

    def __init__(self, caller: Caller, decode: Decode, reply: Callable[[dict[str, Any]], None]) -> None:
        self.asked = Asked()
        self.speech = Speech(caller, self._heard)
        self._caller = caller
        self._decode = decode
        self._reply = reply
        self._intake: Intake | None = None
        self._header: WavHead | None = None
        self._file = bytearray()
        self._growing = Growing()
        self._said = ""
        self._sentences: list[Sentence] = []
        self._owed: dict[str, Any] | None = None
        self.ending = False
        self._failed = False

    async def take(self, data: bytes) -> None:
        """Take sound.

        Raises:
            SoundError: it is not what the client says that it is.
            Overloaded, LimitExceeded: it cannot be taken now.
        """
        if self._header is None and self._intake is None and not self._file:
            self._begin(data)
        if self._header is not None:
            samples = self._header.take(data)
            if samples is None or self._header.sound is None:
                return
            self._intake, self._header, data = Intake(self._header.sound), None, samples
        if self._intake is None:
            self._file += data
            if len(self._file) > self._caller.settings.flash_max_bytes:
                raise SoundError(f"the file is over the limit of {self._caller.settings.flash_max_bytes} bytes")
            return
        take = self._intake.take
        await self.speech.take(take(data) if len(data) <= _THREADED_BYTES else await asyncio.to_thread(take, data))

    async def finish(self) -> dict[str, Any]:
        """The last reply, once `ending` is set."""
        error = ""
        try:
            if self._file:
                self._configure()
                with await self._decode(bytes(self._file), self.asked.container) as recording:
                    for start in range(0, recording.size, _WINDOW):
                        await self.speech.take(recording.window(start, start + _WINDOW))
            if self._intake is not None:
                self.speech.accept(self._intake.finish())
        except (LingtingError, SoundError) as known:
            error = str(known)
        await self.speech.finish()
        last = self._last()
        if not error and self._failed and not last["text"]:
            error = "the recognition failed; send the input again"
        return last | {"is_final": True} | ({"error": error} if error else {})

    def _begin(self, data: bytes) -> None:
        """Decide by the first bytes what the sound is: some clients send a WAV file and call it PCM."""
        self._configure()
        if len(data) > _WAV_START and is_wav(data):
            self._header = WavHead()
        elif not self.asked.container:
            self._intake = Intake(Sound(self.asked.rate))

    def _configure(self) -> None:
        self.speech.configure(self.asked.options(self._caller.settings, self._caller.hot_words))

    def _heard(self, event: LiveEvent) -> None:
        match event:
            case Guess(text):
                self._grow(self._growing.guess(self._joined(text)))
            case Final():
                self._failed = self._failed or event.failed
                self._final(event)

    def _final(self, final: Final) -> None:
        joined = self._joined(final.text)
        if self.asked.mode == "online":
            self._grow(self._growing.final(joined))
        self._growing = Growing()
        if not final.text:
            return
        self._said += joined
        if self.asked.mode == "offline":
            self._sentences += final.sentences
        elif self.asked.mode == "2pass":
            self._send_owed()
            self._owed = render.reply("2pass-offline", joined, self.asked.name) | render.times(final.sentences)
            if not self.ending:
                self._send_owed()

    def _send_owed(self) -> None:
        """Send the sentence that was kept back in case it would be the last."""
        if self._owed is not None:
            self._reply(self._owed)
            self._owed = None

    def _grow(self, piece: str) -> None:
        if piece and self.asked.mode != "offline":
            self._send_owed()
            self._reply(render.reply("2pass-online", piece, self.asked.name))

    def _joined(self, text: str) -> str:
        """A piece with the space before it that its place behind the others needs: clients put nothing between."""
        return join_texts(self._said, text)[len(self._said) :]

    def _last(self) -> dict[str, Any]:
        match self.asked.mode:
            case "2pass":
                return self._owed or render.reply("2pass-offline", "", self.asked.name)
            case "online":
                return render.reply("2pass-online", "", self.asked.name)
            case "offline":
                return render.reply("offline", self._said, self.asked.name) | render.times(self._sentences)


class Conversation:
    """One connection. Event loop only.

    Args:
        socket: the connection.
        caller: who speaks.
        decode: for files.
    """

    def __init__(self, socket: HeldSocket, caller: Caller, decode: Decode) -> None:
        self._socket = socket
        self._caller = caller
        self._decode = decode
        self._turns: Turns[dict[str, Any]] = Turns(socket.send, self._all_answered)
        self._inputs: dict[Input, Turn[dict[str, Any]]] = {}
        self._asked = Asked()
        self._answered = self._leaving = False
        self._idle = Idle(caller.settings.stream_idle_seconds, self._starved, self._owes)
        self._taken: Seconds = 0.0

    @property
    def duration(self) -> Seconds:
        """Seconds of sound that were taken."""
        return self._taken + sum(each.speech.duration for each in self._inputs)

    async def run(self) -> None:
        """Answer the client until the connection ends."""
        try:
            async for message in self._socket.messages():
                self._idle.seen()
                if isinstance(message, str):
                    self._control(message)
                elif message:
                    await self._sound(message)
        finally:
            self._idle.stop()
            for each in self._inputs:
                each.speech.abort()

    def leave(self) -> None:
        """End the connection because the server stops: what was said is recognised first."""
        if (current := self._current()) is not None:
            self._end(current, is_end=False)
        self._leaving = True
        self._turns.deliver()

    def _control(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            return
        if not isinstance(message, dict):
            return
        self._asked = changed(self._asked, message)
        current = self._current()
        if current is not None:
            current.asked = self._asked
        if message.get("is_speaking") is not False and message.get("is_finished") is not True:
            self._answered = False
        elif not self._answered:
            self._end(current or self._new_input(), is_end=message.get("is_end") is True)

    async def _sound(self, data: bytes) -> None:
        self._answered = False
        current = self._current() or self._new_input()
        try:
            await current.take(data)
        except (SoundError, Overloaded, LimitExceeded) as error:
            last = render.reply(self._asked.mode, "", self._asked.name, is_final=True)
            self._socket.send(last | {"error": str(error)})
            self._socket.close(OVERLOADED if isinstance(error, Overloaded) else NOT_ALLOWED, str(error))
        else:
            if current.speech.duration > self._caller.settings.stream_max_seconds:
                self._end(current, is_end=False)

    def _end(self, ended: Input, *, is_end: bool) -> None:
        """No more sound comes to an input; its last reply follows."""
        self._answered = ended.ending = True
        self._socket.spawn(self._finish(ended, is_end=is_end))

    async def _finish(self, ended: Input, *, is_end: bool) -> None:
        last = await ended.finish()
        turn = self._inputs.pop(ended)
        self._taken += ended.speech.duration
        turn.say(last | ({"is_end": True} if is_end else {}))
        turn.end()

    def _all_answered(self) -> None:
        if self._leaving:
            self._socket.close(RESTART, "the server is restarting")

    def _current(self) -> Input | None:
        """The input that sound comes to."""
        latest = next(reversed(self._inputs), None)
        return None if latest is None or latest.ending else latest

    def _new_input(self) -> Input:
        turn = self._turns.new()
        made = Input(self._caller, self._decode, turn.say)
        made.asked = self._asked
        self._inputs[made] = turn
        return made

    def _owes(self) -> bool:
        """Whether an input has ended whose last reply is not sent yet."""
        return any(each.ending for each in self._inputs)

    def _starved(self) -> None:
        self._socket.close(_GOING_AWAY, "nothing has come for too long")
