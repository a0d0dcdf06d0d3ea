"""What a model wrote, read from its tokens: words, their times, and the language.

The text that the library gives is cleaned differently for each type of model, so it is put together anew here: a piece
that begins with a space opens a word, a Han character is one, and punctuation belongs to the word before it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lingting.domain import Language, Seconds
from lingting.errors import ModelError
from lingting.recognition import loops
from lingting.recognition.engine import CharacterTimes, Heard
from lingting.text import spacing
from lingting.text.words import has_han

_LONGEST_TOKEN: Seconds = 0.3
"""Models tell when a token begins; it ends with the next, or after this long."""

_LANGUAGES: dict[str, Language] = {"<|zh|>": "zh", "<|yue|>": "zh", "<|en|>": "en"}
_CONTINUES = "@@"
_SPACE = "▁"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a model can write.

    Attributes:
        pieces: its tokens, with "▁" where a word begins.
        capitals: its Latin letters are capitals only, as training text was; readers get small ones.
        glued: a word goes on in the next piece only where the piece ends in "@@"; else the next one opens a word.
    """

    pieces: frozenset[str] = frozenset()
    capitals: bool = False
    glued: bool = False

    @classmethod
    def read(cls, file: Path) -> Vocabulary:
        """The vocabulary of a tokens.txt: a piece and its number a line.

        Raises:
            ModelError: the file is no such list. The library ends the process over one.
        """
        try:
            rows = [line.rsplit(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
            numbers = {int(row[-1]) for row in rows}
        except (OSError, ValueError) as error:
            raise ModelError(f"{file} is not a list of tokens: {error}") from error
        if not rows or numbers != set(range(len(rows))):
            raise ModelError(f"{file} is not a list of tokens: its numbers do not run from 0 to {len(rows) - 1}")
        pieces = frozenset(row[0] for row in rows if len(row) == 2)
        spoken = [piece for piece in pieces if not piece.startswith("<")]
        latin = "".join(piece for piece in spoken if piece.isascii() or piece.startswith(_SPACE))
        glued = any(piece.endswith(_CONTINUES) for piece in spoken)
        return cls(pieces, capitals=latin.upper() == latin and latin.lower() != latin, glued=glued)


def read(
    vocabulary: Vocabulary, result: Any, duration: Seconds, asked: Language | None, *, times: bool = True
) -> Heard:
    """What was heard, from the library's result.

    Args:
        duration: seconds of the utterance, within which all times lie.
        asked: the language that was asked for; it is that of a text without letters.
        times: whether the times of characters are wanted.
    """
    words, owners = _words(vocabulary, result.tokens)
    text, places = _join(words, owners)
    if _letters(text) != _letters(result.text):  # tokens that are bytes, not characters
        text, places = result.text.strip(), []
    log_probabilities = list(getattr(result, "ys_probs", None) or getattr(result, "ys_log_probs", None) or ())
    language = _LANGUAGES.get(getattr(result, "lang", "")) or _language(text, asked)
    starts = result.timestamps
    timed = times and bool(places) and len(starts) == len(result.tokens)
    return Heard(
        text,
        language,
        _character_times(places, starts, log_probabilities, duration) if timed else None,
        average=sum(log_probabilities) / len(log_probabilities) if log_probabilities else None,
    )


def _words(vocabulary: Vocabulary, tokens: Sequence[str]) -> tuple[list[str], list[list[int]]]:
    """Words, and for each of their characters the number of its token."""
    words: list[str] = []
    owners: list[list[int]] = []
    goes_on = False
    for number, token in enumerate(tokens):
        piece = token.replace(_SPACE, " ")
        if piece.startswith("<") and piece.endswith(">"):
            continue
        opens = piece.startswith(" ") or (vocabulary.glued and not goes_on)
        goes_on = piece.endswith(_CONTINUES)
        piece = piece.removesuffix(_CONTINUES).strip()
        if vocabulary.capitals:
            piece = piece.lower()
        for character in piece:
            if not character.isalnum() and not words:
                continue  # it belongs to an utterance before
            han = has_han(character)
            after_han = bool(words) and has_han(words[-1][-1])
            if not words or (character.isalnum() and (opens or han or after_han)):
                words.append("")
                owners.append([])
            opens = False
            words[-1] += character
            owners[-1].append(number)
    return words, owners


def _join(words: Sequence[str], owners: Sequence[Sequence[int]]) -> tuple[str, list[int]]:
    """The text for reading, and for each of its characters the number of its token; a space is its neighbour's."""
    text = ""
    places: list[int] = []
    for index, word in enumerate(words):
        if index:
            before = words[index - 1]
            apart = len(spacing.join([before, word])) > len(before) + len(word)
            text += " " * apart
            places += [places[-1]] * apart
        text += word
        places += owners[index]
    return text, places


def _character_times(
    places: Sequence[int], starts: Sequence[float], log_probabilities: Sequence[float], duration: Seconds
) -> CharacterTimes:
    start = np.minimum(np.maximum.accumulate(np.asarray(starts, np.float32)), np.float32(duration))
    following = np.append(start[1:], np.float32(duration))
    end = np.minimum(following, start + np.float32(_LONGEST_TOKEN))
    probability = np.ones(len(start), np.float32)
    if len(log_probabilities) == len(start):
        probability = np.exp(np.minimum(np.asarray(log_probabilities, np.float32), 0.0))
    index = np.asarray(places, np.intp)
    return CharacterTimes(start[index], end[index], probability[index])


def _language(text: str, asked: Language | None) -> Language:
    han = sum(has_han(character) for character in text)
    latin = sum(any(character.isalpha() and not has_han(character) for character in word) for word in text.split())
    if not han and not latin:
        return asked or "zh"
    return "zh" if han >= latin else "en"


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def without_loops(heard: Heard, duration: Seconds) -> Heard:
    """What was heard, without rounds of a repetition that nobody can have said in the time."""
    kept = loops.cut(heard.text, duration, heard.times)
    times = None if heard.times is None else kept.times(heard.times)
    return replace(heard, text=kept.text, times=times, borders=kept.borders(heard.borders))


def total_log_probability(heard: Heard) -> float:
    """The sum over characters, nats; 0 where the model gives none."""
    if heard.times is None or heard.average is None:
        return 0.0
    return float(sum(math.log(max(1e-6, probability)) for probability in heard.times.probability.tolist()))


def rewritten(heard: Heard, text: str) -> Heard:
    """What was heard, with a text of the same length in place of its own."""
    return replace(heard, text=text)
