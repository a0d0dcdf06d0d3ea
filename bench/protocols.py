"""The live protocols beside HTTP packets: the same recordings through each, alone and twenty at once, in one run."""

from __future__ import annotations

import json
import subprocess
import sys
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from bench.clips import pcm
from bench.server import Server, Use
from bench.speakers import HTTP, PROTOCOLS, Plan, Spoken
from bench.stats import Summary
from bench.streams import ROOT, SPREAD, Item
from lingting.domain import SAMPLE_RATE

SPEAKERS = 20
_ITEMS = 8
_ROUNDS = 2
_SPREAD = "spread"


def measure(
    server: Server, items: Sequence[Item], seconds: float, *, wyoming_port: int, folder: Path, step: Callable[[], None]
) -> dict[str, Any]:
    """Every recording through each protocol, one speaker, who begins with another protocol each time; then twenty
    speakers over HTTP and twenty spread over the four others, in turn, `seconds` each.

    Raises:
        RuntimeError: the speakers failed.
    """
    files = []
    for number, item in enumerate(items):
        files.append(folder / f"{number}.pcm")
        files[-1].write_bytes(pcm(item.samples))
    ways = (HTTP, *PROTOCOLS)
    alone = [
        (ways[(number + place) % len(ways)], number)
        for number in range(min(_ITEMS, len(items)))
        for place in range(len(ways))
    ]

    def speak(turns: list[list[tuple[str, int]]], seconds: float) -> list[Spoken]:
        starts = [SPREAD * speaker / len(turns) for speaker in range(len(turns))]
        return _speak(
            Plan(server.port, wyoming_port, server.key, list(map(str, files)), turns, starts, seconds=seconds), folder
        )

    spoken = speak([alone], 0.0)
    step()
    many: dict[str, list[Spoken]] = {HTTP: [], _SPREAD: []}
    for _ in range(_ROUNDS):
        for name, chosen in ((HTTP, (HTTP,)), (_SPREAD, PROTOCOLS)):
            turns = [
                [(chosen[speaker % len(chosen)], (speaker * 7 + turn) % len(items)) for turn in range(len(items))]
                for speaker in range(SPEAKERS)
            ]
            many[name] += speak(turns, seconds / _ROUNDS)
            step()
    return {
        "alone": judge_alone(items, spoken, server.uses),
        "speakers": SPEAKERS,
        "many": {name: _figures(items, each) for name, each in many.items()},
    }


def judge_alone(items: Sequence[Item], spoken: Sequence[Spoken], uses: Sequence[Use]) -> dict[str, dict[str, Any]]:
    """For each protocol its figures, its times behind those of HTTP for the same recording, and its CPU."""
    by_http = {each.item: each for each in spoken if each.protocol == HTTP and not each.failure}
    result = {}
    for protocol in (HTTP, *PROTOCOLS):
        mine = [each for each in spoken if each.protocol == protocol]
        pairs = [(each, by_http[each.item]) for each in mine if not each.failure and each.item in by_http]
        first = [one.first - other.first for one, other in pairs if one.first is not None and other.first is not None]
        final = [one.final - other.final for one, other in pairs]
        audio = sum(len(items[each.item].samples) / SAMPLE_RATE for each in mine if not each.failure)
        cpu = sum(_cpu(uses, each.began, each.ended) for each in mine if not each.failure)
        result[protocol] = {
            **_figures(items, mine),
            "first_behind_http_s": median(first) if first else None,
            "final_behind_http_s": median(final) if final else None,
            "same_text": sum(one.text == other.text for one, other in pairs),
            "compared": len(pairs),
            "other_texts": [[one.text, other.text] for one, other in pairs if one.text != other.text],
            "cpu_per_audio_second": cpu / audio if audio else None,
        }
    return result


def _figures(items: Sequence[Item], spoken: Sequence[Spoken]) -> dict[str, Any]:
    good = [each for each in spoken if not each.failure]
    return {
        "spoken": len(spoken),
        "failures": [f"{each.protocol}: {each.failure}" for each in spoken if each.failure],
        "first_text_s": asdict(
            Summary.of(each.first - items[each.item].speech_start for each in good if each.first is not None)
        ),
        "final_s": asdict(Summary.of(each.final for each in good)),
        "client_late_s": asdict(Summary.of(each.late for each in good)),
    }


def _cpu(uses: Sequence[Use], began: float, ended: float) -> float:
    """CPU seconds of the server between two moments, as far as it was watched."""
    if not uses:
        return 0.0
    first, last = (min(bisect_left(uses, at, key=lambda use: use.at), len(uses) - 1) for at in (began, ended))
    return uses[last].cpu - uses[first].cpu


def _speak(plan: Plan, folder: Path) -> list[Spoken]:
    (folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
    command = [sys.executable, "-m", "bench.speakers", str(folder / "plan.json"), str(folder / "result.json")]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise RuntimeError("the speakers failed; the error stands above")
    return [Spoken(**each) for each in json.loads((folder / "result.json").read_text(encoding="utf-8"))]
