"""Hot words with Latin letters, as a Chinese ear writes them: 靠迷迷迷 is Call Me Maybe, 埃铺派 is Apple Pay.

The word and a stretch of text, Chinese characters and Latin words alike, become rows of broad phones, one character
each: consonants, the vowels a e i o u, and N for ng. The word stands where the rows differ little by a weighted edit
distance and the text by itself says little: its Chinese costs the language model much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from lingting.phonetics import search
from lingting.phonetics.lattice import Arc, Builder
from lingting.phonetics.models import LanguageModel
from lingting.phonetics.syllables import split

_WORDS = re.compile(r"[A-Za-z][A-Za-z '’&.+-]*")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+(?:['’][a-z]+)*")
_SPELLED = 4
"""Capitals up to which a word is spelled."""
_HAN = re.compile("[一-鿿]")
_FEWEST = 4
"""Phones of a word; fewer are found in everything."""

_FINALS = {
    "ong": "oN", "iong": "ioN", "ao": "au", "iao": "iau", "iu": "iou", "ian": "ien", "ui": "uei", "un": "uen",
    "v": "u", "ve": "ue", "ng": "N", "ang": "aN", "eng": "eN", "ing": "iN", "iang": "iaN", "uang": "uaN",
}  # fmt: skip
_INITIALS = {"zh": "j", "ch": "q", "sh": "x", "y": "i", "w": "u"}
_BUZZING = frozenset(("zh", "ch", "sh", "r", "z", "c", "s"))

_LETTERS = {
    "a": "ei", "b": "bi", "c": "si", "d": "di", "e": "i", "f": "ef", "g": "ji", "h": "eiq", "i": "ai", "j": "jei",
    "k": "kei", "l": "el", "m": "em", "n": "en", "o": "ou", "p": "pi", "q": "kiu", "r": "ar", "s": "es", "t": "ti",
    "u": "iu", "v": "ui", "w": "dabuliu", "x": "eks", "y": "uai", "z": "zi",
}  # fmt: skip
_RULES = [
    (re.compile(pattern), phones)
    for pattern, phones in (
        ("tion|sion|cian", "xen"), ("tch|ch", "q"), ("sh", "x"), ("ph", "f"), ("th", "s"), ("ck", "k"), ("qu", "ku"),
        ("wh", "u"), ("^wr", "r"), ("^kn", "n"), ("igh", "ai"), ("gh", ""), ("dge", "j"), ("ng", "N"),
        ("all?(?=[^aeiouy]|$)", "ol"), ("ee|ea", "i"), ("oo", "u"), ("ou|ow", "au"), ("ai|ay|ei|ey", "ei"),
        ("oa", "ou"), ("au|aw", "o"), ("oi|oy", "oi"), ("ew|ue", "u"), ("ie$|y$", "i"), ("[aeiou]r(?![aeiou])", "er"),
        ("a(?=[^aeiou]e(?:s?$|[^aeiourwnld]))", "ei"), ("i(?=[^aeiou]e)", "ai"), ("o(?=[^aeiou]e)", "ou"),
        ("u(?=[^aeiou]e)", "u"), ("(?<=[bcdfgkpt])le$", "el"), ("(?<=[^aeiou])e$", ""), ("c(?=[eiy])", "s"),
        ("g(?=[eiy])", "j"), ("c|q", "k"), ("x", "ks"), ("y(?=[aeiou])", "i"), ("y", "i"), ("w", "u"), ("v", "f"),
        (r"([b-df-hj-np-tz])\1", r"\1"), ("u", "a"),
    )
]  # fmt: skip
"""How letters sound, the first that fits; what none fits sounds as it is written."""

Cost: TypeAlias = Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class Unit:
    """A piece of text: a Han character or a Latin word.

    Attributes:
        text: as it is written.
        phones: how it sounds; empty for what has no sound and is never part of a word.
    """

    text: str
    phones: str


@dataclass(frozen=True, slots=True)
class Found:
    """Units [start, end) that are `word`.

    Attributes:
        distance: between the phones, weighted.
        gain: by how many nats the word is likelier than the text.
    """

    start: int
    end: int
    word: str
    distance: float
    gain: float


def syllable_phones(syllable: str) -> str:
    """The phones of a toneless syllable of pinyin; ü is written `v`."""
    initial, final = split(syllable)
    if initial in _BUZZING and final == "i":
        return _INITIALS.get(initial, initial) + "e"
    sound = _INITIALS.get(initial, initial) + _FINALS.get(final, final)
    return re.sub(r"(.)\1", r"\1", sound) if initial in ("y", "w") else sound


@lru_cache(maxsize=4096)
def word_phones(word: str) -> str:
    """The phones of a Latin word by rule; capitals alone are spelled."""
    return "".join(_spelled(part) if _is_spelled(part) else _said(part.lower()) for part in parts(word))


def _is_spelled(part: str) -> bool:
    return part.isupper() and len(part) <= _SPELLED


def parts(word: str) -> list[str]:
    """The words that a Latin word is made of: ApplePie is two."""
    return _PART.findall(word)


def _spelled(letters: str) -> str:
    return "".join(_LETTERS.get(letter, "") for letter in letters.lower())


def _said(word: str) -> str:
    word = re.sub(r"[^a-z]", "", word)
    phones = ""
    place = 0
    while place < len(word):
        for pattern, sound in _RULES:
            found = pattern.match(word, place)
            if found:
                phones += found.expand(sound)
                place = found.end()
                break
        else:
            phones += word[place]
            place += 1
    return phones


_VOWELS = frozenset("aeiou")
_PHONES = "aeioubpmfdtnlgkhjqxzcsrN"
_ALIKE = (
    (0.15, "fv"),
    (0.25, "bp dt gk jq qx jx zs cs zc sx zx cq zj cj sq rl mn nN mN"),
    (0.3, "ou ao ae ei"),
    (0.35, "lo lu ln re ra bf bm fp td sf ia"),
    (0.5, "fh kh eo ai eu au iu oi hk fb dl tl kq gj kj"),
)
_NEAR = {both: cost for cost, pairs in reversed(_ALIKE) for pair in pairs.split() for both in (pair, pair[::-1])}
_ADDED = {**dict.fromkeys("uei", 0.35), **dict.fromkeys("ao", 0.6), **dict.fromkeys("lrhnN", 0.5)}
_MISSED = {**dict.fromkeys("lrh", 0.3), **dict.fromkeys("tdkpsfN", 0.45), **dict.fromkeys("eiu", 0.4)}

WORD_COST = 16.0
"""Nats of a hot word as a word: so much more must the text cost, since everything sounds like something."""
PHONE_COST = 7.0
"""Nats of a whole phone of distance."""
LATIN_COST = 20.0
"""Nats of a Latin word as text, which the language model does not know."""
LETTERS_COST = 8.0
"""Nats of letters that are spelled."""
WORST = 0.3
"""Distance for each phone of the word over which it is not considered."""
WORST_MIXED = 0.2
"""The same where Chinese and Latin words stand in its place."""
WORST_LATIN = 0.15
"""The same for Latin words; short ones have to sound the same, so that like is not Nike."""
_SHORT = 5


def _change(one: str, other: str) -> float:
    """What it costs to hear one phone for another: a vowel is taken for a vowel sooner."""
    if one == other:
        return 0.0
    return _NEAR.get(one + other, 0.7 if one in _VOWELS and other in _VOWELS else 1.0)


def _added(phone: str) -> float:
    """What it costs to hear a phone that the word does not have; Chinese puts a vowel behind every consonant."""
    return _ADDED.get(phone, 0.8)


def _missed(phone: str) -> float:
    """What it costs not to hear a phone of the word; Chinese has no consonants at the end but n and ng."""
    return _MISSED.get(phone, 0.7)


class LatinHotWords:
    """A list of hot words, prepared; those without Latin letters or with digits are not looked for. Thread-safe."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [
            (word, phones)
            for word in dict.fromkeys(word.strip() for word in words)
            if _WORDS.fullmatch(word) and len(phones := word_phones(word)) >= _FEWEST
        ]
        if not self._words:
            return
        size = max(len(phones) for _, phones in self._words)
        padded = np.array([list(phones.ljust(size)) for _, phones in self._words])
        self._lengths = np.array([len(phones) for _, phones in self._words])
        missed = np.vectorize(_missed, otypes=[np.float32])(padded)
        self._without = np.concatenate((np.zeros((len(padded), 1), np.float32), missed.cumsum(axis=1)), axis=1)
        self._changes = {
            phone: np.vectorize(lambda other, phone=phone: _change(phone, other), otypes=[np.float32])(padded)
            for phone in _PHONES
        }

    def __bool__(self) -> bool:
        return bool(self._words)

    def find(self, units: Sequence[Unit], cost: Cost) -> list[Found]:
        """Where the words stand, in order and without overlaps.

        Args:
            units: the text.
            cost: what units [start, end) cost as text, nats.
        """
        found: list[Found] = []
        for index in self._near(units):
            word, phones = self._words[index]
            found += _places(word, phones, units, cost)
        return sorted(_apart(sorted(found, key=lambda place: -place.gain)), key=lambda place: place.start)

    def _near(self, units: Sequence[Unit]) -> list[int]:
        """The words that are near enough anywhere: an edit distance that may begin at any phone (Sellers, 1980), of all
        words at once."""
        rows = self._without.copy()
        every = np.arange(len(rows))
        near = np.zeros(len(rows), np.bool_)
        limit = WORST * self._lengths
        for unit in units:
            if not unit.phones:
                rows = self._without.copy()
            for phone in unit.phones:
                best = rows + np.float32(_added(phone))
                np.minimum(best[:, 1:], rows[:, :-1] + self._changes[phone], out=best[:, 1:])
                best[:, 0] = 0
                rows = self._without + np.minimum.accumulate(best - self._without, axis=1)
                near |= rows[every, self._lengths] <= limit
        return [int(index) for index in np.flatnonzero(near)]


class TextCost:
    """What stretches of a text cost as they stand: by how much the text is cheaper to read without them."""

    def __init__(self, units: Sequence[Unit], builder: Builder, model: LanguageModel) -> None:
        self._units = units
        self._builder = builder
        self._model = model
        self._lattices: dict[tuple[int, int], list[list[Arc]]] = {}
        self._costs: dict[tuple[int, int, int], list[float]] = {}

    def __call__(self, start: int, end: int) -> float:
        """The cost of units [start, end), nats: what is left of a run of Han characters that they are taken out of has
        to be read by itself, so half a word costs less than it seems."""
        cost = 0.0
        place = start
        while place < end:
            unit = self._units[place]
            if not _HAN.match(unit.text):
                cost += sum(LETTERS_COST if _is_spelled(part) else LATIN_COST for part in parts(unit.text))
                place += 1
                continue
            first, last = self._run(place)
            cost += self._cost(first, last, first, last)
            cost -= self._cost(first, last, first, place)
            if end < last:
                cost -= self._cost(first, last, end, last)
            place = last
        return cost

    def _run(self, place: int) -> tuple[int, int]:
        first, last = place, place + 1
        while first and _HAN.match(self._units[first - 1].text):
            first -= 1
        while last < len(self._units) and _HAN.match(self._units[last].text):
            last += 1
        return first, last

    def _cost(self, first: int, last: int, start: int, end: int) -> float:
        """The cost of [start, end) of the run [first, last)."""
        if (first, last) not in self._lattices:
            run = "".join(unit.text for unit in self._units[first:last])
            self._lattices[first, last] = self._builder.build(run)
        if (first, last, start) not in self._costs:
            self._costs[first, last, start] = search.costs(self._lattices[first, last], self._model, start - first)
        return self._costs[first, last, start][end - first]


def _places(word: str, phones: str, units: Sequence[Unit], cost: Cost) -> Iterator[Found]:
    """Every stretch of whole units that may be the word."""
    for start, unit in enumerate(units):
        if not unit.phones:
            continue
        row = [0.0]
        for phone in phones:
            row.append(row[-1] + _missed(phone))
        for end in range(start, len(units)):
            if not units[end].phones or min(row) > WORST * len(phones):
                break
            for phone in units[end].phones:
                row = _next_row(row, phone, phones)
            distance = row[-1]
            if distance > _limit(units[start : end + 1], len(phones)):
                continue
            if not _better_without_edge(distance, start, end, units, phones):
                gain = cost(start, end + 1) - WORD_COST - PHONE_COST * distance
                if gain > 0:
                    yield Found(start, end + 1, word, distance, gain)


def _limit(units: Sequence[Unit], phones: int) -> float:
    """The distance up to which a word of so many phones may stand for these units: what the engine wrote in Latin
    letters it mostly heard right, so English that means what it says has to differ little."""
    latin = [not _HAN.match(unit.text) for unit in units]
    if not any(latin):
        return WORST * phones
    if not all(latin):
        return WORST_MIXED * phones
    return WORST_LATIN * phones if phones > _SHORT else 0.0


def _better_without_edge(distance: float, start: int, end: int, units: Sequence[Unit], phones: str) -> bool:
    """Whether a Latin word at either edge only adds to the distance: it is said beside the hot word, not in it."""
    edges = [(start + 1, end)] * (not _HAN.match(units[start].text)) + [(start, end - 1)] * (
        not _HAN.match(units[end].text)
    )
    return any(first <= last and _distance(units[first : last + 1], phones) < distance for first, last in edges)


def _distance(units: Sequence[Unit], phones: str) -> float:
    row = [0.0]
    for phone in phones:
        row.append(row[-1] + _missed(phone))
    for unit in units:
        for phone in unit.phones:
            row = _next_row(row, phone, phones)
    return row[-1]


def _next_row(row: Sequence[float], heard: str, phones: str) -> list[float]:
    """Edit distances to the first phones of a word when one more phone is heard (Wagner and Fischer, 1974)."""
    added = _added(heard)
    result = [row[0] + added]
    for column, expected in enumerate(phones):
        missed = result[column] + _missed(expected)
        result.append(min(row[column + 1] + added, missed, row[column] + _change(heard, expected)))
    return result


def _apart(places: Iterable[Found]) -> list[Found]:
    """Of places that overlap, the first."""
    taken: list[Found] = []
    for place in places:
        if all(place.end <= other.start or other.end <= place.start for other in taken):
            taken.append(place)
    return taken
