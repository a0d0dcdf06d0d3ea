"""A home: live streams, live sessions and recordings of doors, recognised in this process.

It is the service of a single machine with a journal in the directory, behind a link in place of the interfaces. Its own
HTTP port answers `/healthz`, `/readyz` and `/metrics` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from contextvars import Context
from secrets import token_hex

from lingting import __version__
from lingting.cluster.connecting import Listener
from lingting.cluster.directory import LOOK_SECONDS, Directory, HomeState, Place
from lingting.cluster.failures import told
from lingting.cluster.hosted import HostedRecording, HostedSession, Work
from lingting.cluster.journal import TICK_SECONDS, ClusterStorage
from lingting.cluster.link import Call
from lingting.cluster.messages import Message, Open, Recognize, Take, Taken
from lingting.errors import LingtingError, Overloaded, SettingsError
from lingting.operations.metrics import Metrics
from lingting.processors import physical_cores
from lingting.service import Service
from lingting.settings import Settings
from lingting.streams import StreamPacket, StreamReply
from lingting.streams.errors import StreamMoved
from lingting.streams.journal import Encrypted, JournalError
from lingting.streams.journal.storage import Key
from lingting.streams.packets import Action

log = logging.getLogger(__name__)


class Home(Service):
    """The service of a home. Use from one event loop.

    Attributes:
        directory: where it is registered, and its streams are.
        hosted: what it does for doors.
    """

    def __init__(self, settings: Settings) -> None:
        secret = cluster_secret(settings)
        self.directory = Directory(settings.cluster_redis_url, 2 * settings.stream_idle_seconds)
        self._storage = ClusterStorage(self.directory)
        super().__init__(settings, Encrypted(self._storage, secret.decode()))
        self.hosted = Hosted(self, self.directory, self._storage, secret)
        self.streams.on_drain = self.hosted.hand_over
        show_directory(self.metrics, self.directory)
        self.metrics.gauge("lingting_cluster_doors", "Doors that are connected.", lambda: self.hosted.doors)
        self.metrics.gauge("lingting_cluster_sessions", "Live sessions of WebSockets.", lambda: self.hosted.sessions)
        self.metrics.gauge("lingting_cluster_recordings", "Recordings of doors.", lambda: self.hosted.recordings)
        self.metrics.total(
            "lingting_cluster_streams_moved_in", "Streams that went on here.", lambda: self.hosted.moved_in
        )

    async def start(self) -> None:
        """Load the model, then let doors find this home."""
        await super().start()
        try:
            await self.hosted.start()
        except BaseException:
            await self.stop()
            raise

    async def unready(self) -> list[str]:
        """Why no door should count on this home, in words."""
        return [*await super().unready(), *(["Redis does not answer"] if self.directory.down else [])]

    async def stop(self) -> None:
        """Hand the streams over, and let everything go."""
        await self.streams.drain(self.settings.drain_seconds)
        await self.hosted.stop()
        await super().stop()
        await self.directory.close()


class Hosted:
    """What a home does for doors; its streams, as the server's stop sees them. Event loop only.

    Attributes:
        id: of this home, another one for every process.
        address: where doors reach it.
        moved_in: streams that were taken over from other homes.
    """

    def __init__(self, service: Service, directory: Directory, storage: ClusterStorage, secret: bytes) -> None:
        self._service = service
        self._settings = service.settings
        self._directory = directory
        self._storage = storage
        self.id = f"{service.settings.node}-{token_hex(4)}"
        self.address = ""
        self.moved_in = 0
        self._listener = Listener(secret, self.id, self._opened)
        self._listener.on_lost = storage.disturb
        self._sessions: set[HostedSession] = set()
        self._recordings: set[HostedRecording] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._telling: asyncio.Task[None] | None = None
        self._leaving = False

    @property
    def doors(self) -> int:
        """How many doors are connected."""
        return len(self._listener.links)

    @property
    def sessions(self) -> int:
        """How many live sessions of WebSockets are here."""
        return len(self._sessions)

    @property
    def recordings(self) -> int:
        """How many recordings are received or recognised."""
        return len(self._recordings)

    async def start(self) -> None:
        """Listen for doors and register.

        Raises:
            SettingsError: the address cannot be had.
        """
        try:
            self.address = await self._listener.start(self._settings.cluster_listen)
        except OSError as error:
            raise SettingsError(
                f"LINGTING_CLUSTER_LISTEN: cannot listen on {self._settings.cluster_listen}: {error.strerror or error}"
            ) from None
        with contextlib.suppress(JournalError):
            await self._directory.look(self.state())
        self._telling = asyncio.create_task(self._tell_forever(), name="cluster-home")
        self._spawn(self._tick_forever())
        log.info("home %s waits for doors on %s", self.id, self.address)

    async def hand_over(self) -> None:
        """Be found no more and hand over what goes on; returns when the recordings that were begun are done.

        Where Redis does not answer this waits for it: what it has not taken yet would be lost, and a stream whose home
        has not said that it leaves is missed for a second.
        """
        if not self._leaving:
            self._leaving = True
            self._listener.leave()
            if self._telling is not None:
                self._telling.cancel()
                await asyncio.gather(self._telling, return_exceptions=True)
            with contextlib.suppress(JournalError):
                await self._directory.leave(self.id)
            for session in list(self._sessions):
                session.hand_over()
            for key in self._service.streams.staying():
                await self._hand_over(key)
        while self._recordings:
            await asyncio.wait({recording.task for recording in self._recordings})

    async def stop(self) -> None:
        """Cut the doors off."""
        for session in list(self._sessions):
            session.hand_over()
        for recording in self._recordings:
            recording.task.cancel()
        await self._listener.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what doors ask -----------------------------------------------------------------------------------------------

    def _opened(self, message: Message, call: Call) -> None:
        match message:
            case Take():
                work = Work.of(self._service.metrics, "packet", message)
                self._spawn(self._take(message, call), work.context).add_done_callback(lambda _: work.end())
            case Open():
                if (session := HostedSession.begin(self._service, message, call, leaving=self._leaving)) is not None:
                    self._sessions.add(session)
                    session.on_end = lambda: self._sessions.discard(session)
            case Recognize():
                recording = HostedRecording(self._service, message, call)
                self._recordings.add(recording)
                recording.task.add_done_callback(lambda _: self._recordings.discard(recording))
            case _:
                call.end()

    async def _take(self, message: Take, call: Call) -> None:
        answer: Message
        try:
            reply, kept = await self._taken(message)
            answer = Taken(call.number, reply.text, reply.audio_seconds, reply.confirmed, reply.confirmed_seconds, kept)
        except Exception as error:
            answer = told(call.number, error)
        if not call.over:
            with contextlib.suppress(LingtingError):
                call.send(answer)
            call.end()

    async def _taken(self, message: Take) -> tuple[StreamReply, bool]:
        key = (message.owner.tenant_id, message.stream_id)
        streams = self._service.streams
        await self._hold(key, message)
        packet = StreamPacket(
            message.stream_id, message.sequence_id, Action(message.action), message.audio, message.digest
        )
        try:
            reply = await streams.packet(message.owner, packet, message.options)
            if packet.action is Action.ABORT:
                return reply, True
            return reply, await self._storage.settle(key, asked=reply.audio_seconds == 0.0)
        except StreamMoved:
            await self._let_go(key)
            raise
        except JournalError:
            raise
        except Overloaded as error:
            if self._leaving:
                raise StreamMoved("this home stops") from error
            await self._abandon(key)
            raise
        except LingtingError:
            await self._abandon(key)
            raise

    async def _hold(self, key: Key, message: Take) -> None:
        """See that this home holds the claim which the door knows of.

        Raises:
            StreamMoved: the stream was claimed again since, or goes to another home now.
        """
        held = self._storage.epoch(key)
        if held == message.epoch:
            return
        if held > message.epoch or self._leaving:
            raise StreamMoved(f"the stream {key[1]} was claimed again")
        if held:
            await self._let_go(key)
        self._storage.hold(key, Place(self.id, self.address, message.epoch, message.fresh))
        self.moved_in += not message.fresh

    async def _abandon(self, key: Key) -> None:
        """Give a claim back of which nothing came."""
        if not self._service.streams.knows(key):
            with contextlib.suppress(JournalError):
                await self._storage.forget(key)

    async def _let_go(self, key: Key) -> None:
        self._storage.drop(key)
        await self._service.streams.leave(key)

    async def _hand_over(self, key: Key) -> None:
        await self._service.streams.leave(key)
        while True:
            try:
                return await self._storage.release(key)
            except StreamMoved:
                self._storage.drop(key)
                return None
            except JournalError:
                await asyncio.sleep(LOOK_SECONDS)
                with contextlib.suppress(JournalError):
                    await self._directory.look()

    # -- what it tells ------------------------------------------------------------------------------------------------

    async def _tell_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with contextlib.suppress(JournalError):
                await self._directory.look(self.state())
                for key in await self._storage.catch_up():
                    await self._let_go(key)

    async def _tick_forever(self) -> None:
        while True:
            self._storage.tick()
            await asyncio.sleep(TICK_SECONDS)

    def state(self) -> HomeState:
        """As it tells of itself."""
        live, wait = self._service.streams.live + len(self._sessions), self._service.predicted_wait
        lanes = self._settings.compute_threads or physical_cores()
        return HomeState(self.id, self.address, live, lanes, self._service.live_lag, wait, __version__)

    def _spawn(self, work: Coroutine[None, None, None], context: Context | None = None) -> asyncio.Task[None]:
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def cluster_secret(settings: Settings) -> bytes:
    """The secret of the settings, which a role cannot be without."""
    assert settings.cluster_secret is not None
    return settings.cluster_secret.get_secret_value().encode()


def show_directory(metrics: Metrics, directory: Directory) -> None:
    """Metrics of the directory, as this node sees it."""
    metrics.gauge("lingting_cluster_redis_up", "Whether Redis of the cluster answers.", lambda: not directory.down)
    metrics.total(
        "lingting_cluster_redis_outages", "Times that Redis of the cluster did not answer.", lambda: directory.outages
    )
