"""Sentences: where one ends, and when it was said."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter

from lingting.domain import Language, RawWord, Seconds, Sentence, Word
from lingting.text import spacing
from lingting.text.words import SENTENCE_ENDS, tail

SHORTEST: Seconds = 0.02
"""No word and no sentence is shorter than this."""

MARGIN: Seconds = 0.25
"""Voice activity misses soft beginnings and ends of words, but not more than this."""


def split(
    words: Sequence[RawWord],
    language: Language,
    max_sentence_silence: Seconds,
    speech: Sequence[tuple[Seconds, Seconds]] = (),
    duration: Seconds | None = None,
) -> list[Sentence]:
    """Cut words into sentences.

    A pause longer than `max_sentence_silence` always ends a sentence, and final punctuation ends one too. The times
    of words and sentences strictly increase, do not overlap, and lie between 0 and `duration`.

    Args:
        words: one unit each, in the order said; times in seconds.
        speech: spans in which somebody is heard, without padding, ascending; words that reach out of one by more than
            `MARGIN` are clipped.
        duration: length of the recording; unknown when None.
    """
    timed = _timed(words, speech, duration)
    sentences: list[Sentence] = []
    start = 0
    for index, word in enumerate(timed):
        last = index == len(timed) - 1
        silent = not last and timed[index + 1].start - word.end > max_sentence_silence
        if last or silent or SENTENCE_ENDS.intersection(tail(word.text)):
            sentences.append(_sentence(timed[start : index + 1], language))
            start = index + 1
    return sentences


def _sentence(words: Sequence[Word], language: Language) -> Sentence:
    text = spacing.join(word.text for word in words)
    return Sentence(text, words[0].start, words[-1].end, tuple(words), language)


def _timed(words: Sequence[RawWord], speech: Sequence[tuple[Seconds, Seconds]], duration: Seconds | None) -> list[Word]:
    """Words with their times clipped to speech and made to follow each other; the last ones make room when the
    recording ends before them."""
    result: list[Word] = []
    clock = 0.0
    wide = _widened(speech)
    for word in words:
        start, end = _clip(max(0.0, word.start), max(0.0, word.end), wide)
        start = max(start, clock)
        clock = max(end, start + SHORTEST)
        result.append(Word(word.text, start, clock, word.probability))
    if duration is None or not result or result[-1].end <= duration:
        return result
    shortest = min(SHORTEST, duration / len(result))
    limit = duration
    for index in range(len(result) - 1, -1, -1):
        late = result[index]
        if late.end <= limit:
            break
        start = max(0.0, min(late.start, limit - shortest))
        result[index] = Word(late.text, start, limit, late.probability)
        limit = start
    return result


def _widened(speech: Sequence[tuple[Seconds, Seconds]]) -> list[tuple[Seconds, Seconds]]:
    """The spans with `MARGIN` on either side; those that meet are one."""
    wide: list[tuple[Seconds, Seconds]] = []
    for start, end in speech:
        if wide and start - MARGIN <= wide[-1][1]:
            wide[-1] = wide[-1][0], max(wide[-1][1], end + MARGIN)
        else:
            wide.append((start - MARGIN, end + MARGIN))
    return wide


def _clip(start: Seconds, end: Seconds, speech: Sequence[tuple[Seconds, Seconds]]) -> tuple[Seconds, Seconds]:
    """The part of a word inside the span of speech that it shares most with; a word outside all of them is left."""
    first = bisect_left(speech, start, key=itemgetter(1))
    near = speech[first : bisect_left(speech, end, key=itemgetter(0))]
    if not near:
        return start, end
    begin, stop = max(near, key=lambda span: min(end, span[1]) - max(start, span[0]))
    return max(start, begin), min(end, stop)
