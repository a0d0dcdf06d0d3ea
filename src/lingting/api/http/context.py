"""What every endpoint works with: the service, and what the application keeps beside it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from lingting.access.access import Access
from lingting.access.principal import Principal
from lingting.api.http.spool import Spool
from lingting.api.sockets.live import LiveSession
from lingting.api.sockets.registry import Connections
from lingting.audio.piecewise import Piecewise
from lingting.audio.recording import Recording
from lingting.domain import Account, RecognitionOptions, Seconds, Sentence, Transcript
from lingting.operations.day import Day
from lingting.operations.metrics import Metrics
from lingting.operations.recent import Recent
from lingting.recognition.endpoint import EndpointConfig
from lingting.served_models import ServedModels
from lingting.settings import Settings
from lingting.streams import StreamPacket, StreamReply
from lingting.streams.types import StreamState


class Recognizer(Protocol):
    """Recognises whole recordings."""

    def admit(self, account: Account) -> None:
        """Pass while there is room for another recording of this account; raises Overloaded."""

    def admit_live(self, account: Account, model: str) -> None:
        """Pass while there is room for another live stream of this account and model; raises Overloaded."""

    def require_speakers(self, seconds: float = 0.0) -> None:
        """Pass where the speakers of a recording of this length can be told apart; raises NoSpeakers."""

    def recognize(self, recording: Recording, options: RecognitionOptions, account: Account) -> Awaitable[Transcript]:
        """The transcript; raises Overloaded or RecognitionFailed."""

    def sentences(
        self, recording: Recording, options: RecognitionOptions, account: Account
    ) -> AsyncGenerator[Sentence, None]:
        """The sentences in order, each as soon as it is known; raises as `recognize`."""


class Decoder(Protocol):
    """Makes recordings of audio files; whoever asks for one closes it."""

    def admit(self, tenant: str) -> None:
        """Pass while a file of this tenant would be decoded in time, and memory is left for it; raises Overloaded."""

    def admit_pcm16(self, size: int) -> None:
        """Pass while memory is left for so many bytes of samples; raises Overloaded."""

    async def decode(self, path: Path, *, format: str, sample_rate: int, max_seconds: float, tenant: str) -> Recording:
        """The recording in a file; raises EmptyAudio, UndecodableAudio, AudioTooLong or Overloaded."""

    def piecewise(self, demuxer: str, *, max_seconds: float) -> AbstractAsyncContextManager[Piecewise]:
        """A file that comes in pieces; raises UndecodableAudio or Overloaded."""

    def pcm16(self, data: bytes) -> Recording:
        """A recording of 16-bit samples at 16 kHz; raises Overloaded."""


class LiveStreams(Protocol):
    """Live streams of numbered packets; `lingting.streams.Streams` has those of this process."""

    @property
    def draining(self) -> bool:
        """Whether new streams are refused because the server stops."""

    @property
    def live(self) -> int:
        """How many streams are live."""

    def has(self, owner: Principal, stream_id: str) -> bool:
        """Whether this stream is live, or being opened: a first packet for it is a retry."""

    def overview(self) -> list[StreamState[Principal]]:
        """The live streams, the oldest first."""

    async def packet(
        self,
        owner: Principal,
        packet: StreamPacket,
        options: RecognitionOptions,
        charge: Callable[[Seconds], None],
    ) -> StreamReply:
        """Take one packet and answer it; raises as `Streams.packet`."""

    async def drain(self, seconds: float) -> None:
        """Refuse new streams and give the live ones time to end."""

    async def stop(self) -> None:
        """Abort what is live."""


class Backend(Protocol):
    """The service, as far as the interfaces need it."""

    @property
    def settings(self) -> Settings: ...
    @property
    def access(self) -> Access: ...
    @property
    def models(self) -> ServedModels:
        """The models that may be asked for."""

    def hold_model(self, name: str) -> AbstractContextManager[object]:
        """A model that is loaded and stays so inside the block; raises ModelLoading or UnknownModel."""

    @property
    def recognizer(self) -> Recognizer: ...
    @property
    def decoder(self) -> Decoder: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def streams(self) -> LiveStreams: ...
    def open_live(
        self, principal: Principal, options: RecognitionOptions, endpoint: EndpointConfig | None = None
    ) -> LiveSession:
        """A live session of a caller; raises Overloaded."""

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and new work is taken."""

    async def unready(self) -> list[str]:
        """Why no request should come to this server now, in words; empty where nothing is wrong."""

    @property
    def queued(self) -> Mapping[str, int]:
        """How many tasks of each kind wait for an engine."""

    @property
    def engine_restarts(self) -> int:
        """How often an engine's process was started anew."""

    @property
    def model_memory(self) -> Mapping[str, int]:
        """Bytes of each model that is loaded, by name."""

    @property
    def recognised_age(self) -> float:
        """Seconds since recognition was known to work."""

    @property
    def predicted_wait(self) -> float:
        """Seconds until a file that came now would start."""


@dataclass(slots=True)
class Lifecycle:
    """Where the server stands between its start and its end. Event loop only.

    Attributes:
        stopping: whether it was asked to stop; new work is taken until its streams drain.
    """

    stopping: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    """What the endpoints of one application share. Event loop only.

    Attributes:
        service: what recognises, and knows who may ask.
        metrics: counts for Prometheus.
        recent: the latest answers, for those who look at the server now.
        day: the last day, for the same.
        spool: where bodies lie that are too large for memory.
        connections: the live connections that are open.
        lifecycle: whether the server stops.
    """

    service: Backend
    metrics: Metrics
    recent: Recent
    day: Day
    spool: Spool
    connections: Connections
    lifecycle: Lifecycle = field(default_factory=Lifecycle)


def attach(app: Starlette, context: Context) -> None:
    """Give an application its context."""
    app.state.context = context


def context_of(connection: HTTPConnection | Starlette) -> Context:
    """The context of an application, or of the one that a request or a WebSocket came to."""
    context: Context = (connection if isinstance(connection, Starlette) else connection.app).state.context
    return context


def service_of(connection: HTTPConnection) -> Backend:
    """The service behind the application."""
    return context_of(connection).service
