"""What live streams need of others, and what they show of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from lingting.domain import Seconds, Transcript
from lingting.recognition.finals import Checkpoint


class Owner(Protocol):
    """Whoever a stream belongs to."""

    @property
    def tenant_id(self) -> str: ...


class Lease(Protocol):
    """A tenant's place for one live stream."""

    def release(self) -> None:
        """Free the place; it may be called more than once."""


class LiveSession(Protocol):
    """The recognition of one stream."""

    @property
    def text(self) -> str:
        """What is known now: the confirmed part, then the current guess."""

    @property
    def confirmed(self) -> str:
        """The beginning of `text` that will not change any more."""

    @property
    def confirmed_seconds(self) -> Seconds:
        """How much of the audio, from its beginning, `confirmed` covers."""

    def require_room(self) -> None:
        """Pass while there is room for more sound; raises StreamBehind when too much waits to be heard."""

    def accept(self, samples: NDArray[np.int16]) -> None:
        """Take more audio: 16 kHz mono, shape (n,); never blocks."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """Where another session can go on; a new object whenever text has become final."""

    def resume(self, checkpoint: Checkpoint) -> None:
        """Go on where another session was, before any sound is accepted."""

    async def finish(self) -> Transcript:
        """The transcript of everything that was accepted."""

    def abort(self) -> None:
        """Drop everything."""


OwnerT = TypeVar("OwnerT", bound=Owner)


@dataclass(frozen=True, slots=True)
class StreamState(Generic[OwnerT]):
    """One live stream as those see it who watch the server: never its audio or its text.

    Attributes:
        owner: whose it is.
        stream_id: its name.
        audio_seconds: audio taken so far.
        age_seconds: time since it was opened.
        idle_seconds: time since its last packet.
        ending: whether its final packet came.
    """

    owner: OwnerT
    stream_id: str
    audio_seconds: float
    age_seconds: float
    idle_seconds: float
    ending: bool
