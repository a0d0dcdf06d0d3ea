"""One-shot recognition: a whole recording in, its transcript out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from functools import partial

import numpy as np

from lingting.audio.gate import GateConfig, Span, audible, speech_spans, voiced
from lingting.audio.segments import Segment, utterances
from lingting.audio.voice import VoiceDetector
from lingting.domain import (
    SAMPLE_RATE,
    RawWord,
    RecognitionOptions,
    Samples,
    Seconds,
    Sentence,
    Transcript,
)
from lingting.errors import Overloaded
from lingting.recognition.batcher import Batcher, Job, Kind, Recognised
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.utterance import Writing, transcript

_SHORT: Seconds = 60.0
"""Recordings up to this long have callers that wait; longer ones are bulk."""
_AHEAD = 2
"""Utterances of one recording that wait for each worker, so that recordings take turns."""


class Recognizer:
    """Recognises recordings and opens live sessions. Use from one event loop.

    Args:
        batcher: owner of compute.
        detector: voice activity.
        writing: how text is written.
        live: rules of live sessions.
        pool: threads for voice activity and text rules.
        max_wait: new recordings are refused when the predicted wait is longer than this.
    """

    def __init__(
        self,
        batcher: Batcher,
        *,
        detector: VoiceDetector,
        writing: Writing,
        live: LiveConfig,
        pool: Executor,
        gate: GateConfig | None = None,
        max_wait: Seconds = 30.0,
    ) -> None:
        self._batcher = batcher
        self._detector = detector
        self._writing = writing
        self._live = live
        self._pool = pool
        self._gate = gate or GateConfig()
        self._max_wait = max_wait

    async def recognize(self, samples: Samples, options: RecognitionOptions | None = None) -> Transcript:
        """Transcribe a recording.

        Args:
            samples: shape (n,), float32 at 16 kHz.

        Raises:
            Overloaded: the predicted wait is over the limit; nothing was begun.
            RecognitionFailed: the engine failed.
        """
        options = options or RecognitionOptions()
        sentences = [sentence async for sentence in self.sentences(samples, options)]
        return transcript(sentences, len(samples) / SAMPLE_RATE)

    async def sentences(self, samples: Samples, options: RecognitionOptions) -> AsyncIterator[Sentence]:
        """The sentences of a recording, in order, each as soon as it is known.

        Raises: as `recognize`.
        """
        wait = self._batcher.predicted_wait()
        if wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {wait:.0f} s; try again later", retry_after=wait - self._max_wait)
        loop = asyncio.get_running_loop()
        duration = len(samples) / SAMPLE_RATE
        heard, segments = await loop.run_in_executor(self._pool, self._segment, samples)
        speech = [(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in heard]
        kind = Kind.FILE if duration <= _SHORT else Kind.BULK
        write = partial(self._writing.sentences, options=options, speech=speech, duration=duration)
        held: list[RawWord] = []
        language = self._writing.language or options.language or "zh"
        async for segment, recognised in self._in_order(samples, segments, kind, options):
            if recognised is None:
                continue
            words = self._writing.words(recognised, segment.start / SAMPLE_RATE)
            if not words:
                continue
            if held and (recognised.language != language or words[0].start - held[-1].end > _RUN_ON):
                for sentence in await loop.run_in_executor(self._pool, partial(write, held, language)):
                    yield sentence
                held = []
            language = recognised.language
            held += words
        if held:
            for sentence in await loop.run_in_executor(self._pool, partial(write, held, language)):
                yield sentence

    def open_live(self, options: RecognitionOptions | None = None) -> LiveSession:
        """Begin to recognise a stream.

        Raises:
            Overloaded: the server is too busy for another stream.
        """
        wait = self._batcher.predicted_wait()
        if wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {wait:.0f} s; try again later", retry_after=wait - self._max_wait)
        return LiveSession(
            self._batcher,
            detector=self._detector,
            writing=self._writing,
            config=self._live,
            pool=self._pool,
            options=options or RecognitionOptions(),
        )

    async def warm_up(self) -> None:
        """Recognise half a second of a hum, so that the first caller doesn't pay for what is loaded on first use.

        Raises:
            RecognitionFailed: the engine doesn't work.
        """
        hum = np.sin(np.arange(SAMPLE_RATE // 2, dtype=np.float32) * 0.1) * np.float32(0.1)
        await asyncio.get_running_loop().run_in_executor(self._pool, self._segment, hum)
        await self._submit(hum, Kind.FILE, RecognitionOptions())

    def _segment(self, samples: Samples) -> tuple[list[Span], list[Segment]]:
        """Where somebody is heard, without padding, and the segments to recognise."""
        probabilities = self._detector.judge(samples)
        spans = speech_spans(samples, probabilities, self._gate)
        loud = audible(samples, probabilities, self._gate)
        heard = [part for span in spans for part in voiced(loud, 0, span.start, span.end, self._gate)]
        return heard, utterances(samples, probabilities, spans)

    async def _in_order(
        self, samples: Samples, segments: list[Segment], kind: Kind, options: RecognitionOptions
    ) -> AsyncIterator[tuple[Segment, Recognised | None]]:
        ahead = _AHEAD * self._batcher.workers
        waiting: deque[tuple[Segment, asyncio.Future[Recognised | None]]] = deque()
        remaining = deque(segments)
        try:
            while remaining or waiting:
                while remaining and len(waiting) < ahead:
                    segment = remaining.popleft()
                    waiting.append((segment, self._submit(samples[segment.start : segment.end], kind, options)))
                segment, future = waiting.popleft()
                try:
                    yield segment, await future
                except asyncio.CancelledError:
                    future.cancel()
                    raise
        finally:
            for _, future in waiting:
                future.cancel()

    def _submit(self, samples: Samples, kind: Kind, options: RecognitionOptions) -> asyncio.Future[Recognised | None]:
        job = Job(
            audio=lambda: samples,
            kind=kind,
            language=options.language or self._writing.language,
            context=self._writing.context(options),
            choose=self._writing.chooser(options),
        )
        return asyncio.wrap_future(self._batcher.submit(job))


_RUN_ON: Seconds = 0.6
"""Utterances closer than this may share a sentence; a longer silence ends it."""
