"""Very many live streams on a virtual clock, through the code that claims, admits, journals and fences, with failures.

    python -m bench.growth.simulation --streams 100000 --homes 250

Doors, homes, directory and journal are those of the server; what is simulated is the network between them, Redis (by
`redis_model.py`), recognition (a session's text says what it heard), and the callers. Homes are killed, and frozen and
wake again, others are added or stop in an orderly way, and Redis is silent for a while. Every final text must say that
all acknowledged sound was heard, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from bench.growth import virtual
from bench.growth.redis_model import RedisModel, over_model
from lingting.access.principal import Principal
from lingting.audio.gate import GateState
from lingting.cluster import home as home_module
from lingting.cluster import homes as homes_module
from lingting.cluster.directory import Directory
from lingting.cluster.door import DoorStreams
from lingting.cluster.failures import raised
from lingting.cluster.handshake import LinkError
from lingting.cluster.home import Hosted
from lingting.cluster.homes import Homes
from lingting.cluster.journal import ClusterStorage
from lingting.cluster.link import SILENT_SECONDS, Call, Link
from lingting.cluster.messages import Failure, Message
from lingting.domain import RecognitionOptions, Transcript
from lingting.errors import LingtingError, Overloaded
from lingting.recognition.endpoint import EndpointerState
from lingting.recognition.finals import Checkpoint
from lingting.streams import Streams
from lingting.streams.packets import Action, StreamPacket

HOP_SECONDS = 0.002
SAMPLES = 400
"""Of a packet: the real ones have 3,200, which would only cost memory here."""
CHECKPOINT_PACKETS = 3
OPTIONS = RecognitionOptions(timestamps=False)
_GATE = GateState(0, 0, 0, b"", (False, 0, 0, 0, None, 0, 0.0, 0), ())
_TRIES = 60


class Silent:
    """What a node or Redis does when it is frozen: nothing, until it wakes; when it is killed, nothing ever."""

    def __init__(self) -> None:
        self._awake = asyncio.Event()
        self._awake.set()
        self.dead = False
        self.waiting: set[asyncio.Future[Message]] = set()

    @property
    def speaks(self) -> bool:
        """Whether it does anything now."""
        return self._awake.is_set()

    def freeze(self) -> None:
        """From now on."""
        self._awake.clear()

    def kill(self) -> None:
        """For ever."""
        self.dead = True
        self.freeze()

    def wake(self) -> None:
        """Go on where it was."""
        if not self.dead:
            self._awake.set()

    async def passes(self) -> None:
        """Wait until it is awake."""
        if not self._awake.is_set():
            await self._awake.wait()


class Session:
    """Recognition that takes no time; its text says how many samples there were, and what they were."""

    def __init__(self) -> None:
        self._count = 0
        self._sum = 0
        self._packets = 0
        self.checkpoint: Checkpoint | None = None

    @property
    def text(self) -> str:
        """How many samples, and their checksum."""
        return f"{self._count}/{self._sum:08x}"

    confirmed = text

    @property
    def confirmed_seconds(self) -> float:
        """All that was heard."""
        return self._count / 16000

    def require_room(self) -> None:
        """There always is."""

    def accept(self, samples: NDArray[np.int16]) -> None:
        """Hear."""
        self._count += samples.size
        self._sum = zlib.crc32(samples.tobytes(), self._sum)
        self._packets += 1
        if self._packets % CHECKPOINT_PACKETS == 0:
            state = EndpointerState(_GATE, None, 0, 0, self._count, b"")
            self.checkpoint = Checkpoint(state, f"{self._sum}", self._count, (), self._packets)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another was."""
        self._count, self._sum, self._packets = checkpoint.samples, int(checkpoint.confirmed), checkpoint.finals

    async def finish(self) -> Transcript:
        """The end."""
        return Transcript(self.text, self._count / 16000)

    def abort(self) -> None:
        """Forget."""


class Network:
    """Which home is at which address, and whether it answers there."""

    def __init__(self) -> None:
        self.homes: dict[str, SimulatedHome] = {}
        self.asked = 0

    async def dial(self, address: str, secret: bytes, node: str) -> Link:
        """Stands for `link.dial`."""
        await asyncio.sleep(HOP_SECONDS)
        home = self.homes[address]
        if home.silent.dead:
            raise LinkError(f"{address} refuses")
        if not home.silent.speaks:
            await asyncio.sleep(SILENT_SECONDS)
            raise LinkError(f"{address} does not answer")
        return cast(Link, _Wire(self, home))


class _Wire:
    """Stands for a `Link` as a door has it."""

    def __init__(self, network: Network, home: SimulatedHome) -> None:
        self._network = network
        self._home = home
        self.peer = home.hosted.id
        self.lost: LinkError | None = None

    @property
    def leaving(self) -> bool:
        """Whether the home stops."""
        return self._home.leaving

    async def ask(self, make: Callable[[int], Message], kind: type, within: float) -> Any:
        """One question, one answer."""
        self._network.asked += 1
        silent = self._home.silent
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        silent.waiting.add(answer)
        try:
            await asyncio.sleep(HOP_SECONDS)
            if silent.dead:
                raise LinkError("the connection broke")
            if silent.speaks:
                self._home.opened(make(1), cast(Call, _Asked(silent, answer)))
            message = await asyncio.wait_for(answer, within)
        except TimeoutError:
            raise Overloaded("no answer", 1.0) from None
        except LinkError as error:
            self.lost = error
            raise
        finally:
            silent.waiting.discard(answer)
        if isinstance(message, Failure):
            raise raised(message)
        return message

    def close(self) -> None:
        """Nothing is open."""


class _Asked:
    """A call as a home sees it; what a frozen home says is said when it wakes."""

    def __init__(self, silent: Silent, answer: asyncio.Future[Message]) -> None:
        self.number = 1
        self.over = False
        self.on_message = self.on_lost = None
        self._silent = silent
        self._answer = answer

    def send(self, message: Message) -> None:
        """Answer."""
        if self._silent.speaks and not self._answer.done():
            self._answer.set_result(message)

    def end(self) -> None:
        """It is over."""
        self.over = True


class _Listener:
    """Stands for `link.Listener`."""

    def __init__(self, secret: bytes, node: str, opened: Callable[[Message, Call], None]) -> None:
        self.links: set[Link] = set()
        self.opened = opened
        self.on_lost: Callable[[], None] | None = None
        self.leaving = False

    def leave(self) -> None:
        """Told at once."""
        self.leaving = True

    async def start(self, address: str) -> str:
        """Its address is its name."""
        return address

    async def stop(self) -> None:
        """Nothing is open."""


class SimulatedHome:
    """A home: `Hosted`, `Streams` and the journal of the server, and what stands for its service."""

    def __init__(self, name: str, redis: Callable[[Silent], Directory], most: int) -> None:
        self.silent = Silent()
        self.address = f"{name}:1"
        self._most = most
        self._directory = redis(self.silent)
        storage = ClusterStorage(self._directory)
        self.streams: Streams[Principal] = Streams(
            self._open,
            lease=_lease,
            journal=storage,
            open_again=lambda *_: Session(),
            clock=asyncio.get_running_loop().time,
        )
        service = SimpleNamespace(
            settings=SimpleNamespace(node=name, cluster_listen=self.address, compute_threads=max(1, most // 10)),
            streams=self.streams,
            predicted_wait=0.0,
            live_lag=0.0,
            metrics=SimpleNamespace(traces=None),
        )
        self.hosted = Hosted(cast(Any, service), self._directory, storage, b"")
        self._listener: _Listener = cast(Any, self.hosted)._listener
        self.opened = self._listener.opened

    @property
    def leaving(self) -> bool:
        """Whether it stops, and a door has heard of it."""
        return self._listener.leaving and self.silent.speaks

    def _open(self, owner: Principal, options: RecognitionOptions) -> Session:
        if self.streams.live >= self._most:
            raise Overloaded("this home is full", 1.0)
        return Session()

    def woken(self) -> None:
        """It is no longer frozen, and finds its links broken; its own clock, by which it would notice, never stood."""
        self.silent.wake()
        if self._listener.on_lost is not None:
            self._listener.on_lost()

    async def stop(self) -> None:
        """In an orderly way."""
        await self.hosted.hand_over()
        await self.hosted.stop()


class _Place:
    def release(self) -> None:
        """Nothing is counted."""


async def _lease(owner: Principal, again: bool) -> _Place:
    return _Place()


@dataclass
class Result:
    """What a simulation found.

    Attributes:
        finals: streams whose final text was right.
        wrong: final texts that were not, or refusals of what was acknowledged; there must be none.
        refused: streams that no home would take.
        again: packets that were sent again because the answer was "try again".
        waits: of each packet its virtual seconds until it was acknowledged.
        most: live streams at once.
        moved: streams that went on in another home.
        held: bytes in Redis when there were most streams.
    """

    finals: int = 0
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    again: int = 0
    waits: list[float] = field(default_factory=list)
    live: int = 0
    most: int = 0
    moved: int = 0
    held: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    received: int = 0

    def summary(self) -> dict[str, Any]:
        """In figures."""
        waits = np.array(self.waits)
        return {
            "finals": self.finals,
            "wrong": len(self.wrong),
            "refused": self.refused,
            "sent_again": self.again,
            "most_live": self.most,
            "moved": self.moved,
            "packets": len(self.waits),
            "wait_p50_ms": round(float(np.percentile(waits, 50)) * 1000, 1),
            "wait_p99_ms": round(float(np.percentile(waits, 99)) * 1000, 1),
            "wait_most_s": round(float(waits.max()), 2),
            "redis_operations_per_packet": round(self.operations.total() / len(waits), 2),
            "redis_operations": dict(self.operations),
            "redis_bytes_per_live_stream": round(self.held / max(1, self.most)),
        }


class Simulation:
    """Everything at once. Event loop only.

    Args:
        streams: how many there are in all; they come within `arrival` seconds.
        homes: how many there are at first; each takes at most `crowd` times its even share.
        packets: of a stream, one each `interval` seconds.
        seed: of everything that is drawn.
    """

    def __init__(self, streams: int, homes: int, *, packets: int, interval: float, doors: int, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._count = streams
        self._packets = packets
        self._interval = interval
        self._model = RedisModel(lambda: asyncio.get_running_loop().time())
        self._redis = Silent()
        self._network = Network()
        self._most = max(4, round(1.6 * streams / homes))
        self._homes: list[SimulatedHome] = []
        self._doors: list[DoorStreams] = []
        self._initial = homes, doors
        self.result = Result()

    @property
    def lasts(self) -> float:
        """Virtual seconds from the first packet of a stream to its last, which is also how long streams keep coming."""
        return self._interval * (self._packets - 1)

    async def run(self) -> Result:
        """The whole course."""
        homes, doors = self._initial
        for _ in range(homes):
            await self._add_home()
        door_homes = []
        for number in range(doors):
            directory = self._directory(Silent())
            door_homes.append(Homes(directory, b"", f"door-{number}"))
            await door_homes[-1].start()
            self._doors.append(DoorStreams(directory, door_homes[-1], 60.0))
        course = asyncio.create_task(self._course())
        await asyncio.gather(*(self._stream(number) for number in range(self._count)))
        await course
        for home in door_homes:
            await home.stop()
        self.result.moved = sum(door.moved for door in self._doors)
        self.result.operations = self._model.operations
        self.result.received = self._model.received
        return self.result

    async def _course(self) -> None:
        """What happens to homes and to Redis, while streams come and go."""
        part, share = self.lasts / 10, max(1, len(self._homes) // 20)
        for happens in (self._add, self._kill, self._freeze, self._stop, self._silence, self._kill):
            await asyncio.sleep(1.5 * part)
            await happens(share)
            self.result.held = max(self.result.held, self._model.held)

    async def _add(self, share: int) -> None:
        for _ in range(2 * share):
            await self._add_home()

    async def _kill(self, share: int) -> None:
        for home in self._some(share):
            home.silent.kill()
            for answer in list(home.silent.waiting):
                if not answer.done():
                    answer.set_exception(LinkError("the connection broke"))

    async def _freeze(self, share: int) -> None:
        frozen = self._some(share)
        for home in frozen:
            home.silent.freeze()
        await asyncio.sleep(SILENT_SECONDS)
        for home in frozen:
            for answer in list(home.silent.waiting):
                if not answer.done():
                    answer.set_exception(LinkError("it does not answer"))
        await asyncio.sleep(3.0)
        for home in frozen:
            home.woken()

    async def _stop(self, share: int) -> None:
        await asyncio.gather(*(home.stop() for home in self._some(share)))

    async def _silence(self, share: int) -> None:
        self._redis.freeze()
        await asyncio.sleep(3.0)
        self._redis.wake()

    def _some(self, share: int) -> list[SimulatedHome]:
        there = [home for home in self._homes if home.silent.speaks and not home.streams.draining]
        chosen = self._random.sample(there, share)
        self._homes = [home for home in self._homes if home not in chosen]
        return chosen

    async def _add_home(self) -> None:
        home = SimulatedHome(f"home-{len(self._network.homes)}", self._directory, self._most)
        await home.hosted.start()
        self._network.homes[home.address] = home
        self._homes.append(home)

    def _directory(self, silent: Silent) -> Directory:
        async def passes() -> None:
            await silent.passes()
            await self._redis.passes()

        return over_model(self._model, passes)

    async def _stream(self, number: int) -> None:
        await asyncio.sleep(self._random.random() * self.lasts)
        owner = Principal(f"tenant-{number % 100}", "", None, None, "", frozenset())
        sound = np.random.default_rng(number).integers(-3000, 3000, (self._packets, SAMPLES), np.int16)
        self.result.live += 1
        self.result.most = max(self.result.most, self.result.live)
        try:
            for index, samples in enumerate(sound):
                if index:
                    await asyncio.sleep(self._interval)
                action = Action.START if index == 0 else Action.END if index + 1 == self._packets else Action.CONTINUE
                packet = StreamPacket.of(f"stream-{number}", index, action, samples.tobytes())
                text = await self._acknowledged(owner, packet)
                if text is None:
                    return
            right = f"{sound.size}/{zlib.crc32(sound.tobytes()):08x}"
            if text == right:
                self.result.finals += 1
            else:
                self.result.wrong.append(f"stream {number}: {text} in place of {right}")
        finally:
            self.result.live -= 1

    async def _acknowledged(self, owner: Principal, packet: StreamPacket) -> str | None:
        """Send a packet through any door until it is taken; None where the stream is refused."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(_TRIES):
            try:
                door = self._random.choice(self._doors)
                reply = await door.packet(owner, packet, OPTIONS, lambda _: None)
            except LingtingError as error:
                seconds = getattr(error, "retry_after", None)
                if seconds is None:
                    self.result.wrong.append(
                        f"{packet.stream_id} {packet.sequence_id}: {type(error).__name__}: {error}"
                    )
                    return None
                self.result.again += 1
                await asyncio.sleep(seconds)
                continue
            self.result.waits.append(loop.time() - began)
            return reply.text
        if packet.action is Action.START:
            self.result.refused += 1
        else:
            self.result.wrong.append(f"{packet.stream_id} {packet.sequence_id}: never taken")
        return None


def simulate(
    streams: int, homes: int, *, packets: int = 6, interval: float = 5.0, doors: int = 8, seed: int = 1
) -> Result:
    """Run a simulation from beginning to end."""
    simulation: Simulation | None = None

    async def main() -> Result:
        nonlocal simulation
        simulation = Simulation(streams, homes, packets=packets, interval=interval, doors=doors, seed=seed)
        with (
            mock.patch.object(home_module, "Listener", _Listener),
            mock.patch.object(homes_module, "dial", simulation._network.dial),
        ):
            return await simulation.run()

    return virtual.run(main())


def main() -> int:
    """The command; status 1 where a text was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--homes", type=int, default=40)
    parser.add_argument("--packets", type=int, default=6, help="of a stream")
    parser.add_argument("--interval", type=float, default=5.0, help="virtual seconds between them")
    parser.add_argument("--doors", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    result = simulate(**vars(options))
    print(json.dumps({**result.summary(), "seconds_taken": round(time.perf_counter() - began, 1)}, indent=2))  # noqa: T201
    for wrong in result.wrong[:20]:
        print(wrong, file=sys.stderr)  # noqa: T201
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
