"""Language models over words: the compact one that is shipped, and KenLM files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from lingting.errors import ModelError
from lingting.phonetics.lattice import Arc
from lingting.phonetics.lexicon import Lexicon

DEBIAN_FOLDER = Path("/usr/lib")
DEBIAN_MODELS = "*/libime/zh_CN.lm"


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
    """Word frequencies, and transitions of characters across the borders of words, from the lexicon's own file."""

    name = "compact"

    def __init__(self, lexicon: Lexicon, border: float = 0.5) -> None:
        """`border` weighs the transition between the last character of a word and the first of the next."""
        self._lexicon = lexicon
        self._border = border
        self._rows: dict[str, dict[str, float]] = {}

    def start(self) -> str:
        return ""

    def extend(self, state: str, arc: Arc) -> tuple[float, str]:
        word = arc.word
        cost = arc.cost
        if state and not arc.hot:
            row = self._rows.get(state) or self._row(state)
            cost += row.get(word[0], row[""])
        return cost, word[-1]

    def _row(self, character: str) -> dict[str, float]:
        """Weighted costs of the characters behind `character`; the empty string stands for all others."""
        arrays = self._lexicon.arrays
        step = self._lexicon.cost_step * self._border
        index = int(self._lexicon.row_of[ord(character)])
        row = {"": 16.0 * self._border}
        if index < self._lexicon.character_count:
            begin, end = arrays["bigram_starts"][index : index + 2]
            second = arrays["bigram_second"][begin:end].tolist()
            costs = arrays["bigram_costs"][begin:end].tolist()
            row = {chr(code): cost * step for code, cost in zip(second, costs, strict=True)}
            row[""] = float(arrays["bigram_defaults"][index]) * step
        self._rows[character] = row
        return row


class KenlmModel:
    """Word n-grams of a KenLM file, read with the `kenlm` module (`pip install "lingting[kenlm]"`)."""

    _NATS = 2.302585093

    def __init__(self, path: Path) -> None:
        """Map a binary or load an ARPA file.

        Raises:
            ModelError: the file is missing or damaged, or the kenlm module is not installed.
        """
        try:
            import kenlm
        except ImportError as error:
            raise ModelError(f'{path} needs the kenlm module: pip install "lingting[kenlm]"') from error
        if not path.is_file():
            raise ModelError(f"the language model {path} does not exist")
        try:
            self._model = kenlm.Model(str(path))
        except (OSError, RuntimeError) as error:
            raise ModelError(f"the language model {path} is not a KenLM file: {error}") from error
        self._state = kenlm.State
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
        return -self._NATS * self._model.BaseScore(state, arc.word, behind), behind
