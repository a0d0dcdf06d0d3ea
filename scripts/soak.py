"""Mixed traffic of every interface for hours: memory, threads, open files and sockets of the server must stay flat.

    python scripts/soak.py                       2 hours
    python scripts/soak.py --minutes 20
    python scripts/soak.py --quick               3 minutes, which say whether it runs, not whether it is flat

Callers of every live protocol, of every interface for recordings, and those that leave in the middle, have wrong keys
or send nonsense, one after another, `--callers` at a time. What the server and its processes have is noted every five
seconds; when a third of the time is over, but not later than after ten minutes, what it has is compared with what it
has at the end, each as the median over a tenth of the time.

Fails when resident memory grew by more than 2 per cent, threads, descriptors or sockets by more than what callers hold
who come and go, a file was left in the data folder, or a caller got another answer than it should.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.place import Place
from bench.promises import Result, command
from bench.server import Server, Use, free_port
from bench.targets import at_most
from bench.traffic import LEAVING, SPEAKING, Caller, Speech, speeches

EVERY = 5.0
SETTLED = 600.0
KEPT_SECONDS = 90.0
LEAVING_SHARE = 0.25
SETTINGS = {
    "stream_idle_seconds": "10",
    "streams_per_tenant": "100",
    "login_failures_per_minute": "1000000",
    "log_level": "warning",
}


class Soak:
    """Callers that come and go until it is time."""

    def __init__(self, server: Server, wyoming_port: int, speeches: Sequence[Speech], seed: int) -> None:
        self._caller = Caller(server.port, server.key, wyoming_port)
        self._speeches = speeches
        self._rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    async def call(self, until: float, pause: float) -> None:
        """Call as one kind of caller after another."""
        while time.monotonic() < until:
            kinds = LEAVING if self._rng.random() < LEAVING_SHARE else SPEAKING
            name = self._rng.choice(list(kinds))
            try:
                text = await kinds[name](self._caller, self._rng.choice(self._speeches))
                if kinds is SPEAKING and not text:
                    self.failures.append(f"{name}: no text")
            except Exception as error:
                self.failures.append(f"{name}: {error!r}")
            self.done[name] += 1
            await asyncio.sleep(self._rng.expovariate(1 / pause))


async def watch(server: Server, until: float, say: Callable[[str], None], soak: Soak) -> list[Use]:
    """What the server has, again and again."""
    uses, told = [], time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(EVERY)
        uses.append(await asyncio.to_thread(lambda: server.use))
        if time.monotonic() - told > 60:
            told = time.monotonic()
            use = uses[-1]
            has = f"{use.memory / 1e6:.0f} MB, {use.threads} threads, {use.files} descriptors"
            calls = f"{sum(soak.done.values())} calls, {len(soak.failures)} of them wrong"
            say(f"{(until - told) / 60:.0f} minutes left: {has}, {calls}")
    return uses


async def play(
    server: Server, wyoming_port: int, given: argparse.Namespace, say: Callable[[str], None]
) -> tuple[Soak, list[Use]]:
    """Callers at work, and what the server has meanwhile."""
    soak = Soak(server, wyoming_port, speeches(), given.seed)
    until = time.monotonic() + 60 * given.minutes
    watching = asyncio.create_task(watch(server, until, say, soak))
    await asyncio.gather(*(soak.call(until, given.pause) for _ in range(given.callers)))
    return soak, await watching


def grown(uses: Sequence[Use], of: Callable[[Use], float]) -> tuple[float, float]:
    """The median when it has settled, and that at the end."""
    length = uses[-1].at - uses[0].at
    window, settled = length / 10, uses[0].at + min(SETTLED, length / 3)
    early = [of(use) for use in uses if settled <= use.at <= settled + window]
    late = [of(use) for use in uses if use.at >= uses[-1].at - window]
    return statistics.median(early), statistics.median(late)


def left_behind(folder: Path) -> list[str]:
    """Files of calls that are over: bodies, and the journal of streams, which keeps a final text for a minute."""
    deadline = time.monotonic() + KEPT_SECONDS
    while True:
        found = [file for part in ("spool", "journal") for file in (folder / part).rglob("*") if file.is_file()]
        files = [str(file) for file in found if not file.name.endswith("lock")]
        if not files or time.monotonic() > deadline:
            return files
        time.sleep(0.5)


def run(given: argparse.Namespace, place: Place, say: Callable[[str], None]) -> Result:
    if given.quick:
        given.minutes = 3.0
    wyoming_port = free_port()
    journal = {"journal": "disk", "journal_key": "a long random text for the soak"}
    with Server(place, wyoming_port=str(wyoming_port), **journal, **SETTINGS) as server:
        soak, uses = asyncio.run(play(server, wyoming_port, given, say))
        files = left_behind(server.folder)
        after = server.use
    memory, threads, descriptors, sockets = (
        grown(uses, of)
        for of in (lambda u: u.memory / 1e6, lambda u: u.threads, lambda u: u.files, lambda u: u.sockets)
    )
    figures = {
        "minutes": given.minutes,
        "callers": given.callers,
        "calls": dict(sorted(soak.done.items())),
        "resident_MB": {"settled": memory[0], "end": memory[1], "most": max(use.memory for use in uses) / 1e6},
        "threads": {"settled": threads[0], "end": threads[1]},
        "descriptors": {"settled": descriptors[0], "end": descriptors[1], "when all had left": after.files},
        "sockets": {"settled": sockets[0], "end": sockets[1], "when all had left": after.sockets},
        "CPU_of_the_server": (uses[-1].cpu - uses[0].cpu) / (uses[-1].at - uses[0].at),
    }
    promises = [
        at_most("growth of resident memory", 100 * (memory[1] / memory[0] - 1), 2, "%"),
        at_most("more threads", threads[1] - threads[0], 2, ""),
        at_most("more descriptors", descriptors[1] - descriptors[0], 2 * given.callers, ""),
        at_most("more sockets", sockets[1] - sockets[0], 2 * given.callers, ""),
        at_most("files left behind", len(files), 0, ""),
        at_most("calls with a wrong answer", len(soak.failures), 0, ""),
    ]
    return Result(figures, promises, [*soak.failures, *files])


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--callers", type=int, default=6, help="at a time")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two calls of a caller, on average")
    parser.add_argument("--seed", type=int, default=1)


if __name__ == "__main__":
    sys.exit(command(__doc__ or "", run, options))
