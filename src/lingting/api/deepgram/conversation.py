"""One live connection of Deepgram's interface: sound and control messages in, results out."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec

from lingting.access.errors import LimitExceeded
from lingting.api.deepgram import render
from lingting.api.deepgram.incoming import Incoming, OpenFile
from lingting.api.deepgram.parameters import Query, hot_words
from lingting.api.deepgram.render import Names
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.held import NOT_ALLOWED, OVERLOADED, RESTART, HeldSocket
from lingting.api.sockets.idle import Idle
from lingting.api.sockets.sound import SoundError
from lingting.api.sockets.speech import Speech
from lingting.domain import Samples, Seconds
from lingting.errors import AudioError, Overloaded
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped

_NO_AUDIO = 1011


class Conversation:
    """One connection. Event loop only.

    Args:
        socket: the connection.
        caller: who speaks.
        query: what is asked for.
        names: what all messages repeat.
        open_file: decodes what is neither raw nor a plain WAV file.
    """

    def __init__(self, socket: HeldSocket, caller: Caller, query: Query, names: Names, open_file: OpenFile) -> None:
        settings = caller.settings
        self._socket = socket
        self._settings = settings
        self._own_words = caller.hot_words
        self._query = query
        self._names = names
        self._speech = Speech(caller, self._heard)
        self._speech.configure(query.options(settings, self._own_words))
        self._incoming = Incoming(query.sound, open_file)
        self._hearing = asyncio.Lock()
        self._digest = hashlib.sha256()
        self._idle = Idle(settings.stream_idle_seconds, self._starved, lambda: self._ending)
        self._ending = False
        self._final_until: Seconds = 0.0
        self._speaking = False
        self._last_word: Seconds | None = None

    @property
    def duration(self) -> Seconds:
        """Seconds of sound that were taken."""
        return self._speech.duration

    async def run(self) -> None:
        """Answer the client until the connection ends."""
        try:
            async with self._incoming:
                async for message in self._socket.messages():
                    self._idle.seen()
                    if self._ending:
                        continue
                    if isinstance(message, str):
                        self._control(message)
                    elif message:
                        await self._take(message)
                    else:
                        self._end()
        finally:
            self._idle.stop()
            self._speech.abort()

    def leave(self) -> None:
        """End the connection because the server stops: what was said is recognised first."""
        self._end(RESTART, "the server is restarting")

    # -- what the client says -----------------------------------------------------------------------------------------

    async def _take(self, data: bytes) -> None:
        self._digest.update(data)
        await self._hear(self._incoming.take(data))
        if self._speech.duration >= self._settings.stream_max_seconds:
            self._end()
        self._report_gap()

    async def _hear(self, sound: AsyncIterator[Samples]) -> bool:
        """Recognise samples as they come of the sound; False where it ends the connection.

        A stop of the server may end the sound while some of it is still being taken.
        """
        try:
            async with self._hearing:
                async for samples in sound:
                    await self._speech.take(samples)
        except (SoundError, AudioError) as error:
            words = {"description": f"DATA-0000: {error}", "message": str(error)}
            self._socket.send({"type": "Error", "variant": "DataError", **words})
            self._socket.close(NOT_ALLOWED, "DATA-0000")
        except (Overloaded, LimitExceeded) as error:
            self._refuse(error)
        else:
            return True
        return False

    def _refuse(self, error: Overloaded | LimitExceeded) -> None:
        busy = isinstance(error, Overloaded)
        words = {"description": str(error), "message": str(error)}
        self._socket.send({"type": "Error", "variant": "Overloaded" if busy else "LimitExceeded", **words})
        if busy:
            self._socket.close(OVERLOADED, "the server is too busy")
        else:
            self._socket.close(NOT_ALLOWED, "the tenant has no audio left")

    def _control(self, text: str) -> None:
        try:
            message = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            message = None
        kind = message.get("type") if isinstance(message, dict) else None
        match kind:
            case "KeepAlive":
                pass
            case "Finalize":
                self._take_rest()
                self._speech.flush()
            case "CloseStream":
                self._end()
            case "Configure":
                self._configure(message)
            case _:
                what = "send JSON objects of type KeepAlive, Finalize, CloseStream or Configure, and sound as bytes"
                self._socket.send({"type": "Error", "variant": "SchemaError", "description": what, "message": what})

    def _configure(self, message: dict[str, Any]) -> None:
        keyterms = message.get("keyterms")
        names = {"request_id": self._names.request_id}
        if keyterms is None:
            self._socket.send({"type": "ConfigureSuccess", **names})
            return
        if not isinstance(keyterms, list) or not all(isinstance(term, str) for term in keyterms):
            failure = {"code": "CONFIGURE_INTERNAL_ERROR", "description": "keyterms must be a list of strings"}
            self._socket.send({"type": "ConfigureFailure", **names, **failure})
            return
        self._take_rest()
        self._query = replace(self._query, hot_words=hot_words(keyterms))
        self._speech.configure(self._query.options(self._settings, self._own_words))
        self._socket.send({"type": "ConfigureSuccess", **names, "keyterms": list(self._query.hot_words)})

    def _take_rest(self) -> None:
        """Take what a resampler still holds."""
        try:
            self._speech.accept(self._incoming.pause())
        except Overloaded as error:
            self._refuse(error)

    def _end(self, code: int = 1000, reason: str = "") -> None:
        """No more sound comes: what is left is recognised, then the connection closes."""
        if not self._ending:
            self._ending = True
            self._socket.spawn(self._finish(code, reason))

    async def _finish(self, code: int, reason: str) -> None:
        if not await self._hear(self._incoming.finish()):
            return
        await self._speech.finish()
        self._report_gap()
        summary = self._names.summary(self._digest.hexdigest(), self._speech.duration)
        self._socket.send({"type": "Metadata", **summary})
        self._socket.close(code, reason)

    def _starved(self) -> None:
        """Neither sound nor a message has come for too long."""
        self._socket.close(_NO_AUDIO, "NET-0001")

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _heard(self, event: LiveEvent) -> None:
        match event:
            case SpeechStarted(at):
                self._speaking, self._last_word = True, None
                if self._query.vad_events:
                    self._socket.send({"type": "SpeechStarted", "channel": [0], "timestamp": round(at, 3)})
            case SpeechStopped():
                self._speaking = False
            case Guess(text) if text and self._query.interim:
                said = render.guessed(text, self._query)
                self._results(max(self._final_until, self._speech.duration), said, is_final=False)
            case Final():
                self._final(event)

    def _final(self, final: Final) -> None:
        said = render.alternative(final.text, final.sentences, self._query, final.language)
        ends = not (final.cut or final.flushed or self._query.endpointing == math.inf)
        end = max(self._final_until, final.end)
        self._results(end, said, is_final=True, speech_final=ends, from_finalize=final.flushed)
        self._final_until = end
        if said["words"]:
            self._last_word = said["words"][-1]["end"]
        self._report_gap()

    def _report_gap(self) -> None:
        """Say that nobody has spoken for as long as the client asked about, once for each gap."""
        gap = self._query.utterance_end
        if gap is None or self._last_word is None or self._speaking:
            return
        if self._speech.duration - self._last_word >= gap:
            end = {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": self._last_word}
            self._socket.send(end)
            self._last_word = None

    def _results(self, end: Seconds, alternative: dict[str, Any], **named: bool) -> None:
        self._socket.send(render.results(self._names, self._final_until, end, alternative, **named))
