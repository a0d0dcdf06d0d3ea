"""Sentences with the names of who says them: turns of speakers laid over the words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Protocol

from lingting.audio.recording import Recording
from lingting.domain import Seconds, Sentence, Turn, Word
from lingting.recognition.engine import Engine, Work
from lingting.text import spacing

_SHORTEST: Seconds = 0.4
"""A speaker who has less than this of a sentence has none of it: turns are not exact to the word."""


class SpeakerEngine(Engine, Protocol):
    """An engine whose outcomes have `turns`."""

    def begin(self, recording: Recording, speakers: int) -> Work:
        """The work of a recording; `speakers` 0 lets the engine find how many there are."""
        ...


def spoken_by(sentence: Sentence, turns: Sequence[Turn]) -> Iterator[Sentence]:
    """The sentence with its speaker, cut where another begins to speak; a word between turns is the nearest one's."""
    if not turns:
        yield sentence
        return
    if not sentence.words:
        yield replace(sentence, speaker=_nearest(sentence.start, sentence.end, turns))
        return
    runs = [
        (speaker, list(words))
        for speaker, words in groupby(sentence.words, key=lambda word: _nearest(word.start, word.end, turns))
    ]
    runs = _joined(runs)
    for number, (speaker, words) in enumerate(runs):
        if len(runs) == 1:
            yield replace(sentence, speaker=speaker)
            return
        yield replace(
            sentence,
            text=spacing.join(word.text for word in words),
            start=sentence.start if number == 0 else words[0].start,
            end=sentence.end if number == len(runs) - 1 else words[-1].end,
            words=tuple(words),
            speaker=speaker,
        )


def _joined(runs: list[tuple[str, list[Word]]]) -> list[tuple[str, list[Word]]]:
    """Runs of words with those that are too short given to the run before, or to the next for the first."""
    kept: list[tuple[str, list[Word]]] = []
    first: list[Word] = []
    for speaker, words in runs:
        if kept and (words[-1].end - words[0].start < _SHORTEST or kept[-1][0] == speaker):
            kept[-1][1].extend(words)
        elif words[-1].end - words[0].start < _SHORTEST and len(runs) > 1:
            first += words
        else:
            kept.append((speaker, [*first, *words]))
            first = []
    return kept or [(runs[0][0], first)]


def _nearest(start: Seconds, end: Seconds, turns: Sequence[Turn]) -> str:
    """Whose turn has most of a span; where none has any, whose is nearest."""
    best = max(turns, key=lambda turn: min(end, turn.end) - max(start, turn.start))
    return best.speaker
