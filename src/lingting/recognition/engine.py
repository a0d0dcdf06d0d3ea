"""What recognition asks of an engine: it makes work of an utterance, and steps works until they are heard.

One verb serves every kind of engine: `step`. What a step does (encode, decode, align, one chunk of a streaming model)
is the engine's own; whoever schedules the works sees only which may be stepped together.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lingting.domain import Hypothesis, Language, Samples, Seconds, Turn


class Need(Enum):
    """What the text is for: a guess that will be replaced, a final text while much waits, or the best there is."""

    GUESS = "guess"
    QUICK = "quick"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class Before:
    """What was said in the same stream before.

    Attributes:
        text: the end of the text before; empty where that is not known.
        languages: of the latest utterances that became final, oldest first.
    """

    text: str = ""
    languages: tuple[Language, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """One utterance to recognise. Plain data, so that it can go to another process.

    Attributes:
        samples: the sound, at most the engine's `longest`.
        need: what the text is for.
        language: the language to write; None lets the engine decide between Chinese and English.
        hot_words: names and terms to listen for, the most wanted first.
        before: what was said before.
        times: whether the times of the characters are wanted.
    """

    samples: Samples = field(repr=False)
    need: Need = Need.BEST
    language: Language | None = None
    hot_words: tuple[str, ...] = ()
    before: Before = Before()
    times: bool = True


@dataclass(frozen=True, slots=True)
class CharacterTimes:
    """When each character of a text was said: arrays of shape (len(text),), seconds from the start of the audio.

    `probability` is that of the character after those before it, in [0, 1].
    """

    start: NDArray[np.float32]
    end: NDArray[np.float32]
    probability: NDArray[np.float32] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Heard:
    """What an engine made of an utterance.

    Attributes:
        text: the text; empty where nobody spoke.
        language: the language it was written in.
        times: when each character was said; None where that wasn't asked for or the engine cannot tell.
        borders: offsets in `text` behind which a segment of the engine's own ends.
        average: mean log probability of a token, nats; None where the engine has none.
        punctuated: the engine's punctuation can be relied on; no mark is added to it.
        turns: who speaks when, from an engine that tells speakers apart, which gives nothing else.
    """

    text: str
    language: Language
    times: CharacterTimes | None = None
    borders: tuple[int, ...] = ()
    average: float | None = None
    punctuated: bool = False
    turns: tuple[Turn, ...] = ()


class Work(Protocol):
    """A piece of an engine's work that is ready to be stepped. Only its engine looks inside."""

    @property
    def group(self) -> Hashable:
        """Works of equal group may be stepped together."""
        ...

    @property
    def most(self) -> int:
        """How many works a step is worth; 1 says that company gains nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step made of one work: `more` to do, or else what was `heard`, or an `error` that concerns it alone.

    A streaming engine may give both `heard`, the text so far, and `more`.
    """

    heard: Heard | None = None
    more: Work | None = None
    error: Exception | None = None


class Engine(Protocol):
    """A speech model. All methods are thread-safe, block, and release the interpreter lock while computing."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        """Do the next thing for works of equal group; outcomes in the same order.

        Raises:
            EngineRestarted: the engine lost what it knew of these works; they can be begun again.
            Exception: anything else concerns some of the works; which ones shows when each is stepped alone.
        """
        ...


class OfflineEngine(Engine, Protocol):
    """An engine that hears an utterance as a whole."""

    @property
    def longest(self) -> Seconds:
        """The longest utterance it takes."""
        ...

    def begin(self, request: Request) -> Work:
        """The first work of an utterance."""
        ...


class Ear(Protocol):
    """A streaming engine's hearing of one utterance; used by one thread or task at a time."""

    def feed(self, samples: Samples) -> Work | None:
        """Take the sound that comes next; a work if there is enough of it for one and none is out."""
        ...

    def finish(self) -> Work | None:
        """No more sound comes: the work whose last outcome is the final text; None where there was no sound."""
        ...

    def close(self) -> None:
        """Forget it, at any time."""
        ...


class StreamingEngine(Engine, Protocol):
    """An engine that hears an utterance while it is spoken."""

    @property
    def delay(self) -> Seconds:
        """Sound that must follow a word before its text can come."""
        ...

    def listen(self, language: Language | None, hot_words: tuple[str, ...]) -> Ear:
        """Begin to hear an utterance."""
        ...


class Rescorer(Protocol):
    """Picks among an engine's hypotheses and rewrites the one picked. Thread-safe."""

    def rescore(
        self, hypotheses: Sequence[Hypothesis], language: Language, *, before: str, hot_words: Sequence[str]
    ) -> tuple[int, str]:
        """The number of the hypothesis it starts from, and its text, of the same length character for character.

        Args:
            hypotheses: best first, at least one; the first with the confidence of its characters where it is known.
            before: the end of the text before.
        """
        ...
