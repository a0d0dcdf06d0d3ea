"""The values that everything passes around: audio, words, sentences, transcripts, and what a caller may ask for."""

from lingting.domain.account import Account
from lingting.domain.values import (
    SAMPLE_RATE,
    Hypothesis,
    Language,
    RawWord,
    RecognitionOptions,
    Samples,
    Seconds,
    Sentence,
    Transcript,
    Turn,
    Word,
)

__all__ = [
    "SAMPLE_RATE",
    "Account",
    "Hypothesis",
    "Language",
    "RawWord",
    "RecognitionOptions",
    "Samples",
    "Seconds",
    "Sentence",
    "Transcript",
    "Turn",
    "Word",
]
