"""The report as tables for a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.oneshot import OURS
from bench.streams import NEIGHBOURS
from bench.targets import doubts, enough, verdict

_WORDS = {"system", "texts", "reach"}
_CALLED = {
    OURS: "lingting",
    "default": "faster-whisper, beam 5",
    "default_vad": "faster-whisper, beam 5, its VAD",
    "greedy": "faster-whisper, greedy",
}


def called(system: str) -> str:
    """A system's name for readers."""
    return _CALLED[system]


def show(report: dict[str, Any], console: Console) -> None:
    """Print every section that the report has, the targets last."""
    for section, builder in _BUILDERS.items():
        if section in report:
            console.print(builder(report[section]))
            console.print()
    if named := report.get("named"):
        console.print(f"The same with {named['model']}, live and final", style="bold", markup=False)
        for section, builder in _BUILDERS.items():
            if section in named:
                console.print(builder(named[section]))
                console.print()
    if report["targets"]:
        console.print(targets(report["targets"], enough=enough(report)))
    for doubt in doubts(report):
        console.print(f"Note: {doubt}.", style="yellow")
    machine = report["machine"]
    if sets := report.get("clips"):
        told = ", ".join(f"{name} {of['clips']} ({of['seconds']:.0f} s)" for name, of in sets.items())
        console.print(f"recordings: {told}", style="dim")
    console.print(
        f"{report['model']}, language model {report['language_model']}, {machine['cores']} cores, "
        f"{machine['architecture']}, Python {machine['python']}; "
        f"lingting {report['versions']['lingting']}, faster-whisper {report['versions']['faster-whisper']}; "
        f"took {report['took_seconds']:.0f} s",
        style="dim",
    )


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 or heading in _WORDS else "right")
    return table


def _oneshot(sets: dict[str, Any]) -> Table:
    table = _table("One-shot, clip by clip in turn", "set", "system", "errors", "CPU", "wall")
    for name, systems in sets.items():
        mine = systems[OURS]
        for number, (system, sums) in enumerate(systems.items()):
            table.add_row(
                "" if number else name,
                Text(called(system)),
                _percent(sums["error_rate"]),
                *(_against(mine[f"{what}_seconds"], sums[f"{what}_seconds"], system) for what in ("cpu", "wall")),
                end_section=number == len(systems) - 1,
            )
    table.caption = "CPU, wall: what lingting takes of this system's time for the same audio"
    return table


def _callers(callers: dict[str, Any]) -> Table:
    table = _table(f"{callers['callers']} callers at once", "against", "throughput of lingting")
    for system, ratio in callers["throughput_ratio"].items():
        table.add_row(called(system), f"{ratio:.2f} times")
    return table


def _streams(runs: list[dict[str, Any]]) -> Table:
    table = _table("Streams in real time over HTTP, packets of 200 ms", "", *(str(run["streams"]) for run in runs))
    for what, cell in _rows():
        table.add_row(what, *(cell(run) for run in runs))
    return table


def _rows() -> Iterator[tuple[str, Callable[[dict[str, Any]], str]]]:
    yield "first text, s (p50 / p95)", lambda run: _ranks(run["first_text_s"], "p50", "p95")
    yield "reply, ms (p50 / p95)", lambda run: _ranks(run["reply_s"], "p50", "p95", scale=1000)
    yield "final after stop, s (p50 / p95)", lambda run: _ranks(run["final_s"], "p50", "p95")
    yield "lag, s (p50 / p95 / max)", lambda run: _ranks(run["lag_s"], "p50", "p95", "max")
    yield "guessed characters replaced per final one", lambda run: f"{run['replaced_per_unit']:.2f}"
    yield "errors live / one-shot", lambda run: f"{_percent(run['live_error'])} / {_percent(run['one_shot_error'])}"
    yield "peak memory, MB", lambda run: f"{run['peak_memory_mb']:.0f}"
    yield "CPU seconds per second", lambda run: f"{run['cpu_per_second']:.2f}"
    yield "CPU seconds per second of audio", lambda run: f"{run['cpu_per_audio_second']:.3f}"
    yield "CPU of the client per second", lambda run: f"{run['client_cpu_per_second']:.2f}"
    yield "streams played / failed", lambda run: f"{run['played']} / {len(run['failures'])}"


def _beside(beside: dict[str, Any]) -> Table:
    others = list(beside["ratio"])
    table = _table("One speaker, with others beside", "", "alone", *(NEIGHBOURS[other] for other in others))
    rows = {"reply_s": ("reply, ms", 1000), "first_text_s": ("first text, s", 1), "final_s": ("final after stop, s", 1)}
    for what, (name, scale) in rows.items():
        table.add_row(
            f"{name} (p50 / p95)",
            *(_ranks(beside[run][what], "p50", "p95", scale=scale) for run in ("alone", *others)),
        )
        ratios = ([beside["ratio"][other].get(f"{what}_{rank}") for rank in ("p50", "p95")] for other in others)
        table.add_row("  times alone", "", *(" / ".join(_times(each) for each in pair) for pair in ratios))
    runs = ("alone", *others)
    table.add_row("streams played / failed", *(f"{beside[r]['played']} / {len(beside[r]['failures'])}" for r in runs))
    bursts = beside["bursts"]
    done = bursts["bursts"] - len(bursts["bursts_failed"])
    table.caption = f"bursts complete: {done} of {bursts['bursts']}, told to slow down {bursts['bursts_slowed']} times"
    return table


def _protocols(protocols: dict[str, Any]) -> Table:
    alone, many = protocols["alone"], protocols["many"]
    table = _table("Live protocols beside HTTP packets, in real time", "", *alone, *(_MANY[name] for name in many))
    runs = (*alone.values(), *many.values())
    table.add_row("first text, s (p50 / p95)", *(_ranks(run["first_text_s"], "p50", "p95") for run in runs))
    table.add_row("final after stop, s (p50 / p95)", *(_ranks(run["final_s"], "p50", "p95") for run in runs))
    for what in ("first", "final"):
        table.add_row(
            f"  {what} behind HTTP for the same recording, s",
            *(_signed(run.get(f"{what}_behind_http_s")) for run in runs),
        )
    table.add_row("text of HTTP", *(f"{run['same_text']} of {run['compared']}" for run in alone.values()))
    table.add_row("CPU seconds per second of audio", *(_digits(run["cpu_per_audio_second"]) for run in alone.values()))
    table.add_row("spoken / failed", *(f"{run['spoken']} / {len(run['failures'])}" for run in runs))
    table.caption = f"one speaker, and {protocols['speakers']} at once"
    return table


_MANY = {"http": "20 over HTTP", "spread": "20 spread"}


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f}"


def _digits(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _times(ratio: float | None) -> str:
    return "–" if ratio is None else f"{ratio:.2f}"


def _silence(silence: dict[str, Any]) -> Table:
    table = _table("Silence and noise, one-shot and live", "seconds", "characters", "texts")
    texts = "; ".join(f"{name}: {text}" for name, text in silence["texts"].items())
    table.add_row(f"{silence['seconds']:.0f}", str(silence["characters"]), Text(texts))
    return table


def _confirmed(confirmed: dict[str, Any]) -> Table:
    table = _table("Confirmed text", "sessions", "characters", "changed later")
    table.add_row(*(str(confirmed[name]) for name in ("sessions", "characters", "changed")))
    return table


def _access(access: dict[str, Any]) -> Table:
    table = _table("Authentication and limits, in memory", "CPU of a packet", "of a stream", "of a core at 20 streams")
    table.add_row(
        f"{access['microseconds_per_packet']:.0f} µs",
        f"{access['microseconds_per_stream']:.0f} µs",
        f"{100 * access['share_of_a_core_at_20_streams']:.2f} %",
    )
    return table


def _soak(soak: dict[str, Any]) -> Table:
    table = _table(
        f"{soak['streams']} streams for {soak['minutes']:g} minutes", "peak memory", "growth", "streams", "failed"
    )
    growth, failed = f"{100 * soak['growth']:+.1f} %", str(len(soak["failures"]))
    table.add_row(f"{soak['peak_memory_mb']:.0f} MB", growth, str(soak["played"]), failed)
    return table


def targets(judged: list[dict[str, Any]], *, enough: bool = True) -> Table:
    """The numbers to reach, and what was measured; verdicts only of what is enough to judge by."""
    styles = {"reached": "green", "not reached": "bold red", "not judged": "dim"}
    table = _table("Targets", "what", "reach", "measured", "")
    for target in judged:
        said = verdict(target, enough=enough)
        table.add_row(Text(target["what"]), target["reach"], measured(target), Text(said, styles[said]))
    return table


def measured(target: dict[str, Any]) -> str:
    """A target's value with its unit."""
    return f"{target['value']:.3g} {target['unit']}".strip()


def _percent(rate: float | None) -> str:
    return "no transcript" if rate is None else f"{100 * rate:.1f} %"


def _against(mine: float, theirs: float, system: str) -> str:
    return "" if system == OURS else f"{mine / theirs:.2f}"


def _ranks(summary: dict[str, float | None], *ranks: str, scale: float = 1) -> str:
    values = [summary[rank] for rank in ranks]
    digits = 0 if scale > 1 else 2
    return " / ".join("–" if value is None else f"{value * scale:.{digits}f}" for value in values)


_BUILDERS: dict[str, Callable[[Any], Table]] = {
    "oneshot": _oneshot,
    "callers": _callers,
    "confirmed": _confirmed,
    "streams": _streams,
    "protocols": _protocols,
    "beside": _beside,
    "soak": _soak,
    "silence": _silence,
    "access": _access,
}
