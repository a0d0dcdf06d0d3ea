"""A live session without a model: what is not silent is speech, and every tenth of a second of it is a unit of text."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples, Sentence, Transcript, Word
from lingting.errors import RecognitionFailed, StreamBehind
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped

CHINESE = "今天我们开会讨论下一步的计划和安排"
ENGLISH = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"]
UNIT = SAMPLE_RATE // 10
_FRAME = SAMPLE_RATE // 100
_SILENCE = 0.6
_LONGEST = 20.0


def words(units: int, language: str) -> list[str]:
    """The units of so much speech."""
    if language == "en":
        return [("" if not index else " ") + ENGLISH[index % len(ENGLISH)] for index in range(units)]
    return [CHINESE[index % len(CHINESE)] for index in range(units)]


class FakeLive:
    """Counts what it hears; its events come on the event loop, and finals only while `released` is set."""

    def __init__(
        self,
        options: RecognitionOptions,
        endpoint: EndpointConfig | None,
        released: asyncio.Event,
        *,
        most_seconds: float = 1e9,
    ) -> None:
        self.options = options
        self.endpoint = endpoint
        self.on_event: Callable[[LiveEvent], None] | None = None
        self.error: Exception | None = None
        self.aborted = False
        self._released = released
        self._most = most_seconds * SAMPLE_RATE
        self._position = self._start = self._voiced = self._last_voice = self._number = 0
        self._speaking = False
        self._rest = np.empty(0, np.float32)
        self._queue: deque[LiveEvent] = deque()
        self._empty = asyncio.Event()
        self._empty.set()
        self._pump: asyncio.Task[None] | None = None

    def require_room(self) -> None:
        if self._position > self._most:
            self._most *= 2
            raise StreamBehind("too much sound waits", retry_after=0.01)

    def accept(self, samples: Samples) -> None:
        samples = np.concatenate((self._rest, samples))
        whole = len(samples) - len(samples) % _FRAME
        self._rest = samples[whole:]
        for first in range(0, whole, _FRAME):
            self._frame(bool(np.abs(samples[first : first + _FRAME]).max() > 0.001))

    def flush(self) -> None:
        self._end(flushed=True)

    async def finish(self) -> Transcript:
        if self._speaking:
            self._end()
        while self._queue:
            self._empty.clear()
            await self._empty.wait()
        if self.error is not None:
            raise RecognitionFailed("broken") from self.error
        return Transcript("", self._position / SAMPLE_RATE)

    def abort(self) -> None:
        self.aborted = True
        self._queue.clear()
        if self._pump is not None:
            self._pump.cancel()

    def _frame(self, voiced: bool) -> None:
        endpoint = self.endpoint
        silence = endpoint.silence if endpoint else _SILENCE
        longest = endpoint.longest if endpoint else _LONGEST
        if voiced and not self._speaking:
            self._speaking, self._start, self._voiced = True, self._position, 0
            self._emit(SpeechStarted(self._start / SAMPLE_RATE))
        self._position += _FRAME
        if voiced:
            self._voiced += _FRAME
            self._last_voice = self._position
            if self._voiced % UNIT == 0:
                self._emit(Guess("".join(words(self._voiced // UNIT, self._language))))
        elif self._speaking and self._position - self._last_voice >= silence * SAMPLE_RATE:
            self._end()
        if self._speaking and self._position - self._start >= longest * SAMPLE_RATE:
            self._final(cut=True)
            self._start, self._voiced = self._position, 0

    @property
    def _language(self) -> str:
        return self.options.language or "zh"

    def _end(self, *, flushed: bool = False) -> None:
        if self._speaking:
            self._emit(SpeechStopped(self._position / SAMPLE_RATE))
        else:
            self._start, self._voiced = self._position, 0
        self._speaking = False
        self._final(flushed=flushed)

    def _final(self, *, flushed: bool = False, cut: bool = False) -> None:
        language = "en" if self._language == "en" else "zh"
        units = words(self._voiced // UNIT, language)
        text = "".join(units) + ("" if not units or cut else "." if language == "en" else "。")
        start, end = self._start / SAMPLE_RATE, self._position / SAMPLE_RATE
        timed = tuple(
            Word(unit.strip(), start + 0.1 * index, start + 0.1 * (index + 1), 0.9) for index, unit in enumerate(units)
        )
        sentences = (Sentence(text, start, end, timed, language),) if units else ()  # type: ignore[arg-type]
        failed = self.error is not None
        self._emit(
            Final(self._number, "" if failed else text, start, end, sentences, language, cut, flushed, failed)  # type: ignore[arg-type]
        )
        self._number += 1

    def _emit(self, event: LiveEvent) -> None:
        self._queue.append(event)
        if self._pump is None:
            self._pump = asyncio.get_running_loop().create_task(self._deliver())

    async def _deliver(self) -> None:
        while self._queue:
            if isinstance(self._queue[0], Final):
                await self._released.wait()
            else:
                await asyncio.sleep(0)
            event = self._queue.popleft()
            if self.on_event is not None:
                self.on_event(event)
        self._pump = None
        self._empty.set()
