"""Takes away from a real server, again and again, what it lives by, while streams play; checks every final text.

    python scripts/chaos.py                          20 streams at a time in real time, 200 kills and 50 freezes
    python scripts/chaos.py drain=20                 orderly stops instead
    python scripts/chaos.py kill=20 disk=20 clock=5  any faults, so often each, in random order
    python scripts/chaos.py --quick                  3 streams, 3 kills, 1 freeze, faster than real time
    python scripts/chaos.py --minutes 10             whatever fits into the time
    python scripts/chaos.py --seed 7                 the same speech and the same moments again

    kill, freeze                          SIGKILL and a new start; SIGSTOP for up to 3 s
    drain                                 SIGTERM, and a new start when it has ended
    engine, engine-stopped                SIGKILL and SIGSTOP of the process that holds the model
    decoder, decoder-stopped              the same of those that decode files, which are sent meanwhile
    disk, descriptors, memory             nothing can be written, opened, allocated for some seconds
    clock                                 the time of day is an hour early or late (needs libfaketime)
    redis, redis-silent                   SIGKILL and SIGSTOP of the Redis that has journal and limits
    postgresql, postgresql-silent         the same of the database

The next fault comes when the server answers and no stream waits any more for a final text that it waited for when the
fault before came, and up to `--uptime` seconds later; one in ten comes while the server starts. So a machine that is
slow gets its faults more slowly, and is not kept from ever coming to an end.

The server keeps its journal on disk, or in Redis where that fails. Clients send packets of 200 ms over plain HTTP and
repeat what was not answered, as the documents tell them to. Each kind of stream is first played to the same server
undisturbed: alone, among as many as later, and among as many that are sent so fast that much waits and the server
decodes as it does then. These texts are what the others are compared with, whichever is nearest. Speech is the sample,
and recordings of the folder that LINGTING_SPEECH_DIR names.

Fails when a stream ends without a final text, when a final text covers less sound than was acknowledged, when a passage
is missing in it, when a file is answered with anything but its text or "busy", and when the server is not ready again
in the end. Texts may differ in a few characters, because where a decode begins and how much waits is not the same
twice. How many differ is told.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults.places import PostgreSQL, Redis, TimeOfDay
from faults.server import Server
from faults.speakers import PACKET_BYTES, Files, Run, Speaker, kinds, together
from faults.strikes import FAULTS, Stand
from faults.texts import differing, missing, units

SETTINGS = {
    "journal": "disk",
    "journal_key": "a long random text for the chaos run",
    "streams_per_tenant": "1000",
    "requests_per_tenant": "1000",
    "flash_requests_per_second": "1000",
    "log_level": "warning",
}
_HASTE = 8.0


def built(folder: Path, names: Set[str], ends: ExitStack) -> Stand:
    """A server, and what it needs for these faults."""
    settings, environment = dict(SETTINGS), {}
    redis = postgresql = clock = None
    if names & {"redis", "redis-silent"}:
        redis = Redis(folder / "redis")
        ends.callback(redis.stop)
        settings |= {"journal": "redis", "journal_url": redis.url, "limits_url": redis.url}
    if names & {"postgresql", "postgresql-silent"}:
        postgresql = PostgreSQL()
        ends.callback(postgresql.stop)
        settings["database_url"] = postgresql.url
    if names & {"engine", "engine-stopped"}:
        settings["engine_processes"] = "all"
    if "clock" in names:
        clock = TimeOfDay(folder)
        environment = clock.environment
    server = Server(folder / "data", settings, environment)
    ends.callback(server.stop)
    return Stand(server, redis, postgresql, clock)


def disturb(
    stand: Stand, run: Run, rng: random.Random, faults: list[str], *, uptime: float, until: float
) -> tuple[Counter[str], float]:
    """Make these faults in random order until all are made or it is time; returns how often each was made, and the most
    seconds that streams which waited for their final text had to wait for it behind one."""
    rng.shuffle(faults)
    made: Counter[str] = Counter()
    longest = struck = 0.0
    for fault in faults:
        if rng.random() < 0.9:  # else while it starts
            stand.server.wait()
            run.wait_for_ends(struck)
            longest = max(longest, time.monotonic() - struck if struck else 0.0)
        time.sleep(rng.uniform(0.2, uptime))
        if time.monotonic() > until:
            break
        struck = time.monotonic()
        FAULTS[fault](stand, rng)
        made[fault] += 1
    stand.server.wait("/readyz")
    return made, longest


def report(run: Run, expected: Mapping[str, Set[str]]) -> list[str]:
    """Print what became of the streams; what is wrong."""
    wrong = list(run.failures)
    exact = total = different = 0
    for played in run.played:
        if played.covered_ms < played.sent_ms:
            wrong.append(f"{played.kind.name}: {played.sent_ms} ms were sent, the text is of {played.covered_ms} ms")
        after = units(played.text)
        before = min(map(units, expected[played.kind.name]), key=partial(differing, after))
        exact += before == after
        total += len(before)
        different += differing(before, after)
        if hole := missing(before, after):
            wrong.append(f"{played.kind.name}: {hole!r} is missing in {played.text!r}")
    repeated = sum(played.repeated for played in run.played)
    packets = sum(len(played.kind.pcm) // PACKET_BYTES for played in run.played)
    print(f"{len(run.played)} streams of {packets} packets, of which {repeated} were sent again")
    print(f"{exact} final texts equal to the undisturbed ones; {different} of {total} characters differ")
    print(f"streams without a final text, or with sound that is lost: {len(wrong)}")
    return wrong


def texts(server: Server, run: Run, count: int, speed: float) -> dict[str, set[str]]:
    """What the undisturbed server hears in each kind of stream, however much waits."""
    heard = {kind.name: {Speaker(server, kind, f"alone{kind.name[5:]:0>11}", 4.0).play().text} for kind in run.said}
    for pace in (speed, _HASTE):
        for played in together(server, run.said, count, pace):
            heard[played.kind.name].add(played.text)
    for name, each in heard.items():
        print(f"{name} undisturbed: {' | '.join(sorted(each))}", flush=True)
    return heard


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("faults", nargs="*", default=["kill=200", "freeze=50"], metavar="FAULT=TIMES")
    arguments.add_argument("--streams", type=int, default=20)
    arguments.add_argument("--minutes", type=float, default=600.0)
    arguments.add_argument("--uptime", type=float, default=12.0, help="most seconds between two faults")
    arguments.add_argument("--speed", type=float, default=1.0, help="times faster than it was spoken")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--quick", action="store_true")
    given = arguments.parse_args()
    if given.quick:
        given.streams, given.speed, given.uptime = 3, 2.0, 4.0
        given.faults = ["kill=3", "freeze=1"]
    times = {name: int(count) for name, _, count in (each.partition("=") for each in given.faults)}
    if unknown := times.keys() - FAULTS.keys():
        arguments.error(f"unknown faults: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory(prefix="lingting-chaos-") as folder, ExitStack() as ends:
        stand = built(Path(folder), times.keys(), ends)
        run = Run(stand.server, kinds(rng, min(given.streams, 6), 1 if given.quick else 3), given.speed)
        expected = texts(stand.server, run, given.streams, given.speed)
        files = Files(stand.server, run.over)
        began = time.monotonic()
        with ThreadPoolExecutor(given.streams + 1) as pool:
            callers = [pool.submit(run.speak) for _ in range(given.streams)]
            if times.keys() & {"decoder", "decoder-stopped"}:
                callers.append(pool.submit(files.send))
            try:
                faults = [name for name, count in times.items() for _ in range(count)]
                made, longest = disturb(stand, run, rng, faults, uptime=given.uptime, until=began + given.minutes * 60)
            finally:
                run.over.set()
            for caller in callers:
                caller.result()
        what = " and ".join(f"{count} {name}s" for name, count in made.items())
        print(f"{what} in {time.monotonic() - began:.0f} s, {given.streams} streams at a time")
        print(f"text that was waited for when a fault came was there {longest:.1f} s after it at the latest")
        if stand.stops:
            mean = sum(stand.stops) / len(stand.stops)
            print(f"an orderly stop took {max(stand.stops):.1f} s at most, {mean:.1f} s on average")
        if stand.revived:
            print(f"the server ended by itself {stand.revived} times, and was started again")
        if files.answered:
            print(f"{files.answered} files got their text")
        wrong = report(run, expected) + files.failures
        for line in wrong:
            print("  " + line)
        if wrong:
            print("warnings of the server:\n" + stand.server.warnings)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
