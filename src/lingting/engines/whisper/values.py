"""What a Whisper model is given and gives: encoded audio, decoding requests, hypotheses."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lingting.domain import Language, Seconds


@dataclass(frozen=True, slots=True)
class Encoded:
    """Audio as the decoder sees it.

    Attributes:
        window: seconds of audio the encoder was given; only equal windows decode together.
        seconds: seconds of it that are audio, the rest being padding.
        states: encoder output, shape (frames, width), float32.
        own: seconds of `states` that were encoded for this utterance; behind are states of silence.
    """

    window: int
    seconds: Seconds
    states: NDArray[np.float32] = field(repr=False)
    own: int


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One utterance to decode.

    Attributes:
        encoded: the encoded audio.
        language: the language to write, None to let the model's own scores decide between Chinese and English.
        prior: log odds of Chinese over English known before listening; 0 is none.
        beam: beam size; 1 is greedy.
        prompt: tokens of text that the decoder takes as said before; requests decoded together have equally many.
    """

    encoded: Encoded
    language: Language | None = None
    prior: float = 0.0
    beam: int = 5
    prompt: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class TextHypothesis:
    """One way the decoder wrote an utterance.

    Attributes:
        text: the text, stripped.
        tokens: its text tokens, without time tokens.
        log_probability: sum over tokens, nats.
        average: `log_probability` per token, nats.
        borders: offsets in `text` behind which a segment of the decoder's own ends.
        truncated: the token budget ran out before the decoder was done.
    """

    text: str
    tokens: tuple[int, ...]
    log_probability: float
    average: float
    borders: tuple[int, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """The decoder's answer to an utterance.

    Attributes:
        language: the language it was told to write.
        hypotheses: best first, at least one.
        no_speech: how sure it is that nobody spoke.
        odds: log odds of Chinese over English by the sound alone; None where the language was asked for.
    """

    language: Language
    hypotheses: tuple[TextHypothesis, ...]
    no_speech: float = 0.0
    odds: float | None = None
