"""Live sessions and leases that remember what was done to them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingting.domain import RecognitionOptions, Transcript
from lingting.errors import LingtingError, StreamBehind
from lingting.recognition.finals import Checkpoint
from lingting.streams import StreamPacket, Streams
from lingting.streams.awake import AwakeClock
from lingting.streams.packets import Action

START, CONTINUE, END, ABORT = Action.START, Action.CONTINUE, Action.END, Action.ABORT
ID = "asd1234567890ddd"


class NoPlace(LingtingError):
    """The tenant has no place left."""


@dataclass(frozen=True)
class Tenant:
    tenant_id: str = "acme"


@dataclass
class Session:
    """Its text is the number of samples it took."""

    gate: asyncio.Event | None = None
    error: Exception | None = None
    accept_error: Exception | None = None
    full: bool = False
    parts: list[NDArray[np.int16]] = field(default_factory=list)
    finished: int = 0
    aborted: bool = False

    @property
    def samples(self) -> list[int]:
        return [int(s) for part in self.parts for s in part]

    @property
    def text(self) -> str:
        return f"{len(self.samples)} so far"

    @property
    def confirmed(self) -> str:
        return str(len(self.samples))

    @property
    def confirmed_seconds(self) -> float:
        return len(self.samples) / 16000

    def require_room(self) -> None:
        if self.full:
            raise StreamBehind("too much waits", retry_after=2.0)

    def accept(self, samples: NDArray[np.int16]) -> None:
        assert samples.dtype == np.int16
        if self.accept_error is not None:
            raise self.accept_error
        self.parts.append(samples)

    @property
    def checkpoint(self) -> Checkpoint | None:
        return None

    def resume(self, checkpoint: Checkpoint) -> None:
        raise AssertionError("nothing to resume from")

    async def finish(self) -> Transcript:
        self.finished += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return Transcript(f"final {len(self.samples)}", len(self.samples) / 16000)

    def abort(self) -> None:
        self.aborted = True


class Places:
    """Places for streams; `free` counts down to none."""

    def __init__(self, free: int = 20) -> None:
        self.free = free

    async def acquire(self, tenant: Tenant, again: bool = False) -> Place:
        await asyncio.sleep(0)
        if not self.free:
            raise NoPlace("no place is left")
        self.free -= 1
        return Place(self)


class Place:
    """One place; giving it back twice counts once."""

    def __init__(self, places: Places) -> None:
        self._places: Places | None = places

    def release(self) -> None:
        if self._places is not None:
            self._places.free += 1
            self._places = None


class Bench:
    """Streams with a clock that is turned by hand; `awake` is the most that counts of a turn."""

    def __init__(self, awake: float = inf, **settings: Any) -> None:
        self.now = 1000.0
        self.places = Places(settings.pop("places", 20))
        self.sessions: list[Session] = []
        self.next_session: Session | None = None
        self.open_error: Exception | None = None
        self.streams: Streams[Tenant] = Streams(
            self._open,
            lease=self.places.acquire,
            clock=AwakeClock(awake, lambda: self.now),
            **({"grace_seconds": 0.01} | settings),
        )

    def _open(self, owner: Tenant, options: RecognitionOptions) -> Session:
        if self.open_error is not None:
            raise self.open_error
        session, self.next_session = self.next_session or Session(), None
        self.sessions.append(session)
        return session

    async def send(
        self, number: int, action: Action, audio: bytes = b"", stream_id: str = ID, tenant: str = "acme"
    ) -> str:
        reply = await self.streams.packet(Tenant(tenant), StreamPacket.of(stream_id, number, action, audio))
        return reply.text


def pcm(*samples: int) -> bytes:
    """16-bit samples."""
    return np.array(samples, "<i2").tobytes()
