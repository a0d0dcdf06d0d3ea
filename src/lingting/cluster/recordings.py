"""Recordings that this door has decoded, recognised in the home where they wait least."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from lingting import log_ids
from lingting.audio.pcm import samples_to_pcm16
from lingting.audio.recording import Recording
from lingting.cluster.directory import HomeState
from lingting.cluster.failures import raised
from lingting.cluster.handshake import LinkError
from lingting.cluster.homes import Homes
from lingting.cluster.link import Call
from lingting.cluster.messages import CHUNK_BYTES, Done, Failure, Message, More, Recognize, Sound, Told
from lingting.domain import Account, RecognitionOptions, Sentence, Transcript
from lingting.errors import NoSpeakers, Overloaded, RecognitionFailed
from lingting.operations import traces
from lingting.recognition.utterance import transcript

_AHEAD = 4
"""Pieces that are sent before the home has asked for another."""
_TRIES = 3

log = logging.getLogger(__name__)


class RemoteRecognizer:
    """Stands where `Recognizer` does in the server of a single machine. Event loop only.

    Args:
        homes: recognise.
        max_wait: new recordings are refused when they would wait longer than this everywhere.
        speakers: whether homes tell speakers apart.
    """

    def __init__(self, homes: Homes, max_wait: float, *, speakers: bool = False) -> None:
        self._homes = homes
        self._speakers = speakers
        self._max_wait = max_wait

    @property
    def wait(self) -> float:
        """Seconds that a recording would wait in the home where it waits least; 0 where there is none."""
        return min((home.wait for home in self._homes.states), default=0.0)

    def admit(self, account: Account) -> None:
        """Pass while a home takes recordings; raises Overloaded."""
        self.admit_live(account)
        if self.wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {self.wait:.0f} s; try again later", self.wait - self._max_wait)

    def admit_live(self, account: Account, model: str = "") -> None:
        """Pass while there is a home, which decides for itself; raises Overloaded."""
        if not len(self._homes):
            raise Overloaded("no home of the cluster is there; try again shortly", 1.0)

    def require_speakers(self, seconds: float = 0.0) -> None:
        """Pass where the settings name models for speakers; a home says whether a recording is too long for them.

        Raises:
            NoSpeakers: they name none.
        """
        if not self._speakers:
            raise NoSpeakers("this server does not tell speakers apart; its operator sets LINGTING_SPEAKER_MODEL")

    async def recognize(self, recording: Recording, options: RecognitionOptions, account: Account) -> Transcript:
        """The transcript; raises as `sentences`."""
        found = [sentence async for sentence in self.sentences(recording, options, account)]
        return transcript(found, recording.duration, recording.warning)

    async def sentences(
        self, recording: Recording, options: RecognitionOptions, account: Account
    ) -> AsyncGenerator[Sentence, None]:
        """The sentences in order, each as soon as it is known. When the home is gone another one begins anew, and what
        was told is not told again.

        Raises:
            Overloaded: no home takes it.
            RecognitionFailed: the engine failed, or homes went away again and again.
        """
        told, avoid = 0, set[str]()
        for _ in range(_TRIES):
            home = self._homes.least_wait(avoid)
            try:
                async with aclosing(self._at(home, recording, options, account)) as sentences:
                    number = 0
                    async for sentence in sentences:
                        number += 1
                        if number > told:
                            told = number
                            yield sentence
                return
            except LinkError as error:
                self._homes.distrust(home.address, error)
                log.info("a recording begins anew in another home: %s", error)
            avoid.add(home.id)
        raise RecognitionFailed("the homes that recognised this recording went away; send it again")

    async def _at(
        self, home: HomeState, recording: Recording, options: RecognitionOptions, account: Account
    ) -> AsyncGenerator[Sentence, None]:
        link = await self._homes.link(home.address, home.id)
        call = link.begin()
        heard: asyncio.Queue[Message | BaseException] = asyncio.Queue()
        room = asyncio.Semaphore(_AHEAD)

        def take(message: Message) -> None:
            if isinstance(message, More):
                room.release()
            else:
                heard.put_nowait(message)

        call.on_message, call.on_lost = take, heard.put_nowait
        call.send(Recognize(call.number, account, options, recording.size, log_ids.current(), traces.here()))
        sending = asyncio.create_task(_send(call, recording, room))
        sending.add_done_callback(lambda task: _sent(task, heard))
        try:
            while True:
                message = await heard.get()
                match message:
                    case Told(sentence=sentence):
                        yield sentence
                    case Done():
                        return
                    case Failure():
                        raise raised(message)
                    case BaseException():
                        raise message
        finally:
            sending.cancel()
            call.cancel()


async def _send(call: Call, recording: Recording, room: asyncio.Semaphore) -> None:
    step = CHUNK_BYTES // 2
    for start in range(0, recording.size, step):
        await room.acquire()
        piece = await asyncio.to_thread(_piece, recording, start, start + step)
        call.send(Sound(call.number, piece))


def _piece(recording: Recording, start: int, end: int) -> bytes:
    return samples_to_pcm16(recording.window(start, end)).tobytes()


def _sent(task: asyncio.Task[None], heard: asyncio.Queue[Message | BaseException]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        heard.put_nowait(error)
