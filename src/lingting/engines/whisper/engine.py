"""Whisper as an engine: utterances are encoded singly and decoded in batches.

Text that cannot be true is tried again in a longer window; what is believed is rescored and aligned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from lingting.domain import SAMPLE_RATE, Hypothesis, Language, Samples, Seconds
from lingting.engines.whisper import mixing
from lingting.engines.whisper.guards import better, ended, nobody_spoke, trustworthy
from lingting.engines.whisper.mixing import Written
from lingting.engines.whisper.model import WhisperModel
from lingting.engines.whisper.values import Decoded, DecodeRequest, Encoded, TextHypothesis
from lingting.recognition import loops
from lingting.recognition.engine import CharacterTimes, Heard, Need, Outcome, Request, Rescorer, Work
from lingting.text.words import has_han

WINDOWS = (20, 30)
"""Encoder windows in seconds; 30 s is what the model was trained on. An encoding costs in proportion to its window.

Measured on 63 Mandarin clips at two levels, beam 5, with the second pass by sound: a least window of 12 s gives 14.5 %
character errors, 16 s 14.3 %, 20 s 12.7 %, 30 s 13.4 %; without that pass 10 s gives 21.5 %, 12 s 18.2 %, 20 s 17.3 %.
"""

GUESS_WINDOWS = (5, 7, 9, 12, 16, *WINDOWS)
"""Windows for guesses at unfinished speech: for 3.2 s of audio, greedy, 5 s windows give 0.34 to 0.39 errors per
character and 12 s windows 0.23 to 0.45, for three times the encoding."""

SPARE: Seconds = 0.4
"""A window leaves this much silence after the speech: with none, the decoder misses the end and loops."""

_BEAM = 5
_BATCH = 6
"""Utterances decoded together: a step of the decoder costs 6 ms for one, and 1 to 2 ms for each that is added."""

_BOTH = 5.0
"""Log odds between Chinese and English up to which an utterance is decoded in both: those of two of 63 Mandarin
recordings, of one of 19 English ones, and of six of the eight in which both are spoken."""
_OTHER: dict[Language, Language] = {"zh": "en", "en": "zh"}

_MEMORY = 0.7
_MEMORY_STEP = 0.8


@dataclass(frozen=True, slots=True)
class _Encode:
    """An utterance to encode in a window; `tried` is the answer that a shorter one gave."""

    request: Request
    window: int
    prompt: tuple[int, ...]
    tried: Decoded | None = None
    most: int = 1

    @property
    def group(self) -> str:
        return "encode"


@dataclass(frozen=True, slots=True)
class _Decode:
    """An encoded utterance to decode; `first` is the answer in its likelier language, where it may be in two."""

    work: _Encode
    encoded: Encoded
    first: Decoded | None = None
    most: int = _BATCH

    @property
    def group(self) -> tuple[str, int, int, int]:
        return "decode", self.encoded.window, _beam(self.work.request), len(self.work.prompt)


class Model(Protocol):
    """What the engine needs of a `WhisperModel`."""

    def prompt(self, hot_words: Sequence[str]) -> tuple[int, ...]: ...
    def encode(self, samples: Samples, window: int, *, whole: bool = False) -> Encoded: ...
    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]: ...
    def align(self, items: Sequence[tuple[Encoded, Language, TextHypothesis]]) -> list[CharacterTimes]: ...


class WhisperEngine:
    """An `OfflineEngine` over one Whisper model.

    Attributes:
        longest: the decoder is no good at the very end of its widest window.
    """

    longest: Seconds = 28.0

    def __init__(self, model: Model, *, name: str = "whisper-base", rescorer: Rescorer | None = None) -> None:
        self.name = name
        self._model = model
        self._rescorer = rescorer

    @classmethod
    def load(
        cls, folder: Path, lanes: int, *, name: str = "whisper-base", rescorer: Rescorer | None = None
    ) -> WhisperEngine:
        """The model of a folder, with a replica for each step that may run at once.

        Raises:
            ModelError: a file is missing or not a Whisper model.
        """
        return cls(WhisperModel(folder, lanes), name=name, rescorer=rescorer)

    def begin(self, request: Request) -> Work:
        seconds = len(request.samples) / SAMPLE_RATE
        windows = GUESS_WINDOWS if request.need is Need.GUESS else WINDOWS
        window = next((window for window in windows if window >= seconds + SPARE), windows[-1])
        latin = () if request.need is Need.GUESS else [word for word in request.hot_words if not has_han(word)]
        return _Encode(request, window, self._model.prompt(latin))

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        if isinstance(works[0], _Encode):
            return [self._encode(cast(_Encode, work)) for work in works]
        return self._decode([cast(_Decode, work) for work in works])

    def _encode(self, work: _Encode) -> Outcome:
        # Silence that was encoded once saves a third of the compute and makes 6 of 100 errors more: it is for finals
        # while much waits. A guess is so short that little would be saved.
        whole = work.request.need is not Need.QUICK
        return Outcome(more=_Decode(work, self._model.encode(work.request.samples, work.window, whole=whole)))

    def _decode(self, works: Sequence[_Decode]) -> list[Outcome]:
        answers = self._model.decode([_decode_request(work) for work in works])
        outcomes: list[Outcome] = [Outcome()] * len(works)
        heard: list[_Reading] = []
        for place, (work, answer) in enumerate(zip(works, answers, strict=True)):
            again = _in_longer_window(work, answer) if work.first is None else None
            if again is not None:
                outcomes[place] = Outcome(more=again)
                continue
            tried = work.work.tried
            decoded = answer if tried is None else better(answer, tried, work.encoded.seconds)
            if work.first is not None:
                other = answer if ended(answer.hypotheses[0], work.encoded.seconds) else None
                heard.append(_Reading(place, work, work.first, other))
            elif not decoded.hypotheses[0].text or nobody_spoke(decoded):
                outcomes[place] = Outcome(heard=Heard("", decoded.language))
            elif _may_be_mixed(work, decoded):
                outcomes[place] = Outcome(more=replace(work, first=decoded))
            else:
                heard.append(_Reading(place, work, decoded))
        times = self._align([(reading, 0) for reading in heard])
        heard = self._with_both(heard, times)
        chosen: list[tuple[_Reading, int, str]] = []
        for reading in heard:
            try:
                index, text = self._rescored(reading, times.get(reading.place))
            except Exception as error:  # one utterance's trouble must not be the others'
                outcomes[reading.place] = Outcome(error=error)
            else:
                chosen.append((reading, index, text))
        times |= self._align([(reading, index) for reading, index, _ in chosen if index])
        for reading, index, text in chosen:
            hypothesis = reading.decoded.hypotheses[index]
            found = times.get(reading.place)
            kept = loops.cut(text, reading.work.encoded.seconds, found, truncated=hypothesis.truncated)
            outcomes[reading.place] = Outcome(
                heard=Heard(
                    kept.text,
                    reading.decoded.language,
                    None if found is None else kept.times(found),
                    kept.borders(hypothesis.borders),
                    hypothesis.average,
                )
            )
        return outcomes

    def _with_both(self, readings: Sequence[_Reading], times: dict[int, CharacterTimes]) -> list[_Reading]:
        """The readings; those that are better in two languages have a text in both, and its times in `times`."""
        others = self._align([(replace(one, decoded=one.other), 0) for one in readings if one.other is not None])
        found: list[_Reading] = []
        for reading in readings:
            both = None
            if reading.other is not None:
                text, other = (one.hypotheses[0].text for one in (reading.decoded, reading.other))
                spoken = Written(text, times[reading.place])
                both = mixing.mixed(spoken, Written(other, others[reading.place]), reading.decoded.language)
            if both is not None:
                times[reading.place] = both.times
                found.append(replace(reading, decoded=_in_both(reading.decoded, both)))
            else:
                found.append(reading)
        return found

    def _rescored(self, reading: _Reading, times: CharacterTimes | None) -> tuple[int, str]:
        hypotheses = reading.decoded.hypotheses
        if self._rescorer is None:
            return 0, hypotheses[0].text
        request = reading.work.work.request
        confidence = tuple(times.probability.tolist()) if times is not None else ()
        return self._rescorer.rescore(
            [
                Hypothesis(hypothesis.text, hypothesis.log_probability, () if index else confidence)
                for index, hypothesis in enumerate(hypotheses)
            ],
            reading.decoded.language,
            before=request.before.text,
            hot_words=request.hot_words,
        )

    def _align(self, items: Sequence[tuple[_Reading, int]]) -> dict[int, CharacterTimes]:
        """Times of the hypotheses of these numbers, by place, where times are wanted."""
        wanted = [item for item in items if item[0].work.work.request.times]
        if not wanted:
            return {}
        found = self._model.align(
            [(reading.work.encoded, reading.decoded.language, reading.decoded.hypotheses[n]) for reading, n in wanted]
        )
        return {reading.place: times for (reading, _), times in zip(wanted, found, strict=True)}


@dataclass(frozen=True, slots=True)
class _Reading:
    """The answer that is believed to the work at a place of the batch; `other` is one in the other language."""

    place: int
    work: _Decode
    decoded: Decoded
    other: Decoded | None = None


def language_prior(languages: Sequence[Language]) -> float:
    """Log odds of Chinese over English from the languages of the utterances before, the oldest first.

    A short utterance is not written in the other language then; what was long ago hardly counts.
    """
    prior = 0.0
    for language in languages:
        prior = prior * _MEMORY + (_MEMORY_STEP if language == "zh" else -_MEMORY_STEP)
    return prior


def _beam(request: Request) -> int:
    return 1 if request.need is Need.GUESS else _BEAM


def _decode_request(work: _Decode) -> DecodeRequest:
    request = work.work.request
    language = request.language if work.first is None else _OTHER[work.first.language]
    prior = language_prior(request.before.languages)
    return DecodeRequest(work.encoded, language, prior, _beam(request), work.work.prompt)


def _may_be_mixed(work: _Decode, decoded: Decoded) -> bool:
    """Whether an utterance may be in both languages, and there is time to decode it in the other one too."""
    request = work.work.request
    if request.need is not Need.BEST or not request.times or decoded.odds is None:
        return False
    return abs(decoded.odds) < _BOTH and ended(decoded.hypotheses[0], work.encoded.seconds)


def _in_both(decoded: Decoded, both: Written) -> Decoded:
    probability = np.maximum(both.times.probability, 1e-6)
    average = float(np.log(probability).mean())
    hypothesis = TextHypothesis(both.text, (), average * len(probability), average)
    return replace(decoded, language="zh", hypotheses=(hypothesis,))


def _in_longer_window(work: _Decode, answer: Decoded) -> _Encode | None:
    """The work in the next longer window, where its text is to stay and cannot be trusted; None where there is none."""
    if work.work.request.need is Need.GUESS:
        return None
    longer = next((window for window in WINDOWS if window > work.encoded.window), None)
    seconds = work.encoded.seconds
    if longer is None or trustworthy(answer.hypotheses[0], seconds):
        return None
    tried = work.work.tried
    return replace(work.work, window=longer, tried=answer if tried is None else better(answer, tried, seconds))
