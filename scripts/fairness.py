"""Two tenants, one of whom floods the server with every kind of work there is: what the quiet one notices of it.

    python scripts/fairness.py                   each kind of flood, and all at once, 60 s each
    python scripts/fairness.py --kinds files,keys --seconds 30
    python scripts/fairness.py --quick           all at once, 20 s

The quiet tenant has two speakers and a caller with short files. It is measured alone and beside each flood in turn,
alone before and after, so that what else the machine does falls on both alike. Floods: long files, streams at line
speed, streams that are begun and left, requests that are refused, wrong keys and broken files, and slow sockets. The
flood runs in a process that the system lets run last, since in life it has machines of its own.

Fails when the final text of the quiet tenant's streams, or the answer to its files, takes more than 1.5 times as long
as alone (p95), or when one of its calls fails.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.flood import KINDS
from bench.place import Place
from bench.player import Connection, play
from bench.promises import Result, command
from bench.server import Server
from bench.stats import Summary
from bench.targets import at_most
from bench.traffic import Caller, Speech, Wrong, flash, speeches

ROOT = Path(__file__).resolve().parents[1]
SPEAKERS = 2
FLOOD_GROWS = 3.0
PAUSE = 0.5
MOST = 1.5
SETTINGS = {"log_level": "error"}


@dataclass
class Noticed:
    """What the quiet tenant saw; times in seconds.

    Attributes:
        finals: from the last packet of a stream to its final text.
        replies: of the other packets.
        files: from a short file to its text.
    """

    finals: list[float] = field(default_factory=list)
    replies: list[float] = field(default_factory=list)
    files: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    async def speak(self, caller: Caller, said: Sequence[Speech], until: float) -> None:
        """Play one stream after another."""
        connection = Connection(caller.port, caller.key)
        for speech in itertools.cycle(said):
            if time.monotonic() > until:
                break
            played = await play(connection, 0, speech.pcm, asyncio.get_running_loop().time)
            waits = [replied - sent for sent, replied in zip(played.sent, played.replied, strict=False)]
            if played.failure:
                self.failures.append(f"stream: {played.failure}")
                continue
            self.replies += waits[:-1]
            self.finals += waits[-1:]
            await asyncio.sleep(PAUSE)
        connection.close()

    async def send(self, caller: Caller, said: Sequence[Speech], until: float) -> None:
        """Send one file after another."""
        for speech in itertools.cycle(said):
            if time.monotonic() > until:
                return
            sent = time.monotonic()
            try:
                await flash(caller, speech)
                self.files.append(time.monotonic() - sent)
            except Wrong as error:
                self.failures.append(f"file: {error}")
            await asyncio.sleep(2 * PAUSE)


async def notice(server: Server, key: str, said: Sequence[Speech], seconds: float, noticed: Noticed) -> None:
    """The quiet tenant for so long."""
    until, caller = time.monotonic() + seconds, Caller(server.port, key)
    turned = [[*said[n * 5 :], *said[: n * 5]] for n in range(SPEAKERS + 1)]
    await asyncio.gather(
        noticed.send(caller, turned[-1], until), *(noticed.speak(caller, order, until) for order in turned[:-1])
    )


@dataclass(frozen=True)
class Tenants:
    """The two, on one server.

    Attributes:
        quiet, loud: their keys.
        said: what the quiet one says.
    """

    server: Server
    quiet: str
    loud: str
    said: Sequence[Speech]

    def alone(self, seconds: float, noticed: Noticed) -> None:
        """The quiet one for so long."""
        asyncio.run(notice(self.server, self.quiet, self.said, seconds, noticed))

    def beside(self, kinds: Sequence[str], seconds: float) -> tuple[Noticed, dict[str, int]]:
        """The quiet one beside a flood of the other, and what that did."""
        arguments = [str(self.server.port), self.loud, str(seconds + FLOOD_GROWS), ",".join(kinds)]
        flood = subprocess.Popen([sys.executable, "-m", "bench.flood", *arguments], cwd=ROOT, stdout=subprocess.PIPE)
        try:
            assert flood.stdout is not None
            flood.stdout.readline()
            time.sleep(FLOOD_GROWS)
            noticed = Noticed()
            self.alone(seconds, noticed)
            output, _ = flood.communicate(timeout=seconds + 60)
        finally:
            flood.kill()
            flood.wait()
        return noticed, json.loads(output)


def run(given: argparse.Namespace, place: Place, say: Callable[[str], None]) -> Result:
    floods = {kind: [kind] for kind in given.kinds} | {"all at once": given.kinds}
    if given.quick:
        given.seconds, floods = 20.0, {"all at once": given.kinds}
    said = speeches(6.0)
    alone, found, did = Noticed(), {}, {}
    with Server(place, **SETTINGS) as server:
        quiet, loud = server.new_key("quiet", "quiet"), server.new_key("loud", "loud")
        tenants = Tenants(server, quiet, loud, said)
        tenants.alone(5.0, Noticed())
        part = given.seconds / (len(floods) + 1) + 10
        for name, kinds in floods.items():
            say(f"alone for {part:.0f} s, then beside {name} for {given.seconds:.0f} s")
            tenants.alone(part, alone)
            found[name], did[name] = tenants.beside(kinds, given.seconds)
            time.sleep(2)
        tenants.alone(part, alone)
    figures: dict[str, object] = {"alone": _figures(alone)}
    promises = []
    for name, noticed in found.items():
        figures[f"beside {name}"] = _figures(noticed)
        figures[f"the flood of {name} did"] = did[name]
        for what in ("finals", "files"):
            mine, theirs = (Summary.of(getattr(one, what)).p95 or 0.0 for one in (alone, noticed))
            promises.append(at_most(f"p95 of {what} beside {name}, of alone", theirs / mine, MOST, "times"))
        promises.append(at_most(f"failures beside {name}", len(noticed.failures), 0, ""))
    return Result(figures, promises, [*alone.failures, *(line for one in found.values() for line in one.failures)])


def _figures(noticed: Noticed) -> dict[str, float]:
    named = {"final": noticed.finals, "reply": noticed.replies, "file": noticed.files}
    summaries = {name: Summary.of(values) for name, values in named.items()}
    p95 = {f"{name} p95 s": summary.p95 or 0.0 for name, summary in summaries.items()}
    return {**p95, "streams": summaries["final"].count, "files": summaries["file"].count}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=60.0, help="beside each flood")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS), help=",".join(KINDS))


if __name__ == "__main__":
    sys.exit(command(__doc__ or "", run, options))
