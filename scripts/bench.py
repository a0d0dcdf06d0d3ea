"""Prints the benchmark table: errors and speed of one-shot recognition on recorded speech.

On the recordings of `LINGTING_SPEECH_DIR` where that is set (a folder with manifest.tsv), else on those that the tests
download. Chinese is measured in character errors, English in word errors, both without punctuation and case. Speed is
seconds of audio per second of waiting, one recording at a time.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import jiwer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lingting.models import Store, install
from lingting.service import Recognition, physical_cores
from lingting.settings import load
from tests.recordings import Recording, recording, speech_dir


@dataclass
class Row:
    """The sums of one set of recordings."""

    errors: int = 0
    units: int = 0
    audio_seconds: float = 0.0
    waits: list[float] = field(default_factory=list)


def units(text: str) -> list[str]:
    """Han characters and Latin words or numbers, in lower case, without punctuation."""
    return re.findall(r"[\u4e00-\u9fff]|[a-z0-9']+", text.lower())


def errors(reference: str, hypothesis: str) -> tuple[int, int]:
    """Edits between the two, and the length of the reference, in units."""
    wanted, got = units(reference), units(hypothesis)
    if not wanted:
        return 0, 0
    result = jiwer.process_words(" ".join(wanted), " ".join(got))
    return result.substitutions + result.deletions + result.insertions, len(wanted)


async def measure(recognition: Recognition, recordings: list[tuple[str, Recording]]) -> dict[str, Row]:
    """Recognise all recordings one after another."""
    rows: dict[str, Row] = defaultdict(Row)
    await recognition.recognizer.warm_up()
    for name, each in track(recordings, "recognising", console=Console(stderr=True), transient=True):
        samples = each.samples
        began = time.perf_counter()
        transcript = await recognition.recognizer.recognize(samples)
        wait = time.perf_counter() - began
        wrong, total = errors(each.reference, transcript.text)
        row = rows[name]
        row.errors += wrong
        row.units += total
        row.audio_seconds += len(samples) / 16_000
        row.waits.append(wait)
    return rows


def recordings() -> list[tuple[str, Recording]]:
    """The recordings and the set each belongs to."""
    if os.environ.get("LINGTING_SPEECH_DIR"):
        return [(Path(each.name).parts[0], each) for each in speech_dir()]
    return [(name, recording(name)) for name in ("asr_example", "vad_example", "two_cities", "beckett")]


def main() -> None:
    settings = load()
    install(Store.at(settings.models_dir), settings.model)
    recognition = Recognition(settings)
    try:
        rows = asyncio.run(measure(recognition, recordings()))
    finally:
        recognition.close()
    if "--json" in sys.argv[1:]:
        print(json.dumps({name: vars(row) for name, row in rows.items()}, indent=2))
        return
    table = Table(
        title=f"{settings.model}, {physical_cores()} cores, {platform.machine()}, Python {platform.python_version()}"
    )
    for heading in ("set", "files", "audio s", "errors %", "x real time", "p50 s", "p95 s"):
        table.add_column(heading, justify="left" if heading == "set" else "right")
    for name, row in rows.items():
        waits = sorted(row.waits)
        table.add_row(
            name,
            str(len(waits)),
            f"{row.audio_seconds:.0f}",
            f"{100 * row.errors / row.units:.1f}" if row.units else "-",
            f"{row.audio_seconds / sum(waits):.1f}",
            f"{waits[len(waits) // 2]:.2f}",
            f"{waits[min(len(waits) - 1, int(len(waits) * 0.95))]:.2f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
