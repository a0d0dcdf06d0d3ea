"""Language models over words: the compact one that is shipped, and KenLM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from lingting.errors import ModelError
from lingting.phonetics.lattice import Arc
from lingting.phonetics.lexicon import Lexicon

SHIPPED = Path(__file__).with_name("zh_CN.lm")
"""libime's language model of Chinese words; the folder's NOTICES says where it comes from."""

_REMEMBERED = 1024


class LanguageModel(Protocol):
    """How likely a word is after what came before. Thread-safe; a state is opaque and never changes."""

    name: str

    def start(self) -> Any:
        """The state at the start of a sentence."""
        ...

    def extend(self, state: Any, arc: Arc) -> tuple[float, Any]:
        """The cost of `arc.word` after `state`, in nats, and the state behind it."""
        ...


class CompactModel:
    """Word frequencies, and the affinity of characters across the borders of words, from the lexicon's own file.

    The affinity of two characters is log P(second | first) − log P(second): how much more often than by chance they
    meet.
    """

    name = "compact"

    def __init__(self, lexicon: Lexicon, border: float = 0.3) -> None:
        """`border` weighs the affinity between the last character of a word and the first of the next."""
        arrays = lexicon.arrays
        step = lexicon.cost_step * border
        self._lexicon = lexicon
        self._most = border * float(lexicon.meta["most_affinity"])
        self._weighted = [value * step for value in range(-128, 256)]
        self._names = {code: chr(code) for code in arrays["characters"].tolist()}
        self._common = {
            chr(code): self._weighted[128 + cost]
            for code, cost in zip(arrays["characters"].tolist(), arrays["character_costs"].tolist(), strict=True)
        }
        self._rows: dict[str, dict[str, float]] = {}

    def start(self) -> str:
        return ""

    def extend(self, state: str, arc: Arc) -> tuple[float, str]:
        word = arc.word
        if not state or arc.hot:
            return arc.cost, word[-1]
        row = self._rows.get(state) or self._row(state)
        affinity = row.get(word[0])
        if affinity is None:
            affinity = row[""] + self._common.get(word[0], 0.0)
            affinity = max(-self._most, min(self._most, affinity))
        return arc.cost - affinity, word[-1]

    def _row(self, character: str) -> dict[str, float]:
        """Weighted affinities of what follows `character`; under "" the log probability of each that is not listed."""
        arrays = self._lexicon.arrays
        names, weighted = self._names, self._weighted
        index = int(self._lexicon.row_of[ord(character)])
        row = {"": -self._most}
        if index < self._lexicon.character_count:
            begin, end = arrays["affinity_starts"][index : index + 2]
            second = arrays["affinity_second"][begin:end].tolist()
            affinities = arrays["affinities"][begin:end].tolist()
            row = {names[code]: weighted[128 + value] for code, value in zip(second, affinities, strict=True)}
            row[""] = -weighted[128 + int(arrays["affinity_defaults"][index])]
        if len(self._rows) >= _REMEMBERED:
            self._rows = {}
        self._rows[character] = row
        return row


class KenlmModel:
    """Word n-grams of a KenLM file, read with the `kenlm` module of ufal-kenlm; a binary one is mapped."""

    _NATS = 2.302585093

    def __init__(self, path: Path, frequency: float = 0.6, unknown: float = 4.0) -> None:
        """Map a binary or load an ARPA file.

        Args:
            path: the file.
            frequency: the share of the lexicon's own word frequencies in a cost.
            unknown: nats that a word costs in addition when the file does not have it.

        Raises:
            ModelError: the file is missing or damaged, or the kenlm module is not installed.
        """
        try:
            import kenlm
        except ImportError as error:
            raise ModelError(f"{path} needs the kenlm module: pip install ufal-kenlm") from error
        if not path.is_file():
            raise ModelError(f"the language model {path} does not exist")
        try:
            self._model = kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise ModelError(f"the language model {path} is not a KenLM file: {error}") from error
        self._state = kenlm.State
        self._frequency = frequency
        self._unknown = unknown
        self._scale = -self._NATS * (1 - frequency)
        self.name = f"kenlm:{path.name}"

    def start(self) -> Any:
        state = self._state()
        self._model.BeginSentenceWrite(state)
        return state

    def extend(self, state: Any, arc: Arc) -> tuple[float, Any]:
        behind = self._state()
        if arc.hot:
            self._model.BaseScore(state, arc.word, behind)
            return arc.cost, behind
        cost = self._scale * self._model.BaseScore(state, arc.word, behind) + self._frequency * arc.cost
        return cost if arc.word in self._model else cost + self._unknown, behind
