"""The service of a door: everything that callers see, without a model."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from secrets import token_hex
from weakref import WeakSet

from lingting import __version__
from lingting.access import Access, Principal
from lingting.audio.budget import AudioBudget
from lingting.audio.decode import Decoder
from lingting.cluster.directory import LOOK_SECONDS, Directory, DoorState
from lingting.cluster.door import DoorStreams
from lingting.cluster.home import cluster_secret, show_directory
from lingting.cluster.homes import Homes
from lingting.cluster.recordings import RemoteRecognizer
from lingting.cluster.sessions import RemoteSession
from lingting.domain import RecognitionOptions, Seconds
from lingting.errors import UnknownModel
from lingting.operations.metrics import Metrics
from lingting.operations.traces import Traces
from lingting.recognition.endpoint import EndpointConfig
from lingting.served_models import ServedModels
from lingting.settings import Settings
from lingting.streams.journal import JournalError


class Door:
    """Answers callers with what homes recognise. Use from one event loop.

    Attributes:
        settings: what it was built from.
        access: tenants, credentials, limits and usage.
        decoder: audio files to samples, here.
        recognizer: recordings, in homes.
        streams: live streams of packets, in homes.
        models: those that callers may name, as the settings say them.
        metrics: counts and durations of what this door does.
    """

    def __init__(self, settings: Settings) -> None:
        secret = cluster_secret(settings)
        self.settings = settings
        self.access = Access(settings)
        self.metrics = Metrics()
        self.decoder = Decoder(budget=AudioBudget(settings.audio_memory_bytes), max_wait=settings.max_wait_seconds)
        self._directory = Directory(settings.cluster_redis_url, 2 * settings.stream_idle_seconds)
        self._homes = Homes(self._directory, secret, settings.node)
        self.recognizer = RemoteRecognizer(
            self._homes, settings.max_wait_seconds, speakers=bool(settings.speaker_model)
        )
        self.streams = DoorStreams(self._directory, self._homes, settings.stream_idle_seconds)
        self.models = ServedModels.of(settings)
        self._started = False
        self._id = f"{settings.node}-{token_hex(4)}"
        self._sessions: WeakSet[RemoteSession] = WeakSet()
        self._telling: asyncio.Task[None] | None = None
        self._show_counts()

    def _show_counts(self) -> None:
        show, homes, streams = self.metrics.total, self._homes, self.streams
        show_directory(self.metrics, self._directory)
        self.metrics.gauge("lingting_cluster_homes", "Homes that are there.", lambda: len(homes))
        show(
            "lingting_cluster_links_broken",
            "Homes whose connection broke, or that said nothing for a second.",
            lambda: homes.breaks,
        )
        show(
            "lingting_cluster_streams_moved",
            "Streams that this door gave to another home, because theirs was gone.",
            lambda: streams.moved,
        )
        show(
            "lingting_decoder_restarts",
            "Processes that decode files which died or took too long.",
            lambda: self.decoder.replaced,
        )
        show("lingting_database_outages", "Times that the database did not answer.", lambda: self.access.outages)
        show(
            "lingting_redis_outages",
            "Times that Redis did not answer, and this node counted limits for itself.",
            lambda: self.access.limits.outages,
        )

    @contextlib.contextmanager
    def hold_model(self, name: str) -> Iterator[None]:
        """A model that may be asked for; whether it is loaded its home says.

        Raises:
            UnknownModel: it is not served.
        """
        if name and name not in self.models.names:
            raise UnknownModel(f"there is no model {name!r}; there are {', '.join(self.models.names)}")
        yield

    @property
    def ready(self) -> bool:
        """Whether it has been started and takes new work."""
        return self._started and not self.streams.draining

    async def unready(self) -> list[str]:
        """Why no request should come to this door now, in words; empty where nothing is wrong."""
        why = []
        if not await self.access.answers():
            why.append("the database does not answer")
        if self._directory.down:
            why.append("Redis of the cluster does not answer")
        elif not len(self._homes):
            why.append("no home of the cluster is there")
        if self.predicted_wait > self.settings.max_wait_seconds:
            why.append(f"the predicted wait is {self.predicted_wait:.0f} s")
        return why

    @property
    def queued(self) -> Mapping[str, int]:
        """Tasks that wait for an engine: homes count theirs."""
        return {}

    @property
    def engine_restarts(self) -> int:
        """Engines run in homes, which count theirs."""
        return 0

    @property
    def model_memory(self) -> dict[str, int]:
        """A door has no model."""
        return {}

    @property
    def recognised_age(self) -> Seconds:
        """Homes check their recognition."""
        return 0.0

    @property
    def predicted_wait(self) -> Seconds:
        """Seconds until the recognition of a file that came now would start: its decoding, and the engine."""
        return self.decoder.predicted_wait() + self.recognizer.wait

    async def start(self) -> None:
        """Open the database and look for homes.

        Raises:
            SettingsError: requests are to be traced, and cannot be.
        """
        if self.settings.traces:
            self.metrics.traces = await asyncio.to_thread(Traces)
        await self.access.start()
        await self._homes.start()
        await self.streams.start()
        self._telling = asyncio.create_task(self._tell_forever(), name="cluster-door-state")
        self._started = True

    async def stop(self) -> None:
        """Refuse new work, finish what is in flight, and write what is not yet written."""
        await self.streams.drain(self.settings.drain_seconds)
        await self.streams.stop()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
        await self._homes.stop()
        with contextlib.suppress(OSError):
            await self._directory.close()
        await self.decoder.close()
        await self.access.close()
        if self.metrics.traces is not None:
            await asyncio.to_thread(self.metrics.traces.close)

    def open_live(
        self, principal: Principal, options: RecognitionOptions, endpoint: EndpointConfig | None = None
    ) -> RemoteSession:
        """Begin to recognise a stream of this caller; a home is looked for meanwhile."""
        session = RemoteSession(self._homes, principal, options, endpoint, self.settings.stream_backlog_seconds)
        self._sessions.add(session)
        return session

    async def _tell_forever(self) -> None:
        while True:
            with contextlib.suppress(JournalError):
                await self._directory.tell(self._state())
            await asyncio.sleep(LOOK_SECONDS)

    def _state(self) -> DoorState:
        live = self.streams.live + sum(not session.over for session in self._sessions)
        return DoorState(self._id, live, len(self._homes), self._homes.links, __version__)
