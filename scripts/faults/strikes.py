"""What goes wrong, by name: each makes a fault, lets it last for some seconds, and mends it."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from faults.places import PostgreSQL, Redis, TimeOfDay
from faults.server import Server

_MEMORY_BYTES = 16 << 20


@dataclass
class Stand:
    """The server and what it stands on; None where no fault needs it.

    Attributes:
        stops: seconds that each orderly stop took.
        revived: how often the server had ended by itself.
    """

    server: Server
    redis: Redis | None = None
    postgresql: PostgreSQL | None = None
    clock: TimeOfDay | None = None
    stops: list[float] = field(default_factory=list)
    revived: int = 0


Fault = Callable[[Stand, random.Random], None]


def _kill(stand: Stand, _: random.Random) -> None:
    stand.server.kill()


def _freeze(stand: Stand, rng: random.Random) -> None:
    stand.server.freeze(rng.uniform(0.2, 3.0))


def _drain(stand: Stand, _: random.Random) -> None:
    stand.server.wait("/readyz")
    stand.stops.append(stand.server.drain())


def _engine(stand: Stand, _: random.Random, number: int = signal.SIGKILL) -> None:
    """The process that holds the model is the largest."""
    if children := stand.server.children():
        with suppress(psutil.NoSuchProcess):
            max(children, key=lambda child: child.memory_info().rss).send_signal(number)


def _engine_stopped(stand: Stand, rng: random.Random) -> None:
    _engine(stand, rng, signal.SIGSTOP)


def _decoder(stand: Stand, _: random.Random, number: int = signal.SIGKILL) -> None:
    for child in stand.server.children("lingting.audio.worker"):
        with suppress(psutil.NoSuchProcess):
            child.send_signal(number)


def _decoder_stopped(stand: Stand, rng: random.Random) -> None:
    _decoder(stand, rng, signal.SIGSTOP)


def _disk(stand: Stand, rng: random.Random) -> None:
    """Nothing can be written any more, as on a full disk: journal, usage, spool and log alike."""
    with stand.server.limited(resource.RLIMIT_FSIZE, 0):
        time.sleep(rng.uniform(1.0, 5.0))


def _descriptors(stand: Stand, rng: random.Random) -> None:
    with stand.server.limited(resource.RLIMIT_NOFILE, 0):
        time.sleep(rng.uniform(1.0, 5.0))


def _memory(stand: Stand, rng: random.Random) -> None:
    """Whoever asks for memory gets none; the server may end, and is started again as systemd does."""
    with stand.server.limited(resource.RLIMIT_AS, stand.server.address_space + _MEMORY_BYTES):
        time.sleep(rng.uniform(1.0, 5.0))
    stand.revived += stand.server.revive()


def _clock(stand: Stand, rng: random.Random) -> None:
    assert stand.clock is not None
    stand.clock.set_by(rng.choice([-3600, 0, 3600]))


def _redis(stand: Stand, rng: random.Random) -> None:
    assert stand.redis is not None
    stand.redis.kill(rng.uniform(0.5, 4.0))


def _redis_silent(stand: Stand, rng: random.Random) -> None:
    assert stand.redis is not None
    stand.redis.freeze(rng.uniform(0.5, 6.0))


def _postgresql(stand: Stand, rng: random.Random) -> None:
    assert stand.postgresql is not None
    stand.postgresql.kill(rng.uniform(0.5, 4.0))


def _postgresql_silent(stand: Stand, rng: random.Random) -> None:
    assert stand.postgresql is not None
    stand.postgresql.freeze(rng.uniform(0.5, 10.0))


FAULTS: dict[str, Fault] = {
    "kill": _kill,
    "freeze": _freeze,
    "drain": _drain,
    "engine": _engine,
    "engine-stopped": _engine_stopped,
    "decoder": _decoder,
    "decoder-stopped": _decoder_stopped,
    "disk": _disk,
    "descriptors": _descriptors,
    "memory": _memory,
    "clock": _clock,
    "redis": _redis,
    "redis-silent": _redis_silent,
    "postgresql": _postgresql,
    "postgresql-silent": _postgresql_silent,
}
