"""English numbers in a row of words: where they stand and how they are written.

Numbers from eleven become digits, and so do smaller ones in percentages, decimals, money and clock times; "ten of
clubs" and "the first time" stay. Ordinals become digits from "twenty-first" and in dates.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from lingting.text.grammars import digits

_ONES = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
}  # fmt: skip
_TEENS = {
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_ORDINALS = {
    "first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16,
    "seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30,
}  # fmt: skip
_MONTHS = frozenset({
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
})  # fmt: skip
_SCALES = frozenset({"hundred", "thousand"})
_LARGE = frozenset({"million", "billion", "trillion"})
_SIMPLE = {**_ONES, **_TEENS, **_TENS}
_WORDS = frozenset({*_SIMPLE, *_SCALES})

_TO_NINE = "|".join(word for word in _ONES if word != "zero")
_TO_NINETY_NINE = f"(?:(?:{'|'.join(_TENS)})(?: (?:{_TO_NINE}))?|{'|'.join(_TEENS)}|{_TO_NINE})"
_TO_999 = f"(?:{_TO_NINETY_NINE} hundred(?: (?:and )?{_TO_NINETY_NINE})?|{_TO_NINETY_NINE})"
_CARDINAL = re.compile(f"(?:{_TO_999} thousand(?: (?:and )?{_TO_999})?|{_TO_999}|zero)")
_HALF_OF_DAY = {"a.m.", "p.m.", "a.m", "p.m", "am", "pm"}


def runs(cores: Sequence[str], tails: Sequence[str]) -> Iterator[tuple[int, int, str]]:
    """The numbers among `cores` that become digits: first word, word behind the last, digits; in order.

    Args:
        cores: words without the punctuation behind them.
        tails: the punctuation behind each; a number does not reach across any.
    """
    words = [word.lower() for word in cores]
    index = 0
    while index < len(words):
        found = _at(words, tails, index) if _starts(words[index]) else None
        if found:
            last, new = found
            if new:
                yield index, last, new
            index = last
        else:
            index += 1


def of_number(word: str) -> bool:
    """Whether a word in lower case may be part of a number."""
    return _starts(word) or word in _MONTHS or word in {"and", "point", "at", "oh"}


def _starts(word: str) -> bool:
    head = word.split("-", maxsplit=1)[0]
    return head in _WORDS or head in _ORDINALS


def _at(words: Sequence[str], tails: Sequence[str], index: int) -> tuple[int, str] | None:
    """The number that begins at `index`: the word behind it and its digits, "" when it stays as it is."""
    before = words[index - 1] if index and not tails[index - 1] else ""
    if before in _MONTHS and (date := _day(words, tails, index)):
        return date
    end = _reach(words, tails, index)
    following = words[end] if end < len(words) and not tails[end - 1] else ""
    if end == index or before[-1:].isdigit() or following[:1].isdigit():
        return None
    said = " ".join(words[index:end]).replace("-", " ").split()
    new = ""
    if following in _ORDINALS and said[-1] in _TENS and _ORDINALS[following] < 10:
        value = _value(said)
        return (end + 1, _ordinal(value + _ORDINALS[following])) if value is not None else None
    if following == "point" and (decimal := _decimal(words, tails, end)):
        value = _value(said)
        end, new = decimal[0], "" if value is None else f"{value}.{decimal[1]}"
    else:
        new = _whole(said, before, following)
    return _with_unit(words, tails, end, new) if new else (end, "")


def _whole(said: Sequence[str], before: str, following: str) -> str:
    if len(said) == 2 and (before == "at" or following in {"in", *_HALF_OF_DAY}) and (clock := _clock(said)):
        return clock
    if year := _year(said):
        return year
    if len(said) >= 3 and all(word in _ONES or word in {"oh", "o"} for word in said):
        values = [_ONES.get(word, 0) for word in said]
        counting = all(b - a == 1 for a, b in itertools.pairwise(values))
        return "" if counting else "".join(map(str, values))
    value = _value(said)
    if value is None:
        return ""
    small = value <= 10
    if small and following not in {"percent", "per", "dollars", "dollar", "euros", *_HALF_OF_DAY, *_LARGE}:
        return ""
    return str(value)


def _with_unit(words: Sequence[str], tails: Sequence[str], end: int, number: str) -> tuple[int, str] | None:
    """Take in the word behind a number that changes how it is written: percent and money."""
    if end < len(words) and not tails[end - 1]:
        if words[end] in {"percent", "per-cent"}:
            return end + 1, f"{number}%"
        if words[end : end + 2] == ["per", "cent"] and not tails[end]:
            return end + 2, f"{number}%"
        if words[end] in {"dollars", "dollar"}:
            return end + 1, f"${number}"
        if words[end] == "euros":
            return end + 1, f"€{number}"
    return end, number


def _reach(words: Sequence[str], tails: Sequence[str], index: int) -> int:
    end = index
    while end < len(words):
        parts = words[end].split("-")
        joins = words[end] == "and" and end > index and words[end - 1] in _SCALES and end + 1 < len(words)
        joins = joins and not tails[end] and words[end + 1].split("-")[0] in _SIMPLE
        zero = words[end] == "oh" and end > index
        if not joins and not zero and not all(part in _WORDS for part in parts):
            break
        end += 1
        if tails[end - 1]:
            break
    return end


def _decimal(words: Sequence[str], tails: Sequence[str], point: int) -> tuple[int, str] | None:
    end = point + 1
    fraction = ""
    while end < len(words) and not tails[end - 1] and words[end] in _ONES:
        fraction += str(_ONES[words[end]])
        end += 1
    return (end, fraction) if fraction else None


def _day(words: Sequence[str], tails: Sequence[str], index: int) -> tuple[int, str] | None:
    """A day behind its month, as ordinal: "february twenty third"; "may" needs a word that says it is the month."""
    if words[index - 1] == "may" and (index < 2 or words[index - 2] not in {"on", "of", "by", "since", "until", "in"}):
        return None
    parts = words[index].split("-") if "-" in words[index] else [words[index]]
    if len(parts) == 1 and parts[0] in _TENS and not tails[index] and index + 1 < len(words):
        parts = [parts[0], words[index + 1]]
    day = _ORDINALS.get(parts[-1], 0) + (_TENS.get(parts[0], 99) if len(parts) == 2 else 0)
    if not 1 <= day <= 31 or len(parts) > 2:
        return None
    return index + (2 if len(parts) == 2 and "-" not in words[index] else 1), str(day)


def _clock(said: Sequence[str]) -> str:
    hour = _SIMPLE.get(said[0], 0)
    minute = _SIMPLE.get(said[1], -1)
    return f"{hour}:{minute}" if 1 <= hour <= 12 and 10 <= minute < 60 else ""


def _year(said: Sequence[str]) -> str:
    century = _SIMPLE.get(said[0], 0)
    if not 17 <= century <= 20 or not 2 <= len(said) <= 3:
        return ""
    rest = said[1:]
    if rest[0] in {"oh", "o"} and len(rest) == 2 and rest[1] in _ONES:
        return f"{century}0{_ONES[rest[1]]}"
    if rest[0] in _TENS and (len(rest) == 1 or _ONES.get(rest[1], 0)):
        return f"{century}{_TENS[rest[0]] + (_ONES[rest[1]] if len(rest) == 2 else 0)}"
    if rest[0] in _TEENS and len(rest) == 1:
        return f"{century}{_TEENS[rest[0]]}"
    return ""


def _value(said: Sequence[str]) -> int | None:
    """The value of a cardinal below a million; None when it is none."""
    text = " ".join(said)
    if not _CARDINAL.fullmatch(text):
        return None
    if text in _SIMPLE:
        return _SIMPLE[text]
    new = digits(text, "en").replace(",", "")
    return int(new) if new.isascii() and new.isdigit() else None


def _ordinal(value: int) -> str:
    ending = "th" if value % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"
