"""The report as one HTML page with plots, which needs nothing from a network."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl

mpl.use("svg")

from matplotlib import pyplot
from matplotlib.axes import Axes
from rich.console import Console

from bench import targets
from bench.oneshot import OURS
from bench.tables import called, measured, show

_COLOURS = {OURS: "#0f766e", "default": "#c2410c", "default_vad": "#ea9a5f", "greedy": "#6366f1"}
_INK = "#767e8a"
"""Text and axes of plots: read on a light page as on a dark one."""
_INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
_VERDICTS = {"reached": "yes", "not reached": "no", "not judged": "soft"}
_STYLE = """
:root {
  color-scheme: light dark; --ink: #1f2937; --soft: #5b6472; --line: #e5e7eb; --paper: #fff;
  --yes: #0f766e; --no: #b91c1c; --note: #fef3c7;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e5e7eb; --soft: #9aa3af; --line: #374151; --paper: #16181a; --yes: #4fb8ab; --no: #f99; --note: #43370f;
  }
}
body {
  font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); background: var(--paper);
}
h1, h2 { line-height: 1.2 } .wide { overflow-x: auto } figure { margin: 0 } svg { width: 100%; height: auto }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums }
td, th { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1.5rem }
.yes { color: var(--yes) } .no { color: var(--no); font-weight: 600 } .soft { color: var(--soft) }
.note { background: var(--note); border-radius: .5rem; padding: .6rem .9rem }
pre { overflow-x: auto; font-size: 13px; line-height: 1.25 } figcaption { color: var(--soft); font-size: .9rem }
"""


def render(report: dict[str, Any]) -> str:
    """The page."""
    plots = [_figure(draw, report, number) for number, (present, draw) in enumerate(_PLOTS) if present(report)]
    rows = "".join(
        f"<tr><td>{html.escape(each['what'])}</td><td>{each['reach']}</td><td>{html.escape(measured(each))}</td>"
        f"<td class={_VERDICTS[verdict]}>{verdict}</td></tr>"
        for each in report["targets"]
        for verdict in (targets.verdict(each, enough=targets.enough(report)),)
    )
    doubts = (html.escape(doubt[:1].upper() + doubt[1:]) for doubt in targets.doubts(report))
    notes = "".join(f'<p class="note">{doubt}.</p>' for doubt in doubts)
    sets = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{of['clips']}</td><td>{of['seconds']:.0f} s</td></tr>"
        for name, of in report.get("clips", {}).items()
    )
    machine = report["machine"]
    about = (
        f"{report['model']}, language model {report['language_model']}, {machine['cores']} cores, "
        f"{machine['architecture']}, {report['made']}"
    )
    text = io.StringIO()
    show(report, Console(file=text, width=150, color_system=None))
    data = html.escape(json.dumps(report, ensure_ascii=False, indent=1))
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lingting benchmark</title><style>{_STYLE}</style></head><body>
<h1>Lingting benchmark</h1><p>{html.escape(about)}. Definitions: docs/benchmark.md.</p>
{notes}
<h2>Recordings</h2><table><tr><th>set</th><th>clips</th><th>length</th></tr>{sets}</table>
<h2>Targets</h2><div class="wide"><table>
<tr><th>what</th><th>reach</th><th>measured</th><th></th></tr>{rows}</table></div>
<h2>Plots</h2><div class="plots">{"".join(plots)}</div>
<h2>Tables</h2><pre>{html.escape(text.getvalue())}</pre>
<details><summary>All figures (report.json)</summary><pre>{data}</pre></details>
</body></html>
"""


def _figure(draw: Callable[[Axes, dict[str, Any]], str], report: dict[str, Any], number: int) -> str:
    output = io.StringIO()
    # text stays text; ids differ between the plots of a page
    inked: dict[Any, Any] = dict.fromkeys(
        ["text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"], _INK
    )
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"plot{number}", "font.size": 10, **inked}):
        figure, axes = pyplot.subplots(figsize=(6.4, 3.8), layout="constrained")
        caption = draw(axes, report)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(output, format="svg", metadata={"Date": None}, transparent=True)
        pyplot.close(figure)
    svg = output.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(?<=id=")|(?<=href="#)|(?<=url\(#)', f"plot{number}-", svg)
    return f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _errors(axes: Axes, report: dict[str, Any]) -> str:
    sets = {name: systems for name, systems in report["oneshot"].items() if systems[OURS]["error_rate"] is not None}
    systems = list(next(iter(sets.values())))
    width = 0.8 / len(systems)
    for index, system in enumerate(systems):
        places = [number + (index - (len(systems) - 1) / 2) * width for number in range(len(sets))]
        rates = [100 * each[system]["error_rate"] for each in sets.values()]
        axes.bar(places, rates, width * 0.92, color=_COLOURS[system], label=called(system))
    axes.set_xticks(range(len(sets)), list(sets))
    axes.set_ylabel("errors, %")
    axes.set_title("Errors, one-shot")
    axes.legend(frameon=False, fontsize=8)
    return "Character errors for zh and mixed, word errors for en; lower is better."


def _compute(axes: Axes, report: dict[str, Any]) -> str:
    ratios = report["compute_ratio"]
    for index, (what, colour) in enumerate((("cpu", "#0f766e"), ("wall", "#94a3b8"))):
        places = [number + (index - 0.5) * 0.38 for number in range(len(ratios))]
        bars = axes.barh(places, [each[what] for each in ratios.values()], 0.34, color=colour, label=f"{what} time")
        axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9)
    axes.axvline(1, color="#c2410c", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(ratios)), [f"of {called(peer)}" for peer in ratios], fontsize=8)
    axes.set_title("Time of lingting for the same audio")
    axes.legend(frameon=False, fontsize=8)
    return "Clip by clip in turn in one run, one caller. The dashed line is faster-whisper; lower is better."


def _callers(axes: Axes, report: dict[str, Any]) -> str:
    ratios = report["callers"]["throughput_ratio"]
    bars = axes.bar([called(peer) for peer in ratios], list(ratios.values()), 0.5, color=_COLOURS[OURS])
    axes.bar_label(bars, fmt="%.2f", padding=2)
    axes.axhline(1, color="#c2410c", linestyle="--", linewidth=1)
    axes.set_title(f"Throughput with {report['callers']['callers']} callers, times the peer's")
    return "The same clips, a round each in turn; higher is better."


def _timing(what: str, title: str, *, scale: float = 1, unit: str = "s") -> Callable[[Axes, dict[str, Any]], str]:
    def draw(axes: Axes, report: dict[str, Any]) -> str:
        for rank, marker in (("p50", "o"), ("p95", "s"), ("max", "^")):
            points = [(run["streams"], run[what][rank]) for run in report["streams"] if run[what][rank] is not None]
            axes.plot([x for x, _ in points], [y * scale for _, y in points], marker=marker, label=rank)
        axes.set_xticks([run["streams"] for run in report["streams"]])
        axes.set_xlabel("streams")
        axes.set_ylabel(unit)
        _from_zero(axes)
        axes.set_title(title)
        axes.legend(frameon=False, fontsize=8)
        return f"{title} by the number of streams; lower is better."

    return draw


def _use(axes: Axes, report: dict[str, Any]) -> str:
    numbers = [run["streams"] for run in report["streams"]]
    axes.plot(numbers, [run["peak_memory_mb"] for run in report["streams"]], marker="o", color="#0f766e")
    axes.set_xticks(numbers)
    axes.set_xlabel("streams")
    axes.set_ylabel("peak memory, MB", color="#0f766e")
    _from_zero(axes)
    right = axes.twinx()
    right.plot(numbers, [run["cpu_per_second"] for run in report["streams"]], marker="s", color="#c2410c")
    right.set_ylabel("CPU seconds per second", color="#c2410c")
    _from_zero(right)
    axes.set_title("Memory and CPU of the server")
    return "Resident memory and CPU of the server's processes together."


def _flicker(axes: Axes, report: dict[str, Any]) -> str:
    names = [str(run["streams"]) for run in report["streams"]]
    axes.bar(names, [run["replaced_per_unit"] for run in report["streams"]], 0.5, color=_COLOURS[OURS])
    axes.set_xlabel("streams")
    axes.set_title("Guessed characters replaced per final character")
    return "Characters that were shown as a guess and that the next reply changed; lower is better."


def _soak(axes: Axes, report: dict[str, Any]) -> str:
    memory = report["soak"]["memory_mb"]
    axes.plot([at / 60 for at, _ in memory], [megabytes for _, megabytes in memory], color="#0f766e")
    axes.set_xlabel("minutes")
    axes.set_ylabel("memory, MB")
    _from_zero(axes)
    axes.set_title(f"Memory while {report['soak']['streams']} streams go on")
    return "Resident memory of the server's processes together."


def _from_zero(axes: Axes) -> None:
    axes.set_ylim(0, max(1e-6, axes.get_ylim()[1] * 1.05))


def _has(section: str) -> Callable[[dict[str, Any]], bool]:
    return lambda report: bool(report.get(section))


def _has_errors(report: dict[str, Any]) -> bool:
    return any(systems[OURS]["error_rate"] is not None for systems in report.get("oneshot", {}).values())


_PLOTS: list[tuple[Callable[[dict[str, Any]], bool], Callable[[Axes, dict[str, Any]], str]]] = [
    (_has_errors, _errors),
    (_has("compute_ratio"), _compute),
    (_has("callers"), _callers),
    (_has("streams"), _timing("first_text_s", "First text after speech starts")),
    (_has("streams"), _timing("reply_s", "Reply to a packet", scale=1000, unit="ms")),
    (_has("streams"), _timing("final_s", "Final after stop")),
    (_has("streams"), _timing("lag_s", "Lag")),
    (_has("streams"), _flicker),
    (_has("streams"), _use),
    (_has("soak"), _soak),
]
