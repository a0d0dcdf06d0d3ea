"""Models of sherpa-onnx that hear while someone speaks: a stream for each utterance, a chunk at a time.

A stream is never reset: the library keeps states over a reset that cost the next utterance its first words. What the
model needs behind the last sound is measured when it is loaded, as it depends on its chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from lingting.domain import SAMPLE_RATE, Language, Samples, Seconds
from lingting.engines.sherpa.guarded import Stream, StreamingRecognizer
from lingting.engines.sherpa.loading import ModelFiles, load
from lingting.engines.sherpa.offline import rescored
from lingting.engines.sherpa.punctuation import Punctuation
from lingting.engines.sherpa.reading import read
from lingting.errors import ModelError
from lingting.recognition.engine import Heard, Outcome, Rescorer, Work

_FRAME = SAMPLE_RATE // 100
_LEAST_TAIL: Seconds = 1.0
_SPARE_TAIL: Seconds = 0.4
"""Models write their last words late. For X-ASR with a chunk of 480 ms, 0.66 s of silence behind the speech lost
characters and 1.0 s did not (its demonstration by others); larger chunks need more than one whole chunk."""

_LONGEST_CHUNK: Seconds = 10.0
_NOTHING = np.zeros(0, np.float32)


class StreamingSherpa:
    """A `StreamingEngine` over one streaming model of sherpa-onnx; it computes in the thread that steps it.

    Args:
        punctuates: whether the model writes punctuation itself.
        rescorer: the second pass over Chinese, for the final text of an utterance.
        punctuation: writes marks into the final text, where the model writes none.

    Attributes:
        delay: sound that must follow a word before its text can come.
        chunk: sound after which there is new text.
        tail: silence that `finish` adds.

    Raises:
        ModelError: see `loading.load`; or the model does not decode silence.
    """

    def __init__(
        self,
        model: ModelFiles,
        *,
        punctuates: bool,
        rescorer: Rescorer | None = None,
        punctuation: Punctuation | None = None,
    ) -> None:
        self.name = model.name
        self.punctuates = punctuates
        self.punctuation = None if punctuates else punctuation
        self.loaded = load(model)
        self.rescorer = rescorer
        self.recognizer = StreamingRecognizer(self.loaded.inner, beam=self.loaded.beam)
        try:
            self.first, self.shift = self._measure()
        except RuntimeError as error:
            raise ModelError(f"the model {model.name} does not decode: {error}") from error
        self.delay: Seconds = self.first / SAMPLE_RATE
        self.chunk: Seconds = self.shift / SAMPLE_RATE
        self.tail: Seconds = max(_LEAST_TAIL, self.delay + _SPARE_TAIL)

    def listen(self, language: Language | None, hot_words: tuple[str, ...]) -> SherpaEar:
        return SherpaEar(self, language, hot_words)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        ears = [cast(_Chunk, work).ear for work in works]
        outcomes = [Outcome()] * len(ears)
        awake = [(place, ear, stream) for place, ear in enumerate(ears) if (stream := ear.stream()) is not None]
        if not awake:
            return outcomes
        fed = [(stream, ear.take()) for _, ear, stream in awake]
        try:
            decoded = self.recognizer.step(fed)
        except (RuntimeError, ValueError) as error:
            for place, ear, _ in awake:
                ear.close()
                outcomes[place] = Outcome(error=error)
            return outcomes
        for (place, ear, stream), has_text in zip(awake, decoded, strict=True):
            more = ear.stepped(has_text)
            try:
                outcomes[place] = Outcome(heard=ear.heard(stream, final=more is None), more=more)
            except Exception as error:  # one utterance's trouble must not be the others'
                ear.close()
                outcomes[place] = Outcome(error=error)
        return outcomes

    def _measure(self) -> tuple[int, int]:
        """Samples of silence until the first chunk can be decoded, and until the next; with two streams, as a trial."""
        streams = [self.recognizer.open(), self.recognizer.open()]
        found: list[int] = []
        silence = np.zeros(_FRAME, np.float32)
        fed = 0
        while len(found) < 2:
            if fed > _LONGEST_CHUNK * SAMPLE_RATE:
                raise ModelError(f"the model {self.name} takes more than {_LONGEST_CHUNK:.0f} s of sound for a chunk")
            fed += _FRAME
            if all(self.recognizer.step([(stream, silence) for stream in streams])):
                found.append(fed)
                fed = 0
        for stream in streams:
            self.recognizer.result(stream)
        return found[0], found[1]


class _Chunk:
    """The next chunk of an utterance."""

    __slots__ = ("ear",)
    group = "chunk"

    def __init__(self, ear: SherpaEar) -> None:
        self.ear = ear

    @property
    def most(self) -> int:
        return self.ear.most


class SherpaEar:
    """One utterance of a streaming model. `feed`, `finish` and `close` may be called while a chunk is decoded.

    Feeding only keeps the samples: features are computed where chunks are decoded.
    """

    def __init__(self, engine: StreamingSherpa, language: Language | None, hot_words: tuple[str, ...]) -> None:
        self.most = engine.loaded.loader.most
        self.closed = False
        self._engine = engine
        self._language = language
        self._hot_words = hot_words
        self._stream: Stream | None = None
        self._lock = threading.Lock()
        self._waiting: list[Samples] = []
        self._spoken = 0
        self._fed = 0
        self._needed = engine.first
        self._finished = False
        self._last = False
        self._out = False
        lead = engine.loaded.loader.lead
        if lead:
            self._feed(np.zeros(round(lead * SAMPLE_RATE), np.float32))

    def feed(self, samples: Samples) -> Work | None:
        with self._lock:
            if self._finished:
                raise ValueError("the utterance is finished")
            self._spoken += len(samples)
            self._feed(samples)
            return self._next()

    def finish(self) -> Work | None:
        """No more sound comes. None where there was none, or a work is out: its last outcome is the final text."""
        with self._lock:
            if self._finished or not self._spoken:
                self._finished = True
                return None
            self._finished = True
            self._feed(np.zeros(round(self._engine.tail * SAMPLE_RATE), np.float32))
            return self._next()

    def close(self) -> None:
        with self._lock:
            self.closed = True
            self._waiting = []
            self._stream = None

    # -- for the engine's step ----------------------------------------------------------------------------------------

    def stream(self) -> Stream | None:
        """The library's stream of this utterance, made when it is first needed; None once it is closed."""
        with self._lock:
            if self._stream is None and not self.closed:
                phrases, _ = self._engine.loaded.for_stream(self._hot_words)
                self._stream = self._engine.recognizer.open(phrases)
            return self._stream

    def take(self) -> Samples:
        """The samples that were fed and not decoded yet."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        return np.concatenate(waiting) if waiting else _NOTHING

    def stepped(self, decoded: bool) -> Work | None:
        """A step was made: the next chunk, if there is enough sound for one."""
        with self._lock:
            self._out = False
            self._needed += self._engine.shift if decoded else _FRAME
            more = self._next()
            self._last = self._finished and more is None
            return more

    def heard(self, stream: Stream, *, final: bool) -> Heard:
        """The text so far; the last of a finished utterance is final."""
        engine = self._engine
        heard = read(
            engine.loaded.vocabulary, engine.recognizer.result(stream), self._spoken / SAMPLE_RATE, self._language
        )
        final = final and self._last
        if final and heard.text and engine.rescorer is not None:
            heard = rescored(heard, engine.rescorer, hot_words=self._hot_words)
        heard = replace(heard, punctuated=engine.punctuates)
        return engine.punctuation.mark(heard) if final and engine.punctuation is not None else heard

    def _feed(self, samples: Samples) -> None:
        self._waiting.append(samples)
        self._fed += len(samples)

    def _next(self) -> _Chunk | None:
        if self._out or self.closed or self._fed < self._needed:
            return None
        self._out = True
        return _Chunk(self)
