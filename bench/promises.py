"""What the commands that load a server have in common: a run with progress, figures as a table or JSON, a verdict."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from bench.place import Place, prepare
from bench.tables import targets
from bench.targets import Target
from lingting.processors import physical_cores


@dataclass(frozen=True, slots=True)
class Result:
    """What a run found.

    Attributes:
        figures: what was measured, by name; plain values.
        promises: what must hold.
        failures: what went wrong, in words; there must be none.
    """

    figures: Mapping[str, Any]
    promises: Sequence[Target]
    failures: Sequence[str] = field(default_factory=tuple)

    @property
    def kept(self) -> bool:
        """Whether every promise holds."""
        return all(promise.reached for promise in self.promises) and not self.failures


def command(
    documentation: str,
    run: Callable[[argparse.Namespace, Place, Callable[[str], None]], Result],
    options: Callable[[argparse.ArgumentParser], None],
) -> int:
    """Run one of the commands; its exit code: 1 when a promise is broken.

    Args:
        documentation: the command's own, for `--help`.
        run: gets the options, a place for a server, and what prints a line of progress.
        options: adds the options besides `--quick` and `--json`.
    """
    parser = argparse.ArgumentParser(description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short form, for CI")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options(parser)
    given = parser.parse_args()
    progress = Console(stderr=True)
    began, before = time.monotonic(), _others()
    with _ended_in_order(), TemporaryDirectory(prefix="lingting-load-") as folder:
        result = run(given, prepare(Path(folder)), lambda line: progress.print(line, style="dim", markup=False))
    others = (_others() - before) / (time.monotonic() - began)
    result = replace(result, figures={**result.figures, "cores_that_others_used": max(0.0, others)})
    if given.json:
        sys.stdout.write(json.dumps(_plain(result), ensure_ascii=False, indent=2) + "\n")
    else:
        _show(result, Console())
    return 0 if result.kept else 1


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Whoever is told to end stops the servers that were started."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _others() -> float:
    """CPU seconds of this machine that neither this process nor those that it started have used."""
    machine, own = psutil.cpu_times(), os.times()
    busy = machine.user + machine.nice + machine.system
    return busy - (own.user + own.system + own.children_user + own.children_system)


def _plain(result: Result) -> dict[str, Any]:
    return {
        "figures": dict(result.figures),
        "promises": [asdict(promise) for promise in result.promises],
        "failures": list(result.failures),
        "kept": result.kept,
        "cores": physical_cores(),
    }


def _show(result: Result, console: Console) -> None:
    table = Table("figure", "measured", title=f"Measured on {physical_cores()} cores", title_justify="left")
    for name, value in result.figures.items():
        table.add_row(name.replace("_", " "), _written(value))
    console.print(table)
    console.print(targets([asdict(promise) for promise in result.promises]))
    for failure in result.failures[:20]:
        console.print(failure, style="red", markup=False)
    if len(result.failures) > 20:
        console.print(f"and {len(result.failures) - 20} more", style="red")


def _written(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_written(each)}" for name, each in value.items())
    return str(value)
