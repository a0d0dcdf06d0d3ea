"""One recording after the other, ours and the peers in turn: errors and compute. Then many callers at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.clips import Clip
from bench.systems import Peer, Worker
from lingting.text.scoring import ErrorCount, error_rate

OURS = "lingting"
_REST = 0.25
"""Seconds after a call of the peer, whose threads spin for a while before they sleep."""


@dataclass(slots=True)
class Sums:
    """Errors and cost of one system on the clips of one set."""

    errors: ErrorCount = field(default_factory=lambda: ErrorCount(0, 0))
    audio: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0


Table = dict[str, dict[str, Sums]]
"""Sums by set, then by system."""


def alternate(
    ours: Worker, peer: Worker, clips: Sequence[Clip], peers: Sequence[Peer], step: Callable[[], None]
) -> Table:
    """Recognise each clip with ours and with every peer before going on to the next; the order rotates."""
    table: Table = {}
    systems: list[str] = [OURS, *peers]
    for number, clip in enumerate(clips):
        turn = number % len(systems)
        for system in (*systems[turn:], *systems[:turn]):
            sums = table.setdefault(clip.set, {each: Sums() for each in systems})[system]
            if system == OURS:
                done = ours.call("recognise", clip.samples)
            else:
                peer.call("use", system)
                done = peer.call("recognise", clip.samples)
                time.sleep(_REST)
            sums.audio += clip.seconds
            sums.wall += done.wall
            sums.cpu += done.cpu
            if clip.reference:
                sums.errors += error_rate(clip.reference, done.result)
        step()
    return table


@dataclass(slots=True)
class Load:
    """Many callers at once: seconds of audio recognised, of waiting for all of it, and of CPU."""

    audio: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0


def together(
    ours: Worker, peer: Worker, clips: Sequence[Clip], *, callers: int, peers: Sequence[Peer], step: Callable[[], None]
) -> dict[str, Load]:
    """Let `callers` callers recognise clips at once, a round of clips by ours and by each peer in turn."""
    loads: dict[str, Load] = {OURS: Load(), **{name: Load() for name in peers}}
    rounds = [clips[start : start + 2 * callers] for start in range(0, len(clips), 2 * callers)]
    if len(rounds) > 1 and len(rounds[-1]) < callers:
        rounds.pop()
    for batch in rounds:
        samples = [clip.samples for clip in batch]
        for system, load in loads.items():
            if system != OURS:
                peer.call("use", system)
            done = (ours if system == OURS else peer).call("together", samples, callers)
            if system != OURS:
                time.sleep(_REST)
            load.audio += sum(clip.seconds for clip in batch)
            load.wall += done.wall
            load.cpu += done.cpu
        step()
    return loads
