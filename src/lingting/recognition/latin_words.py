"""Hot words with Latin letters in what was recognised: found by their sound and written with their times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from lingting.domain import RawWord
from lingting.text.words import OPENERS, core, one_unit_each, tail


class Found(Protocol):
    """Units [start, end) of a text are `word`."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def word(self) -> str: ...


class LatinEar(Protocol):
    """Finds hot words with Latin letters in a text by their sound. Thread-safe."""

    def latin(self, words: Sequence[str], hot_words: Sequence[str]) -> Sequence[Found]:
        """Where they stand, in order, without overlaps.

        Args:
            words: the text, a Han character or a Latin word each; "" where a mark stands, which no hot word goes over.
        """
        ...


def written(words: Sequence[RawWord], hot_words: Sequence[str], ear: LatinEar) -> list[RawWord]:
    """The words with hot words in the place of what sounds like them.

    A hot word takes the time of all that it stands for, shared by its words by length; the marks around it stay.

    Args:
        words: in the order said, of one utterance or several.
    """
    units = one_unit_each(words)
    said: list[str] = []
    places: list[int] = []
    for place, unit in enumerate(units):
        bare = core(unit.text).lstrip(OPENERS)
        opened, closed = not unit.text.startswith(bare), bool(tail(unit.text))
        pieces = [*([""] * opened), bare, *([""] * closed)]
        said += pieces
        places += [place] * len(pieces)
    result: list[RawWord] = []
    done = 0
    for found in ear.latin(said, hot_words):
        first, last = places[found.start], places[found.end - 1]
        result += units[done:first]
        result += _named(units[first : last + 1], found.word)
        done = last + 1
    return [*result, *units[done:]]


def _named(said: Sequence[RawWord], word: str) -> list[RawWord]:
    first, last = said[0], said[-1]
    opened = first.text[: len(first.text) - len(first.text.lstrip(OPENERS))]
    probability = sum(unit.probability for unit in said) / len(said)
    return one_unit_each([RawWord(opened + word + tail(last.text), first.start, last.end, probability, last.border)])
