"""A server whose recognition is a stand-in of known cost: to see what the rest costs, and that nothing is lost.

    python -m bench.stand_in serve              `lingting serve` with the same settings, without a model

Its text of a second of sound is the checksum of its samples, so that one sample lost, doubled or out of order shows in
the text. Every second takes a lane for `STAND_IN_SECONDS` (0 by default), in which the process sleeps;
`LINGTING_COMPUTE_THREADS` says how many lanes there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingting import service
from lingting.audio.gate import GateState
from lingting.audio.pcm import samples_to_pcm16
from lingting.audio.recording import Recording
from lingting.domain import SAMPLE_RATE, Account, RecognitionOptions, Samples, Sentence, Transcript, Word
from lingting.recognition.endpoint import EndpointConfig, EndpointerState
from lingting.recognition.events import Final, LiveEvent, SpeechStarted
from lingting.recognition.finals import Checkpoint
from lingting.settings import Settings

UNIT_BYTES = 2 * SAMPLE_RATE
_SILENT = GateState(0, 0, 0, b"", (False, 0, 0, 0, None, 0, 0.0, 0), ())


def expected(pcm: bytes) -> str:
    """The text of a stream of these samples."""
    return " ".join(_text(pcm[start : start + UNIT_BYTES]) for start in range(0, len(pcm), UNIT_BYTES))


def _text(pcm: bytes) -> str:
    return f"{zlib.crc32(pcm):08x}"


def _sentence(text: str, start: int, end: int) -> Sentence:
    """A sentence of one word between two samples."""
    times = start / SAMPLE_RATE, end / SAMPLE_RATE
    return Sentence(text, *times, (Word(text, *times),), "en")


class Lanes:
    """What computes: so many jobs at a time, each of so many seconds."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.queued = 0
        self._seconds = float(os.environ.get("STAND_IN_SECONDS", "0"))
        self._free = asyncio.Semaphore(lanes)

    async def work(self) -> None:
        """One job."""
        if not self._seconds:
            return
        self.queued += 1
        try:
            async with self._free:
                await asyncio.sleep(self._seconds)
        finally:
            self.queued -= 1

    @property
    def queued_by_kind(self) -> dict[str, int]:
        """Jobs that wait; all are alike."""
        return {"job": self.queued} if self.queued else {}

    def predicted_wait(self) -> float:
        """Seconds until a job that came now would begin."""
        return self.queued * self._seconds / self.lanes

    def live_lag(self) -> float:
        """How late text comes."""
        return self.predicted_wait()

    def stuck(self) -> int:
        """None hangs."""
        return 0


class Session:
    """One stream."""

    def __init__(self, lanes: Lanes) -> None:
        self.on_event: Callable[[LiveEvent], None] | None = None
        self.confirmed = ""
        self.checkpoint: Checkpoint | None = None
        self._lanes = lanes
        self._pcm = bytearray()
        self._heard = 0
        self._received = 0
        self._number = 0
        self._last: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def text(self) -> str:
        """All that is known: there are no guesses."""
        return self.confirmed

    @property
    def confirmed_seconds(self) -> float:
        """How much of the sound is final."""
        return self._heard / SAMPLE_RATE

    def require_room(self) -> None:
        """There is always room."""

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another session was."""
        self.checkpoint, self.confirmed = checkpoint, checkpoint.confirmed
        self._heard = self._received = checkpoint.samples
        self._number = checkpoint.finals

    def accept(self, samples: Samples | NDArray[np.int16]) -> None:
        """Take sound."""
        if not self._received:
            self._tell(SpeechStarted(0.0))
        self._received += len(samples)
        self._pcm += samples_to_pcm16(samples).tobytes()
        while len(self._pcm) >= UNIT_BYTES:
            self._begin(UNIT_BYTES)

    def flush(self) -> None:
        """End the unit that is open."""
        self._begin(len(self._pcm), flushed=True)

    async def finish(self) -> Transcript:
        """Everything that was accepted."""
        if self._pcm:
            self._begin(len(self._pcm))
        if self._last is not None:
            await self._last
        return Transcript(self.confirmed, self._received / SAMPLE_RATE, "en")

    def abort(self) -> None:
        """Drop everything."""
        self._closed = True

    def _begin(self, size: int, *, flushed: bool = False) -> None:
        unit = bytes(self._pcm[:size])
        del self._pcm[:size]
        self._last = asyncio.create_task(self._recognize(unit, self._last, flushed))

    async def _recognize(self, unit: bytes, before: asyncio.Task[None] | None, flushed: bool) -> None:
        await self._lanes.work()
        if before is not None:
            await before
        if self._closed:
            return
        start, self._heard = self._heard, self._heard + len(unit) // 2
        text = _text(unit) if unit else ""
        self.confirmed = " ".join(filter(None, (self.confirmed, text)))
        number, self._number = self._number, self._number + 1
        state = EndpointerState(_SILENT, None, 0, -1, self._heard, b"")
        self.checkpoint = Checkpoint(state, self.confirmed, self._heard, ("en",), self._number)
        sentences = (_sentence(text, start, self._heard),) if text else ()
        times = start / SAMPLE_RATE, self._heard / SAMPLE_RATE
        self._tell(Final(number, text, *times, sentences, "en", flushed=flushed))

    def _tell(self, event: LiveEvent) -> None:
        if self.on_event is not None and not self._closed:
            self.on_event(event)


class Recognizer:
    """Of recordings and streams."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def admit(self, account: Account) -> None:
        """Everything is taken."""

    def admit_live(self, account: Account, model: str = "") -> None:
        """Everything is taken."""

    def open_live(
        self,
        options: RecognitionOptions,
        account: Account,
        endpoint: EndpointConfig | None = None,
        *,
        again: bool = False,
    ) -> Session:
        """A stream."""
        return Session(self._lanes)

    async def recognize(self, recording: Recording, options: RecognitionOptions, account: Account) -> Transcript:
        """The whole text."""
        found = [sentence async for sentence in self.sentences(recording, options, account)]
        return Transcript(" ".join(each.text for each in found), recording.duration, "en", tuple(found))

    async def sentences(
        self, recording: Recording, options: RecognitionOptions, account: Account
    ) -> AsyncGenerator[Sentence, None]:
        """The text of each second."""
        for start in range(0, recording.size, SAMPLE_RATE):
            await self._lanes.work()
            end = min(start + SAMPLE_RATE, recording.size)
            pcm = samples_to_pcm16(recording.window(start, end)).tobytes()
            yield _sentence(_text(pcm), start, end)

    async def warm_up(self) -> None:
        """It is."""


class SelfCheck:
    """Always right."""

    age = 0.0

    async def start(self) -> None:
        """There is nothing to check."""

    async def stop(self) -> None:
        """There is nothing to stop."""


class Engines:
    """No models, and all of them."""

    restarts = 0

    def __init__(self) -> None:
        self.memory: dict[str, int] = {}

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Every model is there."""
        yield


class Recognition:
    """Stands for `lingting.service.Recognition`."""

    language_model = "off"

    def __init__(self, settings: Settings, *_: Any, **__: Any) -> None:
        self.scheduler = Lanes(settings.compute_threads or 1)
        self.recognizer = Recognizer(self.scheduler)
        self.self_check = SelfCheck()
        self.engines = Engines()

    def close(self) -> None:
        """Nothing is held."""


if __name__ == "__main__":
    from lingting import prepared
    from lingting.cli import main

    service.Recognition = Recognition  # type: ignore[assignment, misc]
    prepared.prepare = lambda settings, install: None
    sys.exit(main())
