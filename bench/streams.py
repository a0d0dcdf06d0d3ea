"""Streams in real time over HTTP: what is played, and what the replies say of latency, lag, flicker and errors."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import av
import numpy as np

from bench.clips import Clip, pcm
from bench.player import Plan, Played
from bench.server import Server, Use
from bench.stats import Summary, coverage, digits_apart, erased, lag, transfer
from bench.systems import Worker
from lingting.audio.gate import GateConfig, speech_spans
from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, Samples, Transcript
from lingting.text.scoring import ErrorCount, error_rate, tokens

PACKET = 0.2
LEAD = 0.4
GAP = 1.2
PAUSE = 0.8
SPREAD = 4.0
LONGEST_CLIP = 15.0
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A stream to play: silence, a clip, and perhaps a pause and another clip. It stops with the last clip.

    Attributes:
        speech_start: seconds at which the first voiced frame of the first clip begins.
        units, spoken: the units of the one-shot text of its clips, and the seconds at which each had been spoken.
        one_shot: errors of that text; of length 0 where a clip has no reference.
    """

    samples: Samples = field(repr=False)
    reference: str
    speech_start: float
    units: tuple[str, ...]
    spoken: tuple[float, ...]
    one_shot: ErrorCount


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who else uses the server while streams are played; see `Plan`."""

    flash: tuple[Path, ...] = ()
    bursts: tuple[Path, ...] = ()


NOBODY = Neighbours()
NEIGHBOURS = {
    "speech": "a long file, again and again",
    "silence": "4 silent files of 2 hours",
    "bursts": "10 streams of 4 minutes at line speed",
}
"""What the runs beside which a speaker speaks are called."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the one-shot recognition of a clip gave."""

    transcript: Transcript
    speech_start: float | None


def hear(ours: Worker, clip: Clip) -> Heard:
    """Recognise a clip for its text and times, and find where speech starts in it."""
    transcript: Transcript = ours.call("transcribe", clip.samples).result
    spans = speech_spans(clip.samples, VoiceDetector().judge(clip.samples), GateConfig(before=0, after=0))
    return Heard(transcript, spans[0].start / SAMPLE_RATE if spans else None)


def items(clips: Sequence[Clip], ours: Worker, step: Callable[[], None]) -> list[Item]:
    """Streams of one clip and of two, in turn, from the clips that are short enough where any are."""
    heard = []
    short = [clip for clip in clips if clip.seconds <= LONGEST_CLIP] or list(clips)
    for clip in short:
        heard.append((clip, hear(ours, clip)))
        step()
    spoken = [(clip, each) for clip, each in heard if each.speech_start is not None and each.transcript.sentences]
    result: list[Item] = []
    rest = iter(spoken)
    for number in count():
        group = [pair for _, pair in zip(range(1 + number % 2), rest, strict=False)]
        if not group:
            return result
        result.append(_item(group))
    raise AssertionError("unreachable")


def play(
    server: Server,
    chosen: Sequence[Item],
    speakers: int,
    seconds: float,
    *,
    folder: Path,
    beside: Neighbours = NOBODY,
) -> tuple[list[Played], dict[str, Any], list[Use]]:
    """Play streams by `speakers` speakers at once for about `seconds`, with others `beside` them: the streams, the
    player's own report, and what the server used meanwhile.

    Raises:
        RuntimeError: the player failed.
    """
    files = []
    for number, item in enumerate(chosen):
        file = folder / f"{number}.pcm"
        file.write_bytes(pcm(item.samples))
        files.append(str(file))
    orders = [np.roll(np.arange(len(chosen)), -(speaker * 7 % len(chosen))).tolist() for speaker in range(speakers)]
    starts = [SPREAD * speaker / speakers for speaker in range(speakers)]
    others = [str(file) for file in beside.flash], [str(file) for file in beside.bursts]
    plan = Plan(server.port, server.key, files, orders, starts, PAUSE, seconds, *others)
    (folder / "plan.json").write_text(json.dumps(asdict(plan)), encoding="utf-8")
    began = time.monotonic()
    command = [sys.executable, "-m", "bench.player", str(folder / "plan.json"), str(folder / "result.json")]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise RuntimeError("the player of the streams failed; its error stands above")
    report = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    played = [Played(**each) for each in report.pop("streams")]
    uses = [use for use in server.uses if began <= use.at]
    return played, report, uses


def judge(
    chosen: Sequence[Item], played: Sequence[Played], report: dict[str, Any], uses: Sequence[Use]
) -> dict[str, Any]:
    """The figures of one run, as `docs/benchmark.md` defines them."""
    good = [each for each in played if not each.failure]
    live, one_shot = ErrorCount(0, 0), ErrorCount(0, 0)
    replaced = units = silent = 0
    lags: list[float] = []
    first: list[float] = []
    for each in good:
        item = chosen[each.item]
        final = tokens(each.final)
        lags += _lags(item, each)
        changes = [tokens(text) for _, text in each.texts]
        replaced += sum(erased(before, after) for before, after in zip([[], *changes], changes, strict=False))
        units += len(final)
        if each.texts:
            first.append(each.replied[each.texts[0][0]] - item.speech_start)
        else:
            silent += 1
        if item.one_shot.length:
            live += error_rate(item.reference, each.final)
            one_shot += item.one_shot
    wall = report["ended"] - report["began"]
    during = [use for use in uses if report["began"] <= use.at <= report["ended"]]
    audio = sum(len(chosen[each.item].samples) / SAMPLE_RATE for each in good)
    cpu = during[-1].cpu - during[0].cpu if len(during) > 1 else 0.0
    return {
        "played": len(played),
        "failures": [each.failure for each in played if each.failure],
        "without_text": silent,
        "seconds": wall,
        "audio_seconds": audio,
        "reply_s": asdict(Summary.of(_waits(good, last=False))),
        "final_s": asdict(Summary.of(_waits(good, last=True))),
        "first_text_s": asdict(Summary.of(first)),
        "lag_s": asdict(Summary.of(lags)),
        "client_late_s": asdict(Summary.of(_lateness(chosen, good))),
        "replaced_per_unit": replaced / units if units else 0.0,
        "live_error": live.rate if live.length else None,
        "one_shot_error": one_shot.rate if one_shot.length else None,
        "live_errors": live.errors,
        "one_shot_errors": one_shot.errors,
        "reference_units": live.length,
        "peak_memory_mb": max((use.memory for use in during), default=0) / 1e6,
        "cpu_per_second": cpu / wall if wall else 0.0,
        "cpu_per_audio_second": cpu / audio if audio else 0.0,
        "client_cpu_per_second": report["client_cpu"] / wall if wall else 0.0,
    }


def joined(clips: Sequence[Clip], seconds: float, first: int = 0) -> bytes:
    """PCM of clips joined with pauses, from the clip of number `first` on, at least `seconds` long."""
    pieces: list[Samples] = []
    length = 0.0
    for number in count(first):
        if length >= seconds:
            break
        clip = clips[number % len(clips)]
        pieces += [clip.samples, _silence(GAP)]
        length += clip.seconds + GAP
    return pcm(np.concatenate(pieces))


def wave_file(content: bytes, file: Path) -> Path:
    """A WAV file of PCM."""
    with wave.open(str(file), "wb") as output:
        output.setnchannels(1)
        output.setsampwidth(2)
        output.setframerate(SAMPLE_RATE)
        output.writeframes(content)
    return file


def silent_flac(seconds: float, file: Path) -> Path:
    """A FLAC file of silence, which is small however long it is."""
    with av.open(str(file), "w", format="flac") as output:
        stream = output.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        piece = np.zeros((1, 60 * SAMPLE_RATE), np.int16)
        for start in range(0, round(seconds * SAMPLE_RATE), piece.shape[1]):
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


def _item(group: Sequence[tuple[Clip, Heard]]) -> Item:
    pieces: list[Samples] = []
    units: list[str] = []
    spoken: list[float] = []
    one_shot = ErrorCount(0, 0)
    at = 0.0
    for number, (clip, heard) in enumerate(group):
        pieces += [_silence(GAP if number else LEAD), clip.samples]
        at += GAP if number else LEAD
        for sentence in heard.transcript.sentences:
            for word in sentence.words:
                found = digits_apart(tokens(word.text))
                units += found
                spoken += [at + word.end] * len(found)
        if clip.reference:
            one_shot += error_rate(clip.reference, heard.transcript.text)
        at += clip.seconds
    complete = all(clip.reference for clip, _ in group)
    start = group[0][1].speech_start
    assert start is not None
    return Item(
        np.concatenate(pieces),
        " ".join(clip.reference for clip, _ in group) if complete else "",
        LEAD + start,
        tuple(units),
        tuple(spoken),
        one_shot if complete else ErrorCount(0, 0),
    )


def _lags(item: Item, played: Played) -> list[float]:
    """The lag just before each reply arrived, that is of the text that a reader still saw."""
    final = digits_apart(tokens(played.final))
    spoken = transfer(item.units, item.spoken, final)
    changes = dict(played.texts)
    covered = 0
    result: list[float] = []
    for number, at in enumerate(played.replied):
        result.append(lag(at, covered, spoken))
        if number in changes:
            covered = coverage(digits_apart(tokens(changes[number])), final)
    return result


def _waits(played: Sequence[Played], *, last: bool) -> list[float]:
    waits = []
    for each in played:
        every = [replied - sent for sent, replied in zip(each.sent, each.replied, strict=True)]
        waits += every[-1:] if last else every[:-1]
    return waits


def _lateness(chosen: Sequence[Item], played: Sequence[Played]) -> list[float]:
    return [
        sent - min((number + 1) * PACKET, len(chosen[each.item].samples) / SAMPLE_RATE)
        for each in played
        for number, sent in enumerate(each.sent)
    ]


def _silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)
