"""The command: `python -m bench`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.clips import ALL_SETS
from bench.page import render
from bench.recordings import NoRecordings
from bench.run import QUICK, SECTIONS, Options, run
from bench.tables import show
from lingting.errors import LingtingError

_BUILD = Path(__file__).resolve().parents[1] / "build" / "bench"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the tables, and write report.json and report.html."""
    parser = _parser()
    given = parser.parse_args(arguments)
    options = QUICK if given.quick else Options()
    for name in ("model", "sets", "sections", "clips", "callers", "streams", "seconds", "soak_minutes"):
        if (value := getattr(given, name)) is not None:
            options = replace(options, **{name: value})
    if given.soak_minutes and given.sections is None:
        options = replace(options, sections=())
    progress = Console(stderr=True)
    try:
        report = run(options, progress)
    except (NoRecordings, LingtingError, RuntimeError) as error:
        progress.print(f"The benchmark stopped: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        progress.print("The benchmark was interrupted; nothing was written.", style="red")
        return 130
    folder: Path = given.out
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(report, ensure_ascii=False, indent=2)
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "report.html").write_text(render(report), encoding="utf-8")
    if given.json:
        sys.stdout.write(text + "\n")
    else:
        show(report, Console())
    progress.print(f"Written: {folder / 'report.json'} and {folder / 'report.html'}", markup=False, soft_wrap=True)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="Measure accuracy, speed and live streams.")
    parser.add_argument("--quick", action="store_true", help="eight clips, 1 and 10 streams, under 3 minutes")
    parser.add_argument("--model", help="an installed model, live and final, beside Whisper base")
    parser.add_argument("--json", action="store_true", help="print the report as JSON instead of tables")
    parser.add_argument("--sets", type=_some_of(ALL_SETS), help=f"of {','.join(ALL_SETS)}")
    parser.add_argument("--only", type=_some_of(SECTIONS), dest="sections", help=f"of {','.join(SECTIONS)}")
    parser.add_argument("--clips", type=int, help="how many recordings at most")
    parser.add_argument("--callers", type=int, help="how many call at once where many do; 8 unless given")
    parser.add_argument("--streams", type=_numbers, help="numbers of streams, such as 1,5")
    parser.add_argument("--seconds", type=float, help="how long streams are begun at each number")
    parser.add_argument(
        "--soak", type=float, dest="soak_minutes", metavar="MINUTES", help="20 streams, and memory over time, alone"
    )
    parser.add_argument("--out", type=Path, default=_BUILD, help="folder of report.json and report.html")
    return parser


def _some_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        given = tuple(part.strip() for part in text.split(",") if part.strip())
        if unknown := sorted(set(given) - set(names)):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; known: {', '.join(names)}")
        return given

    return parse


def _numbers(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError("give whole numbers above 0 with commas between them")
    return numbers


if __name__ == "__main__":
    sys.exit(main())
