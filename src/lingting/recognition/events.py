"""What a live session tells of itself, in order, on the event loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lingting.domain import Language, Seconds, Sentence


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Someone began to speak `at` seconds of the stream, padding included."""

    at: Seconds


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """Speech ended `at` seconds of the stream; the text of the utterance follows as a `Final`.

    A cut of a long utterance is none: speech goes on.
    """

    at: Seconds


@dataclass(frozen=True, slots=True)
class Guess:
    """The text of what is not final yet has changed; it may be empty and may change again."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """An utterance whose text will not change any more. One follows for every utterance that ended and every flush.

    Attributes:
        number: counts the finals of a stream from 0.
        text: as a reader would see it; empty where nothing was understood.
        start: seconds of the stream at which it begins.
        end: seconds of the stream at which it ends.
        sentences: with words and times, on the clock of the stream.
        language: the language it was written in.
        cut: it was cut because it is long; speech goes on.
        flushed: `LiveSession.flush` ended it, or there was nothing to end.
        failed: the engine failed on it, so its text is missing.
    """

    number: int
    text: str
    start: Seconds
    end: Seconds
    sentences: tuple[Sentence, ...] = ()
    language: Language | None = None
    cut: bool = False
    flushed: bool = False
    failed: bool = False


LiveEvent: TypeAlias = SpeechStarted | SpeechStopped | Guess | Final
