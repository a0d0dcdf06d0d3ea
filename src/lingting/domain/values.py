"""Values of recognition: audio, words, sentences, transcripts, and what a caller may ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Seconds: TypeAlias = float
Samples: TypeAlias = NDArray[np.float32]
"""Mono audio at 16 kHz, shape (samples,), float32 in [-1, 1]."""

Language: TypeAlias = Literal["zh", "en"]
SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Word:
    """One Han character or one Latin word or number, with the punctuation that follows it attached.

    `start` and `end` are seconds from the start of the recording; `probability` is the engine's, in [0, 1].
    """

    text: str
    start: Seconds
    end: Seconds
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch in which one speaker speaks, seconds from the start of the recording; `speaker` is A, B and so on."""

    start: Seconds
    end: Seconds
    speaker: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence as a reader would see it; times are seconds from the start of the recording.

    `speaker` is who says it, empty where nobody asked.
    """

    text: str
    start: Seconds
    end: Seconds
    words: tuple[Word, ...] = ()
    language: Language = "zh"
    speaker: str = ""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in a recording of `duration` seconds. `text` is the sentences joined for reading.

    `warning` says what is wrong with the recording, such as an end that is missing; None where nothing is.
    """

    text: str
    duration: Seconds
    language: Language = "zh"
    sentences: tuple[Sentence, ...] = ()
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One of an engine's guesses at an utterance.

    Attributes:
        text: the text.
        log_probability: the sum over its tokens, nats.
        confidence: probability of each character, in [0, 1]; empty where it is not known.
    """

    text: str
    log_probability: float
    confidence: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class RawWord:
    """A word as the engine wrote it, before the text rules.

    `text` is one Han character or one Latin word or number, with the engine's own punctuation attached behind it.
    `border` is true on the last word of a segment of the engine's own.
    """

    text: str
    start: Seconds
    end: Seconds
    probability: float = 1.0
    border: bool = False


@dataclass(frozen=True, slots=True)
class RecognitionOptions:
    """What a caller may ask of one recognition.

    Attributes:
        language: force "zh" or "en"; None decides per utterance.
        hot_words: names and terms to listen for.
        convert_numbers: write spoken numbers, dates, money and percentages as digits.
        max_sentence_silence: a pause longer than this many seconds always ends a sentence.
        timestamps: whether sentences and words need times from alignment.
        model: whose text it is; empty takes the default one.
        speakers: how many speakers of a recording to tell apart, 0 for as many as there are; None tells none apart.
    """

    language: Language | None = None
    hot_words: tuple[str, ...] = field(default=())
    convert_numbers: bool = False
    max_sentence_silence: Seconds = 3.0
    timestamps: bool = True
    model: str = ""
    speakers: int | None = None
