"""The cheapest path through a lattice: Viterbi search with a beam."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lingting.phonetics.lattice import Arc
from lingting.phonetics.models import LanguageModel


class Path(NamedTuple):
    """A way through a lattice so far: its cost in nats, the model's state, its last arc and the path before that."""

    cost: float
    state: Any
    arc: Arc | None
    before: Path | None

    def arcs(self) -> list[Arc]:
        """All arcs, first to last."""
        found = []
        path: Path | None = self
        while path is not None and path.arc is not None:
            found.append(path.arc)
            path = path.before
        return found[::-1]


def best(lattice: list[list[Arc]], model: LanguageModel, state: Any, beam: int = 12) -> Path:
    """The cheapest path from the start of the lattice to its end; `beam` paths are kept at each position.

    Paths that end in the same model state are merged, so the beam holds only different pasts.
    """
    return _ends(lattice, model, state, beam, 0)[-1][0]


def costs(lattice: list[list[Arc]], model: LanguageModel, first: int = 0, beam: int = 3) -> list[float]:
    """The cost of the cheapest path from position `first` to each position; infinite before it."""
    ends = _ends(lattice, model, model.start(), beam, first)
    return [paths[0].cost if paths else math.inf for paths in ends]


def _ends(lattice: list[list[Arc]], model: LanguageModel, state: Any, beam: int, first: int) -> list[list[Path]]:
    ends: list[list[Path]] = [[] for _ in range(first)]
    ends.append([Path(0.0, state, None, None)])
    extend = model.extend
    for arcs in lattice[first + 1 :]:
        found: dict[Any, Path] = {}
        for arc in arcs:
            own = arc.change
            for path in ends[arc.start]:
                cost, behind = extend(path.state, arc)
                cost += path.cost + own
                known = found.get(behind)
                if known is None or cost < known.cost:
                    found[behind] = Path(cost, behind, arc, path)
        ends.append(sorted(found.values(), key=_cost)[:beam])
    return ends


def _cost(path: Path) -> float:
    return path.cost
