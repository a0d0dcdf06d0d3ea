"""One run of the benchmark, section by section, into one report of plain values."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import bench.streams as live
from bench import access, clips, oneshot, protocols, targets
from bench.clips import Clip
from bench.place import Place, installed, prepare, serving
from bench.server import Server, Use, free_port
from bench.systems import FasterWhisper, LiveWatch, Ours, Peer, Worker
from lingting.processors import physical_cores
from lingting.service import second_pass
from lingting.text.scoring import normalise

Report: TypeAlias = dict[str, Any]

SECTIONS = ("errors", "compute", "callers", "streams", "protocols", "beside", "silence", "access")
_WATCHED_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure.

    Attributes:
        sets: which recordings.
        sections: which of SECTIONS.
        clips: how many recordings at most; None takes all.
        peers: which ways of calling faster-whisper.
        callers: how many call at once where many do.
        streams: the numbers of streams.
        seconds: how long streams are begun at each number, and with and without a long file; one stream alone in the
            former gets twice that.
        nobody_seconds: length of each of the ten recordings without speech.
        model: an installed model that is measured beside the one of the settings; empty for none.
        soak_minutes: how long 20 streams are played to watch memory; 0 leaves it out.
    """

    sets: tuple[str, ...] = clips.SETS
    sections: tuple[str, ...] = SECTIONS
    clips: int | None = None
    peers: tuple[Peer, ...] = ("default", "default_vad", "greedy")
    callers: int = 8
    streams: tuple[int, ...] = (1, 5, 10, 20, 30)
    seconds: float = 60.0
    nobody_seconds: float = 60.0
    model: str = ""
    soak_minutes: float = 0.0


QUICK = Options(
    clips=8,
    peers=("default", "greedy"),
    sections=tuple(section for section in SECTIONS if section not in ("beside", "protocols")),
    streams=(1, 10),
    seconds=8.0,
    nobody_seconds=15.0,
)


class _Bars:
    """Progress, a bar for each part of the run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def part(self, what: str, steps: int) -> Iterator[Callable[[], None]]:
        bar = self._progress.add_task(what, total=steps)
        yield lambda: self._progress.advance(bar)
        self._progress.update(bar, completed=steps)


def run(options: Options, console: Console) -> Report:
    """Measure and return the report; `docs/benchmark.md` names its fields.

    Raises:
        NoRecordings: there is nothing to measure with.
        ModelError: the model cannot be installed.
        RuntimeError: a system or the server failed.
    """
    began = time.monotonic()
    chosen = clips.load(options.sets, options.clips)
    model_dir = installed(options.model) if options.model else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory(prefix="lingting-bench-") as name, Progress(*columns, console=console) as progress:
        place = prepare(Path(name))
        report = _head(options, chosen, place)
        bars = _Bars(progress)
        report |= _measured(options, chosen, place, place, bars)
        if "access" in options.sections:
            report["access"] = access.cost_of_a_packet(place, 10_000)
        if model_dir is not None:
            with serving(model_dir.name):
                named = prepare(Path(name) / "named", model_dir)
                figures = _measured(replace(options, soak_minutes=0.0), chosen, named, place, bars)
            report["named"] = {"model": model_dir.name, **figures}
    report["took_seconds"] = time.monotonic() - began
    report["targets"] = targets.judge(report)
    return report


def _measured(options: Options, chosen: Sequence[Clip], place: Place, peers: Place, bars: _Bars) -> Report:
    """The sections about one model; faster-whisper takes that of `peers`."""
    report: Report = {}
    wanted = set(options.sections)
    if wanted & {"errors", "compute", "callers"}:
        report |= _compared(options, chosen, place, peers, bars)
    if "silence" in wanted:
        report["silence"] = _silence(options, place, bars)
    if wanted & {"streams", "protocols", "beside"} or options.soak_minutes:
        report |= _live(options, chosen, place, bars)
    return report


def _head(options: Options, chosen: Sequence[Clip], place: Place) -> Report:
    sets: dict[str, dict[str, float]] = {}
    for clip in chosen:
        of = sets.setdefault(clip.set, {"clips": 0, "seconds": 0.0})
        of["clips"] += 1
        of["seconds"] += clip.seconds
    corrector = second_pass(place.settings())
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: version(name) for name in ("lingting", "faster-whisper", "ctranslate2", "onnxruntime")},
        "machine": {
            "cores": physical_cores(),
            "architecture": platform.machine(),
            "system": platform.system(),
            "python": platform.python_version(),
            "load": os.getloadavg()[0],
        },
        "model": place.model_dir.name,
        "language_model": corrector.language_model_name if corrector else "off",
        "sections": list(options.sections),
        "clips": sets,
    }


def _compared(options: Options, chosen: Sequence[Clip], place: Place, peers: Place, bars: _Bars) -> Report:
    report: Report = {}
    with Worker(Ours, place) as ours, Worker(FasterWhisper, peers) as peer:
        if {"errors", "compute"} & set(options.sections):
            with bars.part("one-shot, in turn with faster-whisper", len(chosen)) as step:
                table = oneshot.alternate(ours, peer, chosen, options.peers, step)
            report["oneshot"] = {
                name: {system: _sums(sums) for system, sums in systems.items()} for name, systems in table.items()
            }
            report["compute_ratio"] = {
                one: {what: _ratio(report["oneshot"], one, f"{what}_seconds") for what in ("cpu", "wall")}
                for one in options.peers
            }
        if "callers" in options.sections:
            batch = [clip for clip in chosen if clip.seconds <= live.LONGEST_CLIP] or list(chosen)
            callers = options.callers
            batch = (batch * 2 * callers)[: max(2 * callers, min(len(batch), 6 * callers))]
            with bars.part(f"{callers} callers", max(1, len(batch) // (2 * callers))) as step:
                callers_peers: tuple[Peer, ...] = tuple(one for one in options.peers if one != "default_vad")
                loads = oneshot.together(ours, peer, batch, callers=callers, peers=callers_peers, step=step)
            mine = loads[oneshot.OURS]
            report["callers"] = {
                "callers": callers,
                "systems": {
                    name: {"audio_seconds": load.audio, "wall_seconds": load.wall, "cpu_seconds": load.cpu}
                    for name, load in loads.items()
                },
                "throughput_ratio": {
                    name: (mine.audio / mine.wall) / (load.audio / load.wall)
                    for name, load in loads.items()
                    if name != oneshot.OURS
                },
            }
    return report


def _sums(sums: oneshot.Sums) -> dict[str, float | None]:
    return {
        "errors": sums.errors.errors,
        "units": sums.errors.length,
        "error_rate": sums.errors.rate if sums.errors.length else None,
        "audio_seconds": sums.audio,
        "wall_seconds": sums.wall,
        "cpu_seconds": sums.cpu,
    }


def _ratio(sets: dict[str, dict[str, dict[str, float]]], peer: str, what: str) -> float:
    mine = sum(systems[oneshot.OURS][what] for systems in sets.values())
    return mine / sum(systems[peer][what] for systems in sets.values())


def _silence(options: Options, place: Place, bars: _Bars) -> Report:
    recordings = clips.nobody_speaks(options.nobody_seconds)
    texts: dict[str, str] = {}
    with Worker(Ours, place) as ours, bars.part("silence and noise", len(recordings)) as step:
        for name, samples in recordings.items():
            watched: list[LiveWatch] = ours.call("watch", [samples], 1, 0.0).result
            texts[f"{name}, one-shot"] = ours.call("recognise", samples).result
            texts[f"{name}, live"] = watched[0].text
            step()
    return {
        "seconds": options.nobody_seconds * len(recordings),
        "characters": sum(len(normalise(text)) for text in texts.values()),
        "texts": {name: text for name, text in texts.items() if text},
    }


def _live(options: Options, chosen: Sequence[Clip], place: Place, bars: _Bars) -> Report:
    report: Report = {}
    with Worker(Ours, place) as ours:
        with bars.part("what is said in the streams, and when", len(chosen)) as step:
            items = live.items(chosen, ours, step)
        if "streams" in options.sections:
            with bars.part("confirmed text", 1):
                watched: list[LiveWatch] = ours.call(
                    "watch", [item.samples for item in items], _WATCHED_AT_ONCE, live.PACKET
                ).result
            report["confirmed"] = {
                "sessions": len(watched),
                "characters": sum(each.confirmed for each in watched),
                "changed": sum(each.changed for each in watched),
            }
    if "streams" in options.sections:
        with bars.part("streams in real time", len(options.streams)) as step:
            report["streams"] = []
            for number in options.streams:
                seconds = options.seconds * (2 if number == 1 else 1)
                figures, _ = _one_run(place, items, number, seconds)
                report["streams"].append({"streams": number, **figures})
                step()
    if "protocols" in options.sections:
        with (
            bars.part("the live protocols beside HTTP", 5) as step,
            tempfile.TemporaryDirectory(prefix="lingting-bench-") as folder,
            Server(place, streams_per_tenant="100", wyoming_port=str(wyoming := free_port())) as server,
        ):
            report["protocols"] = protocols.measure(
                server, items, options.seconds, wyoming_port=wyoming, folder=Path(folder), step=step
            )
    if "beside" in options.sections:
        with bars.part("others beside a stream", 4) as step:
            report["beside"] = _beside(options, chosen, place, items, step)
    if options.soak_minutes:
        with bars.part(f"20 streams for {options.soak_minutes:g} minutes", 1):
            report["soak"] = _soak(options, place, items)
    return report


def _one_run(
    place: Place,
    items: Sequence[live.Item],
    speakers: int,
    seconds: float,
    beside: live.Neighbours = live.NOBODY,
) -> tuple[Report, list[Use]]:
    with (
        tempfile.TemporaryDirectory(prefix="lingting-bench-") as folder,
        Server(place, streams_per_tenant=str(max(40, speakers))) as server,
    ):
        played, report, uses = live.play(server, items, speakers, seconds, folder=Path(folder), beside=beside)
    return live.judge(items, played, report, uses) | _of_bursts(report), uses


def _of_bursts(report: Report) -> Report:
    bursts = report["bursts"]
    if not bursts:
        return {}
    return {
        "bursts": len(bursts),
        "bursts_slowed": sum(one["slowed"] for one in bursts),
        "bursts_failed": [one["failure"] or "no text" for one in bursts if not one["characters"]],
    }


_FILES = 4
_FILE_SECONDS = 7200.0
_BURSTS = 10
_BURST_SECONDS = 240.0


def _beside(
    options: Options, chosen: Sequence[Clip], place: Place, items: Sequence[live.Item], step: Callable[[], None]
) -> Report:
    """One speaker alone, and with others beside: a file that goes on and on, silent files of two hours, and streams
    that are sent as fast as they are taken."""
    folder = place.data_dir
    long = live.wave_file(live.joined(chosen, 300), folder / "long.wav")
    silent = live.silent_flac(_FILE_SECONDS, folder / "silent.flac")
    bursts = []
    for number in range(_BURSTS):
        bursts.append(folder / f"burst{number}.pcm")
        bursts[-1].write_bytes(live.joined(chosen, _BURST_SECONDS, 7 * number))
    neighbours = {
        "alone": live.NOBODY,
        "speech": live.Neighbours(flash=(long,)),
        "silence": live.Neighbours(flash=(silent,) * _FILES),
        "bursts": live.Neighbours(bursts=tuple(bursts)),
    }
    figures: Report = {}
    for name, others in neighbours.items():
        figures[name], _ = _one_run(place, items, 1, options.seconds, others)
        step()
    alone = figures["alone"]
    figures["ratio"] = {
        name: {
            f"{what}_{rank}": figures[name][what][rank] / alone[what][rank]
            for what in ("reply_s", "first_text_s", "final_s")
            for rank in ("p50", "p95")
            if figures[name][what][rank] is not None and alone[what][rank]
        }
        for name in list(neighbours)[1:]
    }
    return figures


def _soak(options: Options, place: Place, items: Sequence[live.Item]) -> Report:
    figures, uses = _one_run(place, items, 20, options.soak_minutes * 60)
    memory = [(use.at - uses[0].at, use.memory / 1e6) for use in uses]
    quarter = len(memory) // 4

    def mean(part: Sequence[tuple[float, float]]) -> float:
        return sum(megabytes for _, megabytes in part) / max(1, len(part))

    early, late = mean(memory[quarter : 2 * quarter]), mean(memory[-quarter:])
    return {
        "streams": 20,
        "minutes": options.soak_minutes,
        **figures,
        "memory_mb": memory[:: max(1, len(memory) // 600)],
        "growth": late / early - 1 if early else 0.0,
    }
