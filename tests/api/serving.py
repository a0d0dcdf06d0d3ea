"""A real server over a socket with fakes only for what needs the model: recognition, live sessions, decoding."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import sys
import threading
import traceback
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray

from lingting.access import Access, Principal, TenantLimits
from lingting.access.records import NewCredential
from lingting.api.app import create_app
from lingting.api.listening.sockets import listen
from lingting.api.server import Server
from lingting.audio.budget import AudioBudget
from lingting.audio.decode import Decoder as RealDecoder
from lingting.audio.piecewise import Piecewise
from lingting.audio.recording import Recording
from lingting.domain import Account, RecognitionOptions, Sentence, Transcript
from lingting.errors import AudioTooLong, EmptyAudio, NoSpeakers, Overloaded, UndecodableAudio
from lingting.operations.metrics import Metrics
from lingting.recognition.endpoint import EndpointConfig
from lingting.served_models import ServedModels
from lingting.settings import Settings
from lingting.streams import Streams
from tests.api.live_fakes import FakeLive

FILE = "/open-apis/speech_to_text/v1/speech/file_recognize"
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
TENANT_TOKEN = "/open-apis/auth/v3/tenant_access_token/internal"
APP_TOKEN = "/open-apis/auth/v3/app_access_token/internal"
FLASH = "/v1/audio/asr/flash"
TRANSCRIPTIONS = "/v1/audio/transcriptions"

SPEECH_SCOPES = ("speech_to_text:speech", "audio:flash", "audio:transcriptions")


class Recognizer:
    """Says how many samples it was given; takes `seconds`, or until `released`; raises `error` when that is set."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.broken: Exception | None = None
        self.released: asyncio.Event | None = None
        self.seconds = 0.0
        self.predicted_wait = 0.0
        self.max_wait = 10.0
        self.seen: list[tuple[int, RecognitionOptions]] = []
        self.accounts: list[Account | None] = []
        self.cancelled = 0
        self.running = 0

    def admit(self, account: Account) -> None:
        """Whether another recording is taken."""
        if self.predicted_wait > self.max_wait:
            raise Overloaded(
                f"the predicted wait is {self.predicted_wait:.0f} s; try again later",
                self.predicted_wait - self.max_wait,
            )

    def admit_live(self, account: Account, model: str) -> None:
        """Whether another stream is taken."""
        self.admit(account)

    def require_speakers(self, seconds: float = 0.0) -> None:
        """There are no models for that."""
        raise NoSpeakers("this server does not tell speakers apart; its operator sets LINGTING_SPEAKER_MODEL")

    async def recognize(
        self, recording: Recording, options: RecognitionOptions, account: Account | None = None
    ) -> Transcript:
        samples = recording.window(0, recording.size)
        self.seen.append((samples.size, options))
        self.accounts.append(account)
        if self.error is not None:
            raise self.error
        self.running += 1
        try:
            if self.released is not None:
                await self.released.wait()
            if self.seconds:
                await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        seconds = samples.size / 16000
        if not samples.any():
            return Transcript("", seconds, warning=recording.warning)
        text = f"heard {samples.size} samples"
        return Transcript(text, seconds, "en", (Sentence(text, 0.25, seconds + 0.004, (), "en"),), recording.warning)

    async def sentences(
        self, recording: Recording, options: RecognitionOptions, account: Account | None = None
    ) -> AsyncGenerator[Sentence, None]:
        """The sentences of `recognize`; raises `broken` behind the first one when that is set."""
        for sentence in (await self.recognize(recording, options, account)).sentences:
            yield sentence
        if self.broken is not None:
            raise self.broken


class Live:
    """A live session that remembers what it was given."""

    def __init__(self, recognizer: Recognizer, options: RecognitionOptions) -> None:
        self._recognizer = recognizer
        self.options = options
        self.samples: list[NDArray[np.int16]] = []
        self.ended = False

    @property
    def text(self) -> str:
        return f"{sum(s.size for s in self.samples)} so far"

    @property
    def confirmed(self) -> str:
        return self.text.removesuffix(" so far")

    @property
    def confirmed_seconds(self) -> float:
        return sum(s.size for s in self.samples) / 16000

    def require_room(self) -> None:
        pass

    def accept(self, samples: NDArray[np.int16]) -> None:
        assert not self.ended
        self.samples.append(samples)

    async def finish(self) -> Transcript:
        if self._recognizer.released is not None:
            await self._recognizer.released.wait()
        if self._recognizer.error is not None:
            raise self._recognizer.error
        size = sum(s.size for s in self.samples)
        self.ended = True
        return Transcript(f"heard {size} samples", size / 16000)

    def abort(self) -> None:
        self.ended = True


class Decoder:
    """Takes `RIFF` and raw samples behind it for audio, and raw samples when told so.

    Attributes:
        budget: its memory.
        missing: seconds that every file is said to lack.
        real: decodes files that come in pieces.
    """

    def __init__(self) -> None:
        self.budget = AudioBudget()
        self.missing = 0.0
        self.real = RealDecoder()

    def admit(self, tenant: str) -> None:
        """Whether there is memory for another file."""
        self.budget.admit(1)

    def admit_pcm16(self, size: int) -> None:
        """Whether there is memory for so many bytes."""
        self.budget.admit(size)

    def piecewise(self, demuxer: str, *, max_seconds: float) -> AbstractAsyncContextManager[Piecewise]:
        return self.real.piecewise(demuxer, max_seconds=max_seconds)

    def pcm16(self, data: bytes) -> Recording:
        return Recording.of_pcm16(data, self.budget.reserve(len(data)))

    async def decode(self, path: Path, *, format: str, sample_rate: int, max_seconds: float, tenant: str) -> Recording:
        data = await asyncio.to_thread(path.read_bytes)
        if format != "pcm":
            if not data.startswith(b"RIFF"):
                raise UndecodableAudio("the bytes are not audio in any known format")
            data = data[4:]
        samples = np.frombuffer(data[: len(data) & ~1], "<i2").astype(np.float32) / 32768
        if not samples.size:
            raise EmptyAudio("there are no samples in the audio")
        if samples.size > max_seconds * 16000:
            raise AudioTooLong(f"the audio is longer than {max_seconds:g} s", max_seconds)
        recording = Recording.of_samples(samples)
        recording.missing = self.missing
        return recording


@dataclass
class Service:
    """The service, with fakes where the model would be."""

    settings: Settings
    access: Access = field(init=False)
    recognizer: Recognizer = field(default_factory=Recognizer)
    decoder: Decoder = field(default_factory=Decoder)
    streams: Streams[Any] = field(init=False)
    metrics: Metrics = field(default_factory=Metrics)
    sessions: list[Live] = field(default_factory=list)
    live: list[FakeLive] = field(default_factory=list)
    finals: asyncio.Event = field(default_factory=asyncio.Event)
    live_seconds: float = 1e9
    open_error: Exception | None = None
    ready: bool = True
    why: list[str] = field(default_factory=list)

    @property
    def models(self) -> ServedModels:
        """What the settings name."""
        return ServedModels.of(self.settings)

    @contextlib.contextmanager
    def hold_model(self, name: str) -> Iterator[None]:
        """Every model is there."""
        yield

    async def unready(self) -> list[str]:
        """What the test says."""
        return self.why

    @property
    def queued(self) -> dict[str, int]:
        """Recognitions that have begun."""
        return {"file": self.recognizer.running}

    @property
    def engine_restarts(self) -> int:
        return 0

    @property
    def model_memory(self) -> dict[str, int]:
        return {"whisper-base": 200_000_000}

    @property
    def recognised_age(self) -> float:
        return 1.0

    @property
    def predicted_wait(self) -> float:
        """Seconds until a recording that came now would start."""
        return self.recognizer.predicted_wait

    def __post_init__(self) -> None:
        self.finals.set()
        self.access = Access(self.settings)
        self.streams = Streams(
            self._open,
            lease=self.access.limits.acquire_stream,
            idle_seconds=self.settings.stream_idle_seconds,
            max_seconds=self.settings.stream_max_seconds,
            window=self.settings.stream_window,
            grace_seconds=0.05,
        )

    def _open(self, owner: Principal, options: RecognitionOptions) -> Live:
        if self.open_error is not None:
            raise self.open_error
        session = Live(self.recognizer, options)
        self.sessions.append(session)
        return session

    def open_live(self, _: Principal, options: RecognitionOptions, endpoint: EndpointConfig | None = None) -> FakeLive:
        """A session that is in `live`; its finals wait while `finals` is not set."""
        if self.open_error is not None:
            raise self.open_error
        self.live.append(FakeLive(options, endpoint, self.finals, most_seconds=self.live_seconds))
        return self.live[-1]

    async def start(self) -> None:
        await self.access.start()
        await self.streams.start()

    async def stop(self) -> None:
        await self.streams.stop()
        await self.decoder.real.close()
        await self.access.close()


class Running:
    """A running server and credentials for it."""

    def __init__(self, service: Service, url: str, loop: asyncio.AbstractEventLoop, server: Server) -> None:
        self.service = service
        self.url = url
        self.loop = loop
        self.server = server
        self.address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
        directory = service.access.directory
        tenant = directory.create_tenant("acme").name
        self.app = directory.create_app(NewCredential("acme-app", tenant, SPEECH_SCOPES, owner="Ada"))
        self.key = directory.create_key(NewCredential("acme-key", tenant, SPEECH_SCOPES, owner="Ada")).key
        self._made = 0

    def new_key(self, scopes: tuple[str, ...] = SPEECH_SCOPES, **named: Any) -> str:
        """An API key of a tenant of its own, so that limits of other tests do not matter."""
        self._made += 1
        limits = named.pop("limits", {})
        directory = self.service.access.directory
        tenant = directory.create_tenant(f"tenant-{self._made}", limits=TenantLimits(**limits)).name
        return directory.create_key(NewCredential(f"key-{self._made}", tenant, scopes, **named)).key

    def call(self, function: Any, *arguments: Any) -> Any:
        """Run a function on the server's event loop."""
        done: Future[Any] = Future()

        def work() -> None:
            try:
                done.set_result(function(*arguments))
            except BaseException as error:
                done.set_exception(error)

        self.loop.call_soon_threadsafe(work)
        return done.result(10)

    def post(self, path: str, *, key: str | None = None, **named: Any) -> requests.Response:
        """A POST with a key as bearer."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        headers.update(named.pop("headers", {}))
        return requests.post(self.url + path, headers=headers, timeout=20, **named)

    @property
    def uploads(self) -> list[Path]:
        """Files that requests have on the server's disk now."""
        return list((self.service.settings.data_dir / "spool").glob("process-*/upload-*"))

    def raw(self, request: bytes, *, read_all: bool = True) -> bytes:
        """What the server writes on a connection of its own to these bytes."""
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.sendall(request)
            if read_all:
                connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)


def receive_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return bytes(received)


@contextlib.contextmanager
def serving(data_dir: Path, **settings: Any) -> Iterator[Running]:
    """A server in a thread of its own, on a free port."""
    service = Service(Settings(data_dir=data_dir, **settings))
    ready: Future[tuple[str, asyncio.AbstractEventLoop, Server]] = Future()
    listeners = [listen("127.0.0.1", port) for port in (0, *filter(None, (service.settings.funasr_port,)))]

    async def main() -> None:
        await service.start()
        loop = asyncio.get_running_loop()
        server = Server(service, create_app(service), on_ready=lambda url: ready.set_result((url, loop, server)))
        try:
            await server.serve(sockets=listeners)
        finally:
            await service.stop()

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as error:
            if not ready.done():
                ready.set_exception(error)
            raise

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        url, loop, server = ready.result(20)
        yield Running(service, url, loop, server)
    finally:
        if ready.done() and ready.exception() is None:
            server.should_exit = True
        thread.join(120)  # longer than what is in flight may take to end
        assert not thread.is_alive(), "it does not stop:\n" + "\n".join(
            ["".join(traceback.format_stack(frame)) for frame in sys._current_frames().values()]
            + [repr(task) for task in asyncio.all_tasks(loop)]
        )


def pcm(seconds: float, value: int = 1000) -> bytes:
    """Samples at 16 kHz."""
    return np.full(int(seconds * 16000), value, "<i2").tobytes()


def file_body(audio: bytes = pcm(0.1), **config: Any) -> dict[str, Any]:
    """A valid body of file_recognize; values of `config` replace its own, None removes."""
    fields = {"file_id": "qwe12dd34567890w", "format": "pcm", "engine_type": "16k_auto"} | config
    return {
        "speech": {"speech": base64.b64encode(audio).decode()},
        "config": {name: value for name, value in fields.items() if value is not None},
    }


def packet_body(
    stream_id: Any, sequence_id: Any, action: Any, audio: bytes | None = b"", **config: Any
) -> dict[str, Any]:
    """A valid body of stream_recognize; `audio` None leaves speech out."""
    fields = {
        "stream_id": stream_id,
        "sequence_id": sequence_id,
        "action": action,
        "format": "pcm",
        "engine_type": "16k_auto",
    } | config
    body: dict[str, Any] = {"config": {name: value for name, value in fields.items() if value is not None}}
    if audio is not None:
        body["speech"] = {"speech": base64.b64encode(audio).decode()}
    return body


def head_and_body(answer: bytes) -> tuple[list[str], Any]:
    """The lines of an answer's head, and its JSON body."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), json.loads(body) if body else None
