"""One-shot recognition: a whole recording in, its transcript out."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, aclosing
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TypeAlias

import numpy as np

from lingting.audio.gate import GateConfig
from lingting.audio.recording import Recording
from lingting.audio.voice import VoiceDetector
from lingting.domain import (
    SAMPLE_RATE,
    Account,
    RawWord,
    RecognitionOptions,
    Samples,
    Seconds,
    Sentence,
    Transcript,
)
from lingting.errors import NoSpeakers, Overloaded
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.engine import Heard, OfflineEngine, Request
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.observer import NOBODY, Observer
from lingting.recognition.openings import SHOWS_AFTER, Openings
from lingting.recognition.partials import LiveEngines
from lingting.recognition.reading import in_order, segments
from lingting.recognition.scheduler import Scheduler, Task
from lingting.recognition.speakers import SpeakerEngine, spoken_by
from lingting.recognition.utterance import Writing, transcript

Hold: TypeAlias = Callable[[str], AbstractContextManager[LiveEngines]]
"""The engines of a model, empty for the default one, while they are used; raises ModelLoading or UnknownModel."""

LONGEST_WITH_SPEAKERS: Seconds = 3600.0
"""Speakers are told apart over a recording as a whole, which has to be in memory for that."""

_SHORT: Seconds = 60.0
"""Recordings up to this long have callers that wait; longer ones are bulk."""
_SHORT_WITHIN: Seconds = 2.0
_LONG_WITHIN: Seconds = 4.0
_AHEAD = 2
"""Utterances of one recording that wait for each worker, so that recordings take turns."""


class Recognizer:
    """Recognises recordings and opens live sessions. Use from one event loop.

    Args:
        scheduler: owner of compute.
        hold: gives the engines of a model by name; recordings take the one for final text.
        speakers: tells the speakers of a recording apart; None where no models for that are there.
        detector: voice activity.
        writing: how text is written.
        live: rules of live sessions.
        listeners: threads for voice activity of live sessions.
        readers: threads for voice activity of recordings.
        writers: threads for text rules.
        max_wait: new recordings are refused when the predicted wait is longer than this.
        observer: is told what recognition does.
        max_lag: new live sessions are refused while live text comes later than this behind its sound, or would.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        hold: Hold,
        *,
        speakers: SpeakerEngine | None = None,
        detector: VoiceDetector,
        writing: Writing,
        live: LiveConfig,
        listeners: Executor,
        readers: Executor,
        writers: Executor,
        gate: GateConfig | None = None,
        max_wait: Seconds = 30.0,
        max_lag: Seconds = 2.5,
        observer: Observer = NOBODY,
    ) -> None:
        self._observer = observer
        self._scheduler = scheduler
        self._hold = hold
        self._speakers = speakers
        self._detector = detector
        self._writing = writing
        self._live = live
        self._listeners = listeners
        self._readers = readers
        self._writers = writers
        self._gate = gate or GateConfig()
        self._max_wait = max_wait
        self._max_lag = max_lag
        self._openings = Openings()
        self._flows = count()

    def admit(self, account: Account | None = None, *, live: bool = False) -> None:
        """Pass while there is room for another recording of this account, or for another live task.

        Raises:
            Overloaded: the predicted wait is over the limit.
        """
        wait = self._scheduler.predicted_wait(account, live=live)
        if wait > self._max_wait:
            raise Overloaded(f"the predicted wait is {wait:.0f} s; try again later", retry_after=wait - self._max_wait)

    def admit_live(self, account: Account | None = None, model: str = "") -> None:
        """Pass while there is room for another live session of a model, empty for the default one, or while it is
        other tenants that have more than their share of what the machine carries.

        There is room while live text would come in time with one more: what live work asks of the machine if it comes
        just in time is measured, and what sessions will ask that have just begun is estimated.

        Raises:
            Overloaded: live text would come late, or comes far too late already; or the model is not loaded.
        """
        self.admit(account, live=True)
        with self._hold(model) as engines:
            cost = self._live_cost(engines)
        if math.isinf(self._max_lag):
            return
        scheduler, openings = self._scheduler, self._openings
        lag, new = scheduler.live_lag(), openings.new + 1
        expected = scheduler.live_demand(self._max_lag) + new * cost
        late = lag > _FAR_TOO_LATE * self._max_lag
        if not late and (expected <= scheduler.lanes or not openings.open):
            return
        carried = openings.open * min(1.0, scheduler.lanes / max(expected, _HARDLY))
        if openings.within_share(account or Account(), carried):
            return
        if late:
            raise Overloaded(f"live text comes {lag:.0f} s late; try again later", retry_after=lag)
        raise Overloaded(
            f"live text would come over {self._max_lag:g} s late with another stream; try again in a moment",
            retry_after=SHOWS_AFTER / 4,
        )

    def _live_cost(self, engines: LiveEngines) -> float:
        """Lanes that a speaker needs: a final text every few seconds, and guesses, or chunks for an ear."""
        cost = self._scheduler.cost
        guessing = (
            cost(engines.partial, "guess") / self._max_lag
            if engines.ear is None
            else cost(engines.ear, "chunk") / _CHUNK
        )
        return guessing if engines.ear_is_final else guessing + cost(engines.final, "final") / _UTTERANCE

    async def recognize(
        self, recording: Recording | Samples, options: RecognitionOptions | None = None, account: Account | None = None
    ) -> Transcript:
        """Transcribe a recording.

        Args:
            recording: what to transcribe, which stays the caller's to close; or samples, shape (n,), float32 at 16 kHz.
            options: what is asked for.
            account: who it is for.

        Raises:
            Overloaded: the predicted wait is over the limit, or the model is not loaded; nothing was begun.
            RecognitionFailed: the engine failed.
        """
        options = options or RecognitionOptions()
        recording = recording if isinstance(recording, Recording) else Recording.of_samples(recording)
        sentences = [sentence async for sentence in self.sentences(recording, options, account)]
        return transcript(sentences, recording.duration, recording.warning)

    async def sentences(
        self, recording: Recording | Samples, options: RecognitionOptions, account: Account | None = None
    ) -> AsyncGenerator[Sentence, None]:
        """The sentences of a recording, in order, each as soon as it is known.

        Raises: as `recognize`.
        """
        self.admit(account)
        recording = recording if isinstance(recording, Recording) else Recording.of_samples(recording)
        with self._hold(options.model) as engines:
            telling = self._telling(recording, options, account)
            recognised = self._sentences(engines.final, recording, options, account)
            try:
                async with aclosing(recognised):
                    async for sentence in recognised:
                        turns = (await telling).turns if telling is not None else ()
                        for part in spoken_by(sentence, turns):
                            yield part
            finally:
                if telling is not None:
                    telling.cancel()

    def require_speakers(self, seconds: Seconds = 0.0) -> None:
        """Pass where the speakers of a recording of this length can be told apart.

        Raises:
            NoSpeakers: they cannot; the message says why.
        """
        if self._speakers is None:
            raise NoSpeakers("this server does not tell speakers apart; its operator sets LINGTING_SPEAKER_MODEL")
        if seconds > LONGEST_WITH_SPEAKERS:
            raise NoSpeakers(f"speakers are told apart in recordings of up to {LONGEST_WITH_SPEAKERS / 60:g} minutes")

    def _telling(
        self, recording: Recording, options: RecognitionOptions, account: Account | None
    ) -> asyncio.Future[Heard] | None:
        """Begin to tell the speakers apart, if that is asked for, beside the recognition."""
        if options.speakers is None:
            return None
        self.require_speakers(recording.duration)
        assert self._speakers is not None
        begin = partial(self._speakers.begin, recording, options.speakers)
        task = Task(self._speakers, begin, self._flow(account), within=_LONG_WITHIN, kind="speakers")
        return asyncio.ensure_future(_there(asyncio.wrap_future(self._scheduler.submit(task))))

    async def _sentences(
        self,
        engine: OfflineEngine,
        recording: Recording,
        options: RecognitionOptions,
        account: Account | None,
    ) -> AsyncGenerator[Sentence, None]:
        loop = asyncio.get_running_loop()
        within = _SHORT_WITHIN if recording.duration <= _SHORT else _LONG_WITHIN
        write = partial(self._writing.sentences, options=options, duration=recording.duration)
        held: list[RawWord] = []
        speech: list[tuple[Seconds, Seconds]] = []
        language = self._writing.language or options.language or "zh"
        punctuated = False
        recognised = in_order(
            recording,
            segments(recording, self._detector, self._gate),
            partial(self._submit, engine, within=within, options=options, account=self._flow(account)),
            ahead=_AHEAD * self._scheduler.lanes,
            readers=self._readers,
        )
        async with aclosing(recognised):
            async for segment, heard in recognised:
                spans = [(span.start / SAMPLE_RATE, span.end / SAMPLE_RATE) for span in segment.speech]
                words = self._writing.words(heard, segment.start / SAMPLE_RATE) if heard and heard.text else []
                if heard is None or not words:
                    speech += spans
                    continue
                if held and (heard.language != language or words[0].start - held[-1].end > _RUN_ON):
                    written = partial(write, held, language, speech=speech, punctuated=punctuated)
                    for sentence in await loop.run_in_executor(self._writers, written):
                        yield sentence
                    held, speech = [], []
                language, punctuated = heard.language, heard.punctuated
                held += words
                speech += spans
        if held:
            written = partial(write, held, language, speech=speech, punctuated=punctuated)
            for sentence in await loop.run_in_executor(self._writers, written):
                yield sentence

    def open_live(
        self,
        options: RecognitionOptions | None = None,
        account: Account | None = None,
        endpoint: EndpointConfig | None = None,
        *,
        again: bool = False,
    ) -> LiveSession:
        """Begin to recognise a stream.

        Args:
            options: what is asked for.
            account: who it is for.
            endpoint: when an utterance ends, if not by the server's own rules.
            again: it was live before, in a process that has ended, and is not refused.

        Raises:
            Overloaded: the server is too busy for another stream, or the model is not loaded.
        """
        options = options or RecognitionOptions()
        if not again:
            self.admit_live(account, options.model)
        held = ExitStack()
        engines = held.enter_context(self._hold(options.model))
        whose = account or Account()
        self._openings.opened(whose)
        held.callback(self._openings.closed, whose)
        return LiveSession(
            self._scheduler,
            engines,
            detector=self._detector,
            writing=self._writing,
            config=replace(self._live, endpoint=endpoint) if endpoint else self._live,
            listeners=self._listeners,
            writers=self._writers,
            options=options,
            account=self._flow(account),
            observer=self._observer,
            on_close=held.close,
        )

    async def warm_up(self) -> None:
        """Recognise half a second of a hum, so that the first caller doesn't pay for what is loaded on first use.

        Raises:
            RecognitionFailed: the engine doesn't work.
        """
        hum = np.sin(np.arange(SAMPLE_RATE // 2, dtype=np.float32) * 0.1) * np.float32(0.1)
        await asyncio.get_running_loop().run_in_executor(self._listeners, self._detector.judge, hum)
        with self._hold("") as engines:
            await self._submit(engines.final, hum, _SHORT_WITHIN, RecognitionOptions(), Account())

    def _flow(self, account: Account | None) -> Account:
        """The account with a flow of its own."""
        return replace(account or Account(), flow=str(next(self._flows)))

    def _submit(
        self, engine: OfflineEngine, samples: Samples, within: Seconds, options: RecognitionOptions, account: Account
    ) -> asyncio.Future[Heard | None]:
        request = Request(samples, language=options.language or self._writing.language, hot_words=options.hot_words)
        task = Task(engine, partial(engine.begin, request), account, within=within, kind="file")
        return asyncio.wrap_future(self._scheduler.submit(task))


async def _there(hearing: asyncio.Future[Heard | None]) -> Heard:
    heard = await hearing
    assert heard is not None
    return heard


_UTTERANCE: Seconds = 8.0
"""So often somebody who speaks costs as much as a final text does alone. There are more, but with many speakers they
are decoded together: 20 were seen to take 0.037 lanes each for it, where one takes 0.3 s."""
_CHUNK: Seconds = 0.5
"""So often an ear hears a chunk."""
_FAR_TOO_LATE = 2.0
"""Text that comes so many times later than it may is a reason to refuse by itself. Before that it is the demand, in
which how late text comes is a factor: text of those who have gone stays in the average for a while."""
_HARDLY = 1e-3
"""Lanes; less is as good as nothing."""

_RUN_ON: Seconds = 0.6
"""Utterances closer than this may share a sentence; a longer silence ends it."""
