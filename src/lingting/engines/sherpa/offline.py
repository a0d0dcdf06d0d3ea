"""Models of sherpa-onnx that hear an utterance as a whole."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from lingting.domain import SAMPLE_RATE, Hypothesis, Seconds
from lingting.engines.sherpa.guarded import SHORTEST, OfflineRecognizer
from lingting.engines.sherpa.loading import ModelFiles, load
from lingting.engines.sherpa.punctuation import Punctuation
from lingting.engines.sherpa.reading import read, rewritten, total_log_probability, without_loops
from lingting.recognition.engine import Heard, Need, Outcome, Request, Rescorer, Work

_GROWTH = 1.5
"""Utterances are padded to the longest of their batch, so those decoded together differ by at most this factor."""


@dataclass(frozen=True, slots=True)
class _Utterance:
    request: Request
    most: int

    @property
    def group(self) -> Hashable:
        seconds = max(len(self.request.samples), SHORTEST) / SAMPLE_RATE
        return self.request.need, math.ceil(math.log(seconds, _GROWTH))


class OfflineSherpa:
    """An `OfflineEngine` over one offline model of sherpa-onnx; it computes in the thread that steps it.

    Args:
        punctuates: whether the model writes punctuation itself.
        rescorer: the second pass over Chinese, for text that stays.
        punctuation: writes marks into text that stays, where the model writes none.

    Raises:
        ModelError: see `loading.load`.
    """

    longest: Seconds = 28.0

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
        self._punctuation = None if punctuates else punctuation
        self._loaded = load(model)
        self._rescorer = rescorer
        self._recognizer = OfflineRecognizer(self._loaded.inner, beam=self._loaded.beam)

    def begin(self, request: Request) -> Work:
        return _Utterance(request, self._loaded.loader.most)

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        requests = [cast(_Utterance, work).request for work in works]
        outcomes = [Outcome(heard=Heard("", request.language or "zh")) for request in requests]
        spoken = [place for place, request in enumerate(requests) if len(request.samples) >= SHORTEST]
        if not spoken:
            return outcomes
        utterances = [
            (requests[place].samples, *self._loaded.for_stream(requests[place].hot_words)) for place in spoken
        ]
        for place, result in zip(spoken, self._recognizer.recognize(utterances), strict=True):
            request = requests[place]
            seconds = len(request.samples) / SAMPLE_RATE
            try:
                heard = read(self._loaded.vocabulary, result, seconds, request.language, times=request.times)
                heard = self._rescored(without_loops(heard, seconds), request)
                heard = replace(heard, punctuated=self.punctuates)
                if self._punctuation is not None and request.need is not Need.GUESS:
                    heard = self._punctuation.mark(heard)
                outcomes[place] = Outcome(heard=heard)
            except Exception as error:  # one utterance's trouble must not be the others'
                outcomes[place] = Outcome(error=error)
        return outcomes

    def _rescored(self, heard: Heard, request: Request) -> Heard:
        if self._rescorer is None or not heard.text or request.need is Need.GUESS:
            return heard
        return rescored(heard, self._rescorer, before=request.before.text, hot_words=request.hot_words)


def rescored(heard: Heard, rescorer: Rescorer, *, before: str = "", hot_words: Sequence[str] = ()) -> Heard:
    """What was heard, after a second pass over its one hypothesis."""
    confidence = (
        tuple(heard.times.probability.tolist()) if heard.times is not None and heard.average is not None else ()
    )
    hypothesis = Hypothesis(heard.text, total_log_probability(heard), confidence)
    _, text = rescorer.rescore([hypothesis], heard.language, before=before, hot_words=hot_words)
    return rewritten(heard, text)
