"""Judging what Whisper wrote: low confidence, speech that nobody spoke, and which of two answers to believe."""

from __future__ import annotations

from lingting.domain import Seconds
from lingting.engines.whisper.values import Decoded, TextHypothesis
from lingting.recognition.loops import impossible, loops

LOW_CONFIDENCE = -1.0
"""Mean log probability of a token below which a longer window is tried (Whisper's own fallback threshold)."""

NO_SPEECH = 0.6
"""Whisper's own threshold on the probability of the no-speech token."""


def trustworthy(hypothesis: TextHypothesis, seconds: Seconds) -> bool:
    """Whether a hypothesis may stand without trying a longer window."""
    return hypothesis.average >= LOW_CONFIDENCE and ended(hypothesis, seconds)


def ended(hypothesis: TextHypothesis, seconds: Seconds) -> bool:
    """Whether the decoder came to an end by itself and not in a loop."""
    return not hypothesis.truncated and not loops(hypothesis.text, seconds)


def nobody_spoke(decoded: Decoded) -> bool:
    """Whether the model itself doubts that there was speech, and its best text is a poor one."""
    return decoded.no_speech > NO_SPEECH and decoded.hypotheses[0].average < LOW_CONFIDENCE


def better(one: Decoded, other: Decoded, seconds: Seconds) -> Decoded:
    """The more believable of two answers to the same audio: one that can have been said in the time before one that
    cannot, one that may stand before one that may not (a loop likes itself), then the higher mean score."""

    def rank(decoded: Decoded) -> tuple[bool, bool, float]:
        best = decoded.hypotheses[0]
        possible = not (best.truncated or impossible(best.text, seconds))
        return possible, trustworthy(best, seconds), best.average

    return max(one, other, key=rank)
