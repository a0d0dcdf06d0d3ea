"""The one owner of compute: every encoding, decoding and alignment of every caller goes through it.

Encoding is done singly, decoding in batches of equal window. Of the jobs to encode, as of those to decode, the one with
the earliest deadline goes first. A deadline is counted from when the sound was heard that is not shown yet, so that no
speaker waits much longer than another. A guess takes its audio only when its turn comes, so the newest audio is what is
decoded. Files leave a worker to live streams while there are any.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from lingting.domain import SAMPLE_RATE, Language, Samples, Seconds
from lingting.errors import RecognitionFailed
from lingting.recognition import loops
from lingting.recognition.engine import CharacterTimes, Decoded, DecodeRequest, Encoded, Engine, EngineHypothesis
from lingting.recognition.guards import better, nobody_spoke, trustworthy

log = logging.getLogger(__name__)


class Kind(IntEnum):
    """What a job is for.

    FINAL is the final text of a live utterance, FIRST the first guess at one, PARTIAL a later guess; FILE is a short
    file and BULK a part of a long one.
    """

    FINAL = 0
    FIRST = 1
    FILE = 2
    PARTIAL = 3
    BULK = 4

    @property
    def guess(self) -> bool:
        """Whether the text will be replaced anyway."""
        return self in (Kind.FIRST, Kind.PARTIAL)

    @property
    def yields(self) -> bool:
        """Whether such jobs leave a worker to live streams."""
        return self in (Kind.FILE, Kind.BULK)


_PATIENCE: dict[Kind, Seconds] = {
    Kind.FINAL: 0.5,
    Kind.FIRST: 1.2,
    Kind.FILE: 2.0,
    Kind.PARTIAL: 1.8,
    Kind.BULK: 4.0,
}
"""Seconds after which a job is late."""

_BATCH = 6
"""Utterances decoded together: a step of the decoder costs 6 ms for one, and 1 to 2 ms for each that is added."""

SPARE: Seconds = 0.4
"""A window leaves this much silence after the speech: with none, the decoder misses the end and loops."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """What was recognised in one utterance.

    Attributes:
        text: the chosen text, in simplified or whatever script `choose` gave; `times` and `borders` refer to it.
        language: the language it was written in.
        times: when each character was said, from the start of the audio; None where alignment wasn't asked for.
        borders: offsets in `text` behind which a segment of the engine's own ends.
        average: mean log probability of a token, nats.
    """

    text: str
    language: Language
    times: CharacterTimes | None = None
    borders: tuple[int, ...] = ()
    average: float = 0.0


class Choose(Protocol):
    """Picks among hypotheses and rewrites the one picked, a character for a character.

    `confidence` is the probability of each character of the first hypothesis; empty where it is not known.
    """

    def __call__(
        self, hypotheses: Sequence[EngineHypothesis], language: Language, confidence: Sequence[float]
    ) -> tuple[int, str]: ...


def first_hypothesis(
    hypotheses: Sequence[EngineHypothesis], language: Language, confidence: Sequence[float]
) -> tuple[int, str]:
    """The engine's own first choice, untouched."""
    return 0, hypotheses[0].text


@dataclass(eq=False, slots=True)
class Job:
    """One utterance to recognise.

    Attributes:
        audio: gives the samples when the job's turn comes; None when they are not wanted any more.
        kind: what it is for.
        language: forced language, or None.
        prior: see `DecodeRequest.prior`.
        beam: beam size, 1 is greedy.
        align: whether character times are wanted.
        context: see `DecodeRequest.context`.
        choose: picks among the hypotheses.
        waited: seconds since the oldest sound that it is about was heard.
    """

    audio: Callable[[], Samples | None]
    kind: Kind
    language: Language | None = None
    prior: float = 0.0
    beam: int = 5
    align: bool = True
    context: str = ""
    choose: Choose = first_hypothesis
    waited: Seconds = 0.0
    future: Future[Recognised | None] = field(default_factory=Future)
    deadline: float = 0.0
    window: int = 0
    samples: Samples | None = None
    encoded: Encoded | None = None
    tried: Decoded | None = None

    @property
    def group(self) -> tuple[int, int, int]:
        return self.window, self.beam, len(self.context)


class Batcher:
    """Runs jobs on `workers` threads over one engine. All methods are thread-safe."""

    def __init__(self, engine: Engine, workers: int) -> None:
        self.engine = engine
        self.workers = workers
        self._wake = threading.Condition()
        self._waiting: list[Job] = []
        self._encoded: list[Job] = []
        self._yielding = 0
        self._live = 0
        self._closed = False
        self._cost = _CostModel()
        self._threads = [
            threading.Thread(target=self._work, name=f"compute-{index}", daemon=True) for index in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job) -> Future[Recognised | None]:
        """Queue a job. The future gives None when the job's audio was not wanted any more or nobody spoke.

        Raises (through the future):
            RecognitionFailed: the engine failed.
        """
        job.deadline = time.monotonic() + _PATIENCE[job.kind] - job.waited
        with self._wake:
            if self._closed:
                job.future.set_exception(RecognitionFailed("the server is stopping"))
                return job.future
            self._waiting.append(job)
            self._wake.notify()
        return job.future

    def live_opened(self) -> None:
        """Tell that a live stream began: files leave it a worker."""
        with self._wake:
            self._live += 1

    def live_closed(self) -> None:
        """Tell that a live stream ended."""
        with self._wake:
            self._live -= 1
            self._wake.notify_all()

    @property
    def queued(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._waiting) + len(self._encoded)

    @property
    def busy(self) -> bool:
        """Whether more waits than the workers can begin at once, so that nothing should be computed on a chance."""
        return self.queued > self.workers

    def predicted_wait(self) -> Seconds:
        """Seconds until a file submitted now would start, from what is queued and what such jobs cost lately."""
        with self._wake:
            queued = [job for job in (*self._waiting, *self._encoded) if not job.kind.guess]
            return len(queued) * self._cost.per_job / self.workers

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    # -- workers ------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._wake:
                while not (batch := self._take()):
                    if self._closed and not self._waiting and not self._encoded:
                        self._wake.notify_all()
                        return
                    self._wake.wait()
                yields = batch[0].kind.yields
                self._yielding += yields
            try:
                if batch[0].encoded is None:
                    self._encode(batch[0])
                else:
                    self._decode(batch)
            except Exception as error:
                log.exception("the engine failed on %d jobs", len(batch))
                for job in batch:
                    if not job.future.done() and job.future.set_running_or_notify_cancel():
                        failure = RecognitionFailed("the engine failed")
                        failure.__cause__ = error
                        job.future.set_exception(failure)
            finally:
                with self._wake:
                    self._yielding -= yields
                    self._wake.notify_all()

    def _take(self) -> list[Job]:
        """The next thing to do: one job to encode, or a batch of encoded jobs to decode; empty when there is none.

        What is encoded is decoded, earliest deadline first; but while there is room for more, jobs like it that still
        wait are encoded before (guesses are alike, and so are all others), so that under load the decoder, which is the
        dearer part, works in batches. Finals that are encoded wait for company until their deadline, unless there is
        nothing else to do.
        """
        full = self._live > 0 and self._yielding >= max(1, self.workers - 1)
        waiting = [job for job in self._waiting if not (full and job.kind.yields)]
        encoded = [job for job in self._encoded if not (full and job.kind.yields)]
        held = [job for job in encoded if job.kind is Kind.FINAL and job.deadline > time.monotonic()]
        alone = not waiting and len(held) == len(encoded)
        ready = encoded if alone or len(held) >= _BATCH else [job for job in encoded if job not in held]
        next_waiting = min(waiting, default=None, key=_deadline)
        next_ready = min(ready, default=None, key=_deadline)
        if next_ready is None or (
            next_waiting is not None and next_waiting.kind.guess == next_ready.kind.guess and len(encoded) < _BATCH
        ):
            if next_waiting is None:
                return []
            self._waiting.remove(next_waiting)
            return [next_waiting]
        batch = sorted((job for job in encoded if job.group == next_ready.group), key=_deadline)[:_BATCH]
        self._encoded = [job for job in self._encoded if job not in batch]
        return batch

    def _encode(self, job: Job) -> None:
        if job.samples is None:
            job.samples = job.audio()
        if job.samples is None or len(job.samples) == 0 or job.future.cancelled():
            _resolve(job, None)
            return
        seconds = len(job.samples) / SAMPLE_RATE
        if not job.window:
            windows = self._windows(job.kind)
            job.window = next((window for window in windows if window >= seconds + SPARE), windows[-1])
        began = time.monotonic()
        job.encoded = self.engine.encode(job.samples, job.window)
        self._cost.encoded(time.monotonic() - began)
        with self._wake:
            self._encoded.append(job)

    def _windows(self, kind: Kind) -> tuple[int, ...]:
        if kind.guess:
            return self.engine.guess_windows
        return self.engine.fast_windows if kind is Kind.FINAL and self.busy else self.engine.windows

    def _decode(self, batch: list[Job]) -> None:
        batch = [job for job in batch if not job.future.cancelled()]
        if not batch:
            return
        began = time.monotonic()
        answers = self.engine.decode([_request(job) for job in batch])
        heard: list[tuple[Job, Encoded, Decoded]] = []
        for job, answer in zip(batch, answers, strict=True):
            encoded = job.encoded
            assert encoded is not None
            if not job.kind.guess and self._try_longer(job, encoded, answer):
                continue
            decoded = answer if job.tried is None else better(answer, job.tried, encoded.seconds)
            if not decoded.hypotheses[0].text or nobody_spoke(decoded):
                _resolve(job, None)
                continue
            heard.append((job, encoded, decoded))
        times = self._align([(*item, 0) for item in heard])
        chosen: list[tuple[Job, Encoded, Decoded, int, str]] = []
        for job, encoded, decoded in heard:
            confidence = times[job].probability.tolist() if job in times else ()
            index, text = job.choose(decoded.hypotheses, decoded.language, confidence)
            chosen.append((job, encoded, decoded, index, text))
        times |= self._align([(job, encoded, decoded, index) for job, encoded, decoded, index, _ in chosen if index])
        self._cost.decoded((time.monotonic() - began) / len(batch))
        for job, encoded, decoded, index, text in chosen:
            hypothesis = decoded.hypotheses[index]
            found = times.get(job)
            kept = loops.cut(text, encoded.seconds, found, truncated=hypothesis.truncated)
            recognised = Recognised(
                kept.text,
                decoded.language,
                None if found is None else kept.times(found),
                kept.borders(hypothesis.borders),
                hypothesis.average,
            )
            _resolve(job, recognised)

    def _align(self, items: Sequence[tuple[Job, Encoded, Decoded, int]]) -> dict[Job, CharacterTimes]:
        """Times of the hypotheses of these numbers, of the jobs that want times."""
        wanted = [item for item in items if item[0].align]
        if not wanted:
            return {}
        found = self.engine.align(
            [(encoded, decoded.language, decoded.hypotheses[index]) for _, encoded, decoded, index in wanted]
        )
        return {item[0]: times for item, times in zip(wanted, found, strict=True)}

    def _try_longer(self, job: Job, encoded: Encoded, answer: Decoded) -> bool:
        """Send a job whose answer is not to be trusted back for the next window; False when there is none."""
        longer = [window for window in self.engine.windows if window > encoded.window]
        if not longer or trustworthy(answer.hypotheses[0], encoded.seconds):
            return False
        job.tried = answer if job.tried is None else better(answer, job.tried, encoded.seconds)
        job.window, job.encoded = longer[0], None
        with self._wake:
            self._waiting.append(job)
            self._wake.notify()
        return True


def _deadline(job: Job) -> float:
    return job.deadline


def _request(job: Job) -> DecodeRequest:
    assert job.encoded is not None
    return DecodeRequest(job.encoded, job.language, job.prior, job.beam, job.context)


def _resolve(job: Job, result: Recognised | None) -> None:
    job.samples = job.encoded = None
    if job.future.set_running_or_notify_cancel():
        job.future.set_result(result)


class _CostModel:
    """Moving averages of what a job costs one worker."""

    def __init__(self) -> None:
        self._encode: Seconds = 0.1
        self._decode: Seconds = 0.1

    def encoded(self, seconds: Seconds) -> None:
        self._encode += 0.1 * (seconds - self._encode)

    def decoded(self, seconds: Seconds) -> None:
        self._decode += 0.1 * (seconds - self._decode)

    @property
    def per_job(self) -> Seconds:
        return self._encode + self._decode
