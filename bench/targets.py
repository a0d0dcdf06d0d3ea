"""The numbers to reach, and whether a report reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from bench.oneshot import OURS
from bench.speakers import HTTP
from bench.streams import NEIGHBOURS

FEWEST = 20
"""Recordings: from fewer nothing is judged."""

AT_MOST: Callable[[float, float], bool] = float.__le__
AT_LEAST: Callable[[float, float], bool] = float.__ge__


@dataclass(frozen=True, slots=True)
class Target:
    """One number to reach.

    Attributes:
        what: the figure, as `docs/benchmark.md` defines it.
        reach: the number to reach, as it is written.
        value: what was measured, in the unit of `unit`.
        reached: whether it is reached.
    """

    what: str
    reach: str
    value: float
    unit: str
    reached: bool


def doubts(report: dict[str, Any]) -> list[str]:
    """Why the figures of a report say little, in words; empty where nothing speaks against them."""
    found = []
    if (count := recordings(report)) < FEWEST:
        found.append(f"{count} recordings are too few to judge anything by: targets need {FEWEST}")
    machine = report["machine"]
    if (load := machine.get("load", 0.0)) > machine["cores"] / 4:
        found.append(
            f"the machine was busy when the run began (load {load:.1f}, {machine['cores']} cores): measure again"
        )
    return found


def recordings(report: dict[str, Any]) -> int:
    """How many recordings were measured with."""
    return int(sum(of["clips"] for of in report.get("clips", {}).values()))


def enough(report: dict[str, Any]) -> bool:
    """Whether there are recordings enough to judge by."""
    return recordings(report) >= FEWEST


def verdict(target: dict[str, Any], *, enough: bool = True) -> str:
    """Whether a target is reached, in words, where there is enough to say so."""
    if not enough:
        return "not judged"
    return "reached" if target["reached"] else "not reached"


def judge(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target for which the report has the figure."""
    return [asdict(target) for target in (*_oneshot(report), *_streams(report), *_rest(report))]


def _oneshot(report: dict[str, Any]) -> Iterator[Target]:
    mandarin = report.get("oneshot", {}).get("zh", {})
    if {OURS, "default"} <= mandarin.keys() and mandarin[OURS]["units"]:
        points = 100 * (mandarin[OURS]["error_rate"] - mandarin["default"]["error_rate"])
        yield at_most("character error zh, above faster-whisper default", points, 0.5, "points")
    ratios = report.get("compute_ratio", {})
    for peer, reach in (("default", 0.50), ("greedy", 0.55)):
        for what, ratio in ratios.get(peer, {}).items():
            yield at_most(f"{what} time of audio, of faster-whisper {peer}", ratio, reach, "times")
    callers = report.get("callers")
    if callers and callers["callers"] == 8 and "default" in callers["throughput_ratio"]:
        value = callers["throughput_ratio"]["default"]
        yield at_least(f"throughput with {callers['callers']} callers, of faster-whisper default", value, 3.5, "times")


def _streams(report: dict[str, Any]) -> Iterator[Target]:
    judged = [run for run in report.get("streams", ()) if run["streams"] <= 20]
    if units := sum(run["reference_units"] for run in judged):
        more = sum(run["live_errors"] - run["one_shot_errors"] for run in judged)
        yield at_most("live finals up to 20 streams, errors above one-shot", 100 * more / units, 1.5, "points")
    for run in report.get("streams", ()):
        number = run["streams"]
        of = f"{number} stream{'s' if number > 1 else ''}:"
        if number == 1:
            yield from _timed(run, of, {"first_text_s": ("p50", 0.9), "final_s": ("p95", 0.6)})
        if number == 20:
            reach = {
                "reply_s": ("p95", 0.1),
                "first_text_s": ("p50", 1.5),
                "final_s": ("p95", 1.5),
                "lag_s": ("max", 3.0),
            }
            yield from _timed(run, of, reach)
            yield at_most(f"{of} peak memory", run["peak_memory_mb"], 900, "MB")
        yield at_most(f"{of} packets or streams that failed", len(run["failures"]), 0, "")


def _rest(report: dict[str, Any]) -> Iterator[Target]:
    if confirmed := report.get("confirmed"):
        yield at_most("confirmed characters that changed", confirmed["changed"], 0, "")
    if soak := report.get("soak"):
        yield at_most("memory growth while 20 streams go on", 100 * soak["growth"], 5, "%")
        yield at_most("peak memory of the soak", soak["peak_memory_mb"], 900, "MB")
    for name, limit in (("silence", 1.5), ("bursts", 2.0)):
        if beside := report.get("beside", {}).get(name):
            of = f"one speaker beside {NEIGHBOURS[name]}:"
            for figure, ratio in report["beside"]["ratio"][name].items():
                if figure in ("first_text_s_p50", "final_s_p50"):
                    what = "first text" if figure.startswith("first") else "final after stop"
                    yield at_most(f"{of} {what} p50, of alone", ratio, limit, "times")
            yield at_most(f"{of} failed", len(beside["failures"]), 0, "")
            if "bursts_failed" in beside:
                yield at_most("streams at line speed that failed", len(beside["bursts_failed"]), 0, "")
    yield from _protocols(report.get("protocols"))
    if silence := report.get("silence"):
        minutes = silence["seconds"] / 60
        yield at_most(f"characters in {minutes:.3g} minutes of silence and noise", silence["characters"], 0, "")


def _protocols(protocols: dict[str, Any] | None) -> Iterator[Target]:
    if not protocols:
        return
    for protocol, figures in protocols["alone"].items():
        for what, name in (("first", "first text"), ("final", "final")):
            if protocol != HTTP and (behind := figures[f"{what}_behind_http_s"]) is not None:
                yield at_most(f"{protocol}: {name} behind HTTP, one speaker", behind, 0.1, "s")
        yield at_most(f"{protocol}: texts unlike those of HTTP", figures["compared"] - figures["same_text"], 0, "")
    by_http, spread = protocols["many"][HTTP], protocols["many"]["spread"]
    for what, name in (("first_text_s", "first text"), ("final_s", "final after stop")):
        for rank in ("p50", "p95"):
            if by_http[what][rank]:
                of = f"{protocols['speakers']} speakers over four protocols:"
                yield at_most(f"{of} {name} {rank}, of HTTP", spread[what][rank] / by_http[what][rank], 1.1, "times")
    failed = len(by_http["failures"]) + len(spread["failures"])
    yield at_most("live protocols: recordings that failed", failed, 0, "")


_NAMES = {"reply_s": "reply", "first_text_s": "first text", "final_s": "final after stop", "lag_s": "lag"}


def _timed(run: dict[str, Any], of: str, reach: dict[str, tuple[str, float]]) -> Iterator[Target]:
    for what, (rank, limit) in reach.items():
        if run[what][rank] is not None:
            yield at_most(f"{of} {_NAMES[what]} {rank}", run[what][rank], limit, "s")


def at_most(what: str, value: float, limit: float, unit: str) -> Target:
    """A figure that must not be above a limit."""
    return Target(what, f"at most {limit:g}", float(value), unit, AT_MOST(float(value), float(limit)))


def at_least(what: str, value: float, limit: float, unit: str) -> Target:
    """A figure that must not be below a limit."""
    return Target(what, f"at least {limit:g}", float(value), unit, AT_LEAST(float(value), float(limit)))
