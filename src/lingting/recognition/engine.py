"""What recognition asks of an engine: encode audio, decode batches of it, align what was decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lingting.domain import Language, Samples, Seconds


@dataclass(frozen=True, slots=True)
class Encoded:
    """Audio as the engine's decoder sees it.

    Attributes:
        window: seconds of audio the encoder was given; only equal windows decode together.
        seconds: seconds of it that are audio, the rest being padding.
        states: encoder output, shape (frames, width), float32.
    """

    window: int
    seconds: Seconds
    states: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One utterance to decode.

    Attributes:
        encoded: the encoded audio.
        language: the language to write, None to let the engine's own scores decide between Chinese and English.
        prior: log odds of Chinese over English known before listening, from the stream's memory; 0 is none.
        beam: beam size; 1 is greedy.
        context: text that the engine takes as said before, e.g. hot words.
    """

    encoded: Encoded
    language: Language | None = None
    prior: float = 0.0
    beam: int = 5
    context: str = ""


@dataclass(frozen=True, slots=True)
class EngineHypothesis:
    """One way an engine wrote an utterance.

    Attributes:
        text: the text, stripped.
        tokens: the engine's own text tokens, without time tokens.
        log_probability: sum over tokens, nats.
        average: `log_probability` per token, nats.
        borders: offsets in `text` behind which a segment of the engine's own ends.
        truncated: the token budget ran out before the engine was done.
    """

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    average: float
    borders: tuple[int, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """An engine's answer: hypotheses, best first, at least one; its language; how sure it is that nobody spoke."""

    language: Language
    hypotheses: tuple[EngineHypothesis, ...]
    no_speech: float = 0.0


@dataclass(frozen=True, slots=True)
class CharacterTimes:
    """When each character of a text was said: arrays of shape (len(text),), seconds from the start of the audio.

    `probability` is that of the character after those before it, in [0, 1].
    """

    start: NDArray[np.float32]
    end: NDArray[np.float32]
    probability: NDArray[np.float32] = field(repr=False)


class Engine(Protocol):
    """A speech model. All methods are thread-safe, block, and release the interpreter lock while computing."""

    @property
    def name(self) -> str:
        """Name of the model."""
        ...

    @property
    def windows(self) -> tuple[int, ...]:
        """Seconds of audio the encoder may be given for its best text, ascending."""
        ...

    @property
    def fast_windows(self) -> tuple[int, ...]:
        """The same for text that is a little worse and cheaper, which is what live streams get when much waits."""
        ...

    @property
    def guess_windows(self) -> tuple[int, ...]:
        """The same for guesses at unfinished speech; cheaper still."""
        ...

    def encode(self, samples: Samples, window: int) -> Encoded:
        """Encode at most `window` seconds of audio, padded with silence."""
        ...

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        """Decode utterances of equal window and beam together, in the order given."""
        ...

    def align(self, items: Sequence[tuple[Encoded, Language, EngineHypothesis]]) -> list[CharacterTimes]:
        """Find when each character was said, for utterances of equal window."""
        ...
