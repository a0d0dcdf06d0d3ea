"""The composition root: one service from one Settings, for HTTP, the command line and tests alike."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from lingting import samples
from lingting.access import Access, Principal
from lingting.audio.budget import AudioBudget
from lingting.audio.decode import Decoder
from lingting.audio.voice import VoiceDetector
from lingting.domain import RecognitionOptions, Seconds
from lingting.engine_room import EngineRoom
from lingting.errors import ModelLoading
from lingting.models.catalogue import Model
from lingting.operations.metrics import Metrics
from lingting.operations.traces import Traces
from lingting.phonetics import Corrector
from lingting.processors import physical_cores
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.engine import OfflineEngine
from lingting.recognition.live import LiveConfig, LiveSession
from lingting.recognition.observer import NOBODY, Observer
from lingting.recognition.oneshot import Recognizer
from lingting.recognition.reading import step_back
from lingting.recognition.rescoring import SecondPass
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.selfcheck import LATELY, SelfCheck
from lingting.recognition.utterance import Writing
from lingting.recognition.warming import warm, warm_speakers
from lingting.remembered import last_language_model, remember_language_model
from lingting.served_models import ServedModels
from lingting.settings import Settings
from lingting.streams import Streams
from lingting.streams.awake import AwakeClock
from lingting.streams.journal import DiskStorage, Encrypted, Storage
from lingting.text import grammars

log = logging.getLogger(__name__)

_LOOK_EVERY: Seconds = 30.0
"""Models that nobody uses are looked for so often, or as often as they may be let go."""

_LISTENERS = 4
_READERS = 2
_WRITERS = 2


def second_pass(settings: Settings) -> Corrector | None:
    """The second pass over Chinese, None if it is off.

    Raises:
        ModelError: the language model that the settings name cannot be used.
    """
    return Corrector.load(settings.language_model) if settings.phonetics == "on" else None


def _hears_rightly(scheduler: Scheduler, engine: OfflineEngine, model: Model) -> None:
    """Let a model hear the sample; one that is said to write Chinese must do so."""
    warm(scheduler, engine, *samples.whole(), knows="zh" in model.languages)


class Recognition:
    """The model and everything around it that makes text; what the library and the command line need of the service.

    Building one loads the model, which takes a second or so: do it off the event loop.

    Args:
        apart: this is a server: engines may run in processes of their own (see `EngineRoom`), and each hears a known
            sentence rightly before it is used.

    Attributes:
        engines: the models that may be asked for.
        language_model: the language model of the second pass over Chinese, or "off".
        self_check: says whether recognition works, once it is started.

    Raises:
        ModelError: the model is not installed or cannot be loaded.
    """

    def __init__(self, settings: Settings, observer: Observer = NOBODY, *, apart: bool = False) -> None:
        workers = settings.compute_threads or physical_cores()
        corrector = second_pass(settings)
        if settings.convert_numbers:
            grammars.load()
        rescorer = SecondPass(corrector) if corrector and settings.script != "as-is" else None
        self.language_model = corrector.language_model_name if corrector else "off"
        if corrector and corrector.unused_language_model:
            log.warning("the language model that is shipped is not used: %s", corrector.unused_language_model)
        self._listeners = ThreadPoolExecutor(_LISTENERS, thread_name_prefix="listen")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="read", initializer=step_back)
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="write")
        self.scheduler = Scheduler(workers, observer)
        warming = partial(_hears_rightly, self.scheduler) if apart else None
        self.engines = EngineRoom(settings, workers, rescorer, apart=apart, warm=warming)
        try:
            engines = self.engines.open()
            diariser = self.engines.diariser()
            if diariser is not None and apart:
                warm_speakers(self.scheduler, diariser, samples.whole()[0])
        except BaseException:
            self.close()
            raise
        served = ", ".join(self.engines.served.names)
        log.info("models %s on %d workers, second pass over Chinese: %s", served, workers, self.language_model)
        self.self_check = SelfCheck(self.scheduler, engines.final, *samples.excerpt())
        writing = Writing(
            script=settings.script,
            convert_numbers=settings.convert_numbers,
            language=None if settings.language == "auto" else settings.language,
            ear=None if rescorer is None else corrector,
            is_word=None if corrector is None else corrector.is_word,
        )
        endpoint = EndpointConfig(
            silence=settings.endpoint_silence_ms / 1000,
            longest=settings.max_utterance_seconds,
        )
        self.recognizer = Recognizer(
            self.scheduler,
            self.engines.hold,
            speakers=diariser,
            detector=VoiceDetector(),
            writing=writing,
            live=LiveConfig(endpoint, backlog=settings.stream_backlog_seconds),
            listeners=self._listeners,
            readers=self._readers,
            writers=self._writers,
            max_wait=settings.max_wait_seconds,
            max_lag=settings.max_lag_seconds,
            observer=observer,
        )

    def close(self) -> None:
        """Finish what is queued and stop the threads."""
        self.scheduler.close()
        self.engines.close()
        for pool in (self._listeners, self._readers, self._writers):
            pool.shutdown()


class Service:
    """Everything that answers requests. Use from one event loop.

    Args:
        settings: what it is built from.
        journal: where the packets of streams are kept; what the settings name when None.

    Attributes:
        settings: what it was built from.
        access: tenants, credentials, limits and usage.
        decoder: audio files to samples.
        streams: live streams of packets.
        metrics: counts and durations of everything it does.
    """

    def __init__(self, settings: Settings, journal: Storage | None = None) -> None:
        self.settings = settings
        self.access = Access(settings)
        self.metrics = Metrics()
        self.decoder = Decoder(budget=AudioBudget(settings.audio_memory_bytes), max_wait=settings.max_wait_seconds)
        self.streams: Streams[Principal] = Streams(
            self.open_live,
            lease=self.access.limits.acquire_stream,
            idle_seconds=settings.stream_idle_seconds,
            max_seconds=settings.stream_max_seconds,
            window=settings.stream_window,
            journal=journal or _journal(settings),
            open_again=partial(self.open_live, again=True),
            clock=AwakeClock(settings.stream_idle_seconds / 2),
        )
        self.models = ServedModels.of(settings)
        self._recognition: Recognition | None = None
        self._letting_go: asyncio.Task[None] | None = None
        self.metrics.gauge(
            "lingting_recognised_age_seconds",
            "How long ago recognition worked: text came, or the self-check was heard rightly.",
            lambda: self.recognised_age,
        )
        self.metrics.gauge(
            "lingting_stuck_lanes",
            "Lanes that are in one step for far longer than its work can take.",
            lambda: 0 if self._recognition is None else self._recognition.scheduler.stuck(),
        )
        self.metrics.gauge(
            "lingting_live_lag_seconds",
            "How late live text is lately, on average, behind its oldest sound.",
            lambda: self.live_lag,
        )
        self._show_counts()

    def _show_counts(self) -> None:
        """Metrics of what the parts of the service count for themselves."""
        show, access, streams = self.metrics.total, self.access, self.streams
        self.metrics.totals("lingting_streams_ended", "Streams that ended, by cause.", "cause", lambda: streams.ends)
        show(
            "lingting_journal_errors",
            "Entries of the journal of streams that could not be written or read.",
            lambda: streams.journal_errors,
        )
        show(
            "lingting_decoder_restarts",
            "Processes that decode files which died or took too long.",
            lambda: self.decoder.replaced,
        )
        show("lingting_database_outages", "Times that the database did not answer.", lambda: access.outages)
        show(
            "lingting_redis_outages",
            "Times that Redis did not answer, and this node counted limits for itself.",
            lambda: access.limits.outages,
        )
        self.metrics.gauges(
            "lingting_model_memory_bytes",
            "Memory of a model: what the process grew by when it was loaded, or what its own process has.",
            "model",
            lambda: self.model_memory,
        )

    @property
    def ready(self) -> bool:
        """Whether the model is loaded and new work is taken."""
        return self._recognition is not None and not self.streams.draining

    async def unready(self) -> list[str]:
        """Why no request should come to this server now, in words; empty where nothing is wrong."""
        recognition = self._recognition
        if recognition is None:
            return ["the model is loading"]
        why = []
        if not await self.access.answers():
            why.append("the database does not answer")
        if recognition.self_check.age > LATELY:
            why.append(f"no sentence was recognised rightly for {LATELY:g} s")
        if stuck := recognition.scheduler.stuck():
            why.append(f"{stuck} of {recognition.scheduler.lanes} lanes of recognition hang; restart the server")
        if self.predicted_wait > self.settings.max_wait_seconds:
            why.append(f"the predicted wait is {self.predicted_wait:.0f} s")
        return why

    @property
    def recognizer(self) -> Recognizer:
        """The recogniser; there is one once `start` is done."""
        if self._recognition is None:
            raise RuntimeError("the service has not been started")
        return self._recognition.recognizer

    @property
    def queued(self) -> Mapping[str, int]:
        """How many tasks of each kind wait for an engine."""
        return {} if self._recognition is None else self._recognition.scheduler.queued_by_kind

    @property
    def live_lag(self) -> Seconds:
        """How late live text is lately, on average."""
        return 0.0 if self._recognition is None else self._recognition.scheduler.live_lag()

    @property
    def engine_restarts(self) -> int:
        """How often an engine's process was started anew."""
        return 0 if self._recognition is None else self._recognition.engines.restarts

    @property
    def model_memory(self) -> dict[str, int]:
        """Bytes of each model that is loaded, by name."""
        return {} if self._recognition is None else self._recognition.engines.memory

    @property
    def recognised_age(self) -> Seconds:
        """Seconds since recognition was known to work: text came, or the self-check was heard rightly."""
        return 0.0 if self._recognition is None else self._recognition.self_check.age

    @property
    def predicted_wait(self) -> Seconds:
        """Seconds until the recognition of a file that came now would start: its decoding, and the engine."""
        engine = 0.0 if self._recognition is None else self._recognition.scheduler.predicted_wait()
        return self.decoder.predicted_wait() + engine

    async def start(self) -> None:
        """Load the model, open the database, and recognise a moment of silence to be warm.

        Raises:
            ModelError: the model is not installed or cannot be loaded.
            SettingsError: requests are to be traced, and cannot be.
        """
        if self.settings.traces:
            self.metrics.traces = await asyncio.to_thread(Traces)
        await self.access.start()
        try:
            self._recognition = await asyncio.to_thread(Recognition, self.settings, self.metrics, apart=True)
            await asyncio.to_thread(_tell_change, self.settings, self._recognition.language_model)
            await self._recognition.recognizer.warm_up()
            await self._recognition.self_check.start()
            await self.streams.start()
            if self.settings.unload_seconds:
                self._letting_go = asyncio.create_task(self._let_go(self._recognition.engines), name="let-go")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Refuse new work, finish what is in flight, and write what is not yet written."""
        await self.streams.drain(self.settings.drain_seconds)
        await self.streams.stop()
        if self._letting_go is not None:
            self._letting_go.cancel()
        recognition, self._recognition = self._recognition, None
        if recognition is not None:
            await recognition.self_check.stop()
            await asyncio.to_thread(recognition.close)
        await self.decoder.close()
        await self.access.close()
        if self.metrics.traces is not None:
            await asyncio.to_thread(self.metrics.traces.close)

    async def _let_go(self, engines: EngineRoom) -> None:
        idle = self.settings.unload_seconds
        while True:
            await asyncio.sleep(min(idle, _LOOK_EVERY))
            await asyncio.wrap_future(engines.let_go(idle))

    def hold_model(self, name: str) -> AbstractContextManager[object]:
        """A model that is loaded, and stays so inside the block.

        Raises:
            ModelLoading: it is not loaded yet.
            UnknownModel: it is not served.
        """
        if self._recognition is None:
            raise ModelLoading("the model is loading; try again shortly")
        return self._recognition.engines.hold(name)

    def open_live(
        self,
        principal: Principal,
        options: RecognitionOptions,
        endpoint: EndpointConfig | None = None,
        *,
        again: bool = False,
    ) -> LiveSession:
        """Begin to recognise a stream of this caller. A model that is not served any more gives way to the default one.

        Args:
            endpoint: when an utterance ends, where the caller says so; the settings decide when None.
            again: it was live before, in a process that has ended, so it has its room.

        Raises:
            Overloaded: the server is too busy for another stream.
        """
        if options.model not in self.models.names:
            options = replace(options, model="")
        return self.recognizer.open_live(options, principal.account, endpoint, again=again)


def _tell_change(settings: Settings, language_model: str) -> None:
    before = last_language_model(settings.data_dir)
    if before and before != language_model:
        log.warning("Chinese may be written otherwise: %s at the last start, now %s", before, language_model)
    remember_language_model(settings.data_dir, language_model)


def _journal(settings: Settings) -> Storage | None:
    """Where the packets of streams are kept, if not in memory alone."""
    if settings.journal == "memory" or settings.journal_key is None:
        return None
    storage: Storage
    if settings.journal == "disk":
        storage = DiskStorage(settings.data_dir / "journal")
    else:
        from lingting.streams.journal.redis import RedisStorage

        storage = RedisStorage(settings.journal_url, 2 * settings.stream_idle_seconds)
    return Encrypted(storage, settings.journal_key.get_secret_value())


def build(settings: Settings) -> Service:
    """A service that is not started yet."""
    return Service(settings)
