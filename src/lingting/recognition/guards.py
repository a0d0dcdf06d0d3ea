"""Judging what an engine wrote: loops, low confidence, speech that nobody spoke."""

from __future__ import annotations

import re
import zlib

from lingting.domain import Seconds
from lingting.recognition.engine import Decoded, EngineHypothesis

LOW_CONFIDENCE = -1.0
"""Mean log probability of a token below which a longer window is tried (Whisper's own fallback threshold)."""

NO_SPEECH = 0.6
"""Whisper's own threshold on the probability of the no-speech token."""

_COMPRESSION = 2.4
_CHARACTERS_PER_SECOND = 30.0
_LOOP = re.compile(r"(.{1,24}?)\1{3,}", re.DOTALL)
_DIGITS = re.compile(r"[\d零一二三四五六七八九〇幺两.\s-]+")


def loops(text: str, seconds: Seconds) -> bool:
    """Whether `text` repeats itself or is longer than anyone speaks in `seconds`.

    A short unit said four times in a row, or text that compresses by more than 2.4 (Whisper's own measure), is a loop;
    spoken digits may repeat.
    """
    if len(text) > 16 + _CHARACTERS_PER_SECOND * seconds:
        return True
    for found in _LOOP.finditer(text):
        if len(found.group(0)) >= 8 and not _DIGITS.fullmatch(found.group(1)):
            return True
    raw = text.encode()
    return len(raw) > 60 and len(raw) / len(zlib.compress(raw)) > _COMPRESSION


def trustworthy(hypothesis: EngineHypothesis, seconds: Seconds) -> bool:
    """Whether a hypothesis may stand without trying a longer window."""
    return not hypothesis.truncated and hypothesis.average >= LOW_CONFIDENCE and not loops(hypothesis.text, seconds)


def nobody_spoke(decoded: Decoded) -> bool:
    """Whether the engine itself doubts that there was speech, and its best text is a poor one."""
    return decoded.no_speech > NO_SPEECH and decoded.hypotheses[0].average < LOW_CONFIDENCE


def better(one: Decoded, other: Decoded, seconds: Seconds) -> Decoded:
    """The more believable of two answers to the same audio: no loop before a loop, then the higher mean score."""

    def rank(decoded: Decoded) -> tuple[bool, float]:
        best = decoded.hypotheses[0]
        return not (best.truncated or loops(best.text, seconds)), best.average

    return max(one, other, key=rank)


def cut_loop(text: str) -> int:
    """The length of `text` up to the end of the first round of its first loop; all of it where there is none."""
    for found in _LOOP.finditer(text):
        if len(found.group(0)) >= 8 and not _DIGITS.fullmatch(found.group(1)):
            return found.start() + len(found.group(1))
    return len(text)
