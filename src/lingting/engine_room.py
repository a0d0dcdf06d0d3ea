"""The engines of a service by the names of their models: loaded at the start or when first asked for, held while they
are used, and let go when nobody uses them."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lingting.domain import Seconds
from lingting.engines.process.engine import ProcessEngine
from lingting.engines.sherpa import build
from lingting.engines.sherpa.speakers import THRESHOLD, Diariser
from lingting.engines.whisper import WhisperEngine
from lingting.engines.whole import Whole
from lingting.errors import LingtingError, ModelError, ModelLoading, UnknownModel
from lingting.models.catalogue import Model
from lingting.models.store import Store
from lingting.models.vetting import vet
from lingting.operations.memory import resident_bytes
from lingting.recognition.engine import OfflineEngine, Rescorer, StreamingEngine
from lingting.recognition.partials import LiveEngines
from lingting.served_models import DEAF, ServedModels
from lingting.settings import Settings

log = logging.getLogger(__name__)

_WHISPER = "whisper-ctranslate2"
_LOADED_WITHIN: Seconds = 5.0
_AGAIN: Seconds = 60.0
"""A model that could not be loaded is tried again after this long, when it is asked for."""

Warm = Callable[[OfflineEngine, Model], None]
"""Lets a model hear its first words; raises ModelError where it must not be served."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model in memory.

    Attributes:
        whole: the engine for whole utterances, which may be the engine itself.
        process: its process, where it has one of its own.
        grown: bytes by which this process grew when it was loaded.
        held: what keeps its files.
    """

    model: Model
    engine: OfflineEngine | StreamingEngine
    whole: OfflineEngine
    process: ProcessEngine | None
    grown: int
    held: ExitStack

    def close(self) -> None:
        if self.process is not None:
            self.process.close()
        self.held.close()


@dataclass(eq=False, slots=True)
class _Place:
    """What is known of a name that callers may use. `EngineRoom._lock` guards it.

    Attributes:
        models: what must be loaded for it.
        users: how many hold it.
        used_at: when the last of them let go, by `time.monotonic`.
        engines: None while it is not loaded.
        loading: whether that is under way.
        refused: why it could not be loaded, until `refused_until`.
    """

    models: tuple[str, ...]
    users: int = 0
    used_at: float = 0.0
    engines: LiveEngines | None = None
    loading: bool = False
    refused: str = ""
    refused_until: float = 0.0


class EngineRoom:
    """The engines of a service. `hold` never blocks; everything is thread-safe.

    Args:
        settings: name the models.
        lanes: steps that may run at once.
        rescorer: the second pass over Chinese. It is for Whisper, whose errors it was measured on.
        apart: engines may run in processes of their own, as `LINGTING_ENGINE_PROCESSES` says; else, for a program that
            answers for itself, in this one.
        warm: what a model goes through before it is used.

    Attributes:
        served: the names that may be used.
    """

    def __init__(
        self,
        settings: Settings,
        lanes: int,
        rescorer: Rescorer | None = None,
        *,
        apart: bool = False,
        warm: Warm | None = None,
    ) -> None:
        self.served = ServedModels.of(settings)
        self._settings = settings
        self._store = Store.at(settings.models_dir)
        self._lanes = lanes
        self._rescorer = rescorer
        self._apart = apart
        self._warm = warm
        self._lock = threading.Lock()
        self._places = {name: _Place(self._models_of(name)) for name in self.served.names}
        self._loaded: dict[str, _Loaded] = {}
        self._past_restarts = 0
        self._held = ExitStack()
        self._punctuation: Path | None = None
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")

    def open(self) -> LiveEngines:
        """Load what is loaded at the start, and give the default engines. Called once, before anything is held.

        Raises:
            ModelError: one is not installed, cannot be loaded, hears nothing, or hears wrong.
        """
        for name in self.served.names:
            if self._store.describe(name).engine in DEAF:
                raise ModelError(f"the model {name} hears nothing by itself; name another")
            self._store.path(name)
        self._punctuation = self._file_of(self._settings.punctuation_model, "punctuation")
        first = self.served.names if self._settings.load_models == "start" else self.served.defaults
        for name in first:
            self._loader.submit(self._open, name).result()
        engines = self._places[self.served.default].engines
        assert engines is not None
        return engines

    def diariser(self) -> Diariser | None:
        """What tells speakers apart, None where the settings name no models for that; its models are held from now on.

        Raises:
            ModelError: one is not installed, or is for something else.
        """
        segmentation = self._file_of(self._settings.segmentation_model, "segmentation")
        voices = self._file_of(self._settings.speaker_model, "speaker")
        if segmentation is None or voices is None:
            return None
        threshold = self._store.describe(self._settings.speaker_model).options.get("threshold", THRESHOLD)
        return Diariser(self._settings.speaker_model, segmentation, voices, float(threshold))

    def _file_of(self, name: str, kind: str) -> Path | None:
        """The file of a model of one of the kinds that have one file; None for no name."""
        if not name:
            return None
        model = vet(self._store, name)
        if model.engine != kind or "model" not in model.roles:
            raise ModelError(
                f"the model {name} is of the kind {model.engine}; LINGTING_{kind.upper()}_MODEL needs {kind}"
            )
        return self._held.enter_context(self._store.hold(name)) / model.roles["model"]

    @contextmanager
    def hold(self, name: str = "") -> Iterator[LiveEngines]:
        """The engines of a name, which are not let go inside the block; empty names the default one.

        Raises:
            ModelLoading: it is being loaded from now on, or could not be; its words are for callers.
            UnknownModel: the name is not served.
        """
        place, engines = self._enter(name or self.served.default)
        try:
            yield engines
        finally:
            with self._lock:
                place.users -= 1
                place.used_at = time.monotonic()

    def let_go(self, idle: Seconds) -> Future[None]:
        """Let go of what nobody used for so long and is no default; done when the future is."""
        return self._loader.submit(self._let_go, idle)

    def close(self) -> None:
        """End the processes, and let go of the models."""
        self._loader.shutdown(cancel_futures=True)
        for loaded in self._loaded.values():
            loaded.close()
        self._held.close()

    @property
    def restarts(self) -> int:
        """How often a process of an engine was started anew."""
        with self._lock:
            return self._past_restarts + sum(process.restarts for process in self._processes)

    @property
    def memory(self) -> dict[str, int]:
        """Resident bytes by model: of its own process now, or what this process grew by when it was loaded."""
        with self._lock:
            loaded = dict(self._loaded)
        return {
            name: each.grown if each.process is None else resident_bytes(each.process.pid)
            for name, each in loaded.items()
        }

    @property
    def loaded(self) -> frozenset[str]:
        """The names that answer without being loaded first."""
        with self._lock:
            return frozenset(name for name, place in self._places.items() if place.engines is not None)

    @property
    def _processes(self) -> list[ProcessEngine]:
        return [loaded.process for loaded in self._loaded.values() if loaded.process is not None]

    def _models_of(self, name: str) -> tuple[str, ...]:
        return (name, self.served.live) if name == self.served.default else (name,)

    def _enter(self, name: str) -> tuple[_Place, LiveEngines]:
        with self._lock:
            place = self._places.get(name)
            if place is None:
                raise UnknownModel(f"the model {name!r} is not served")
            if place.engines is not None:
                place.users += 1
                return place, place.engines
            wait = place.refused_until - time.monotonic()
            if wait > 0:
                raise ModelLoading(place.refused, retry_after=wait)
            if not place.loading:
                place.loading = True
                self._loader.submit(self._try, name)
        raise ModelLoading(f"the model {name} is being loaded; try again shortly", retry_after=_LOADED_WITHIN)

    # -- in the thread that loads -------------------------------------------------------------------------------------

    def _try(self, name: str) -> None:
        """Load a name that was asked for, or remember why that cannot be."""
        place = self._places[name]
        try:
            self._open(name)
        except Exception as error:
            log.error("the model %s cannot be served", name, exc_info=not isinstance(error, LingtingError))
            why = str(error) if isinstance(error, LingtingError) else f"the model {name} cannot be loaded ({error})"
            log.error("%s", why)
            with self._lock:
                place.refused, place.refused_until = why, time.monotonic() + _AGAIN
        finally:
            with self._lock:
                place.loading = False

    def _open(self, name: str) -> None:
        """Load all that a name needs, each model once."""
        place = self._places[name]
        if place.engines is not None:
            return
        new: dict[str, _Loaded] = {}
        try:
            for model in dict.fromkeys(place.models):
                if model not in self._loaded:
                    new[model] = self._load(model)
        except BaseException:
            for loaded in new.values():
                loaded.close()
            raise
        with self._lock:
            self._loaded |= new
            place.engines, place.used_at = self._put_together(name), time.monotonic()
        if new:
            log.info("loaded %s", ", ".join(new))

    def _put_together(self, name: str) -> LiveEngines:
        """Who makes the text of a name: a model alone, or of the default one's, one live and one final."""
        final = self._loaded[name]
        live = self._loaded[self._places[name].models[-1]]
        ear = cast(StreamingEngine, live.engine) if live.model.streaming else None
        partial = live.whole if ear is None else final.whole
        return LiveEngines(final.whole, partial, ear, ear_is_final=ear is not None and live is final)

    def _let_go(self, idle: Seconds) -> None:
        now = time.monotonic()
        with self._lock:
            for name, place in self._places.items():
                if name not in self.served.defaults and not place.users and now - place.used_at >= idle:
                    place.engines = None
            needed = {model for place in self._places.values() if place.engines for model in place.models}
            gone = [self._loaded.pop(model) for model in list(self._loaded) if model not in needed]
            self._past_restarts += sum(loaded.process.restarts for loaded in gone if loaded.process is not None)
        for loaded in gone:
            loaded.close()
            log.info("let go of the model %s, which nobody used for %g s", loaded.model.name, idle)

    def _load(self, name: str) -> _Loaded:
        before = resident_bytes(os.getpid())
        model = vet(self._store, name)
        held = ExitStack()
        process: ProcessEngine | None = None
        engine: Any
        try:
            folder = str(held.enter_context(self._store.hold(name)))
            if self._in_a_process(model):
                factory, arguments = self._recipe(model, folder)
                engine = process = ProcessEngine(name, factory, arguments, lanes=self._lanes)
            elif model.engine == _WHISPER:
                engine = WhisperEngine.load(self._store.folder(name), self._lanes, name=name, rescorer=self._rescorer)
            else:
                engine = build(**self._recipe(model, folder)[1])
            whole: OfflineEngine = Whole(engine) if model.streaming else engine
            if self._warm is not None:
                self._warm(whole, model)
        except BaseException:
            if process is not None:
                process.close()
            held.close()
            raise
        grown = max(0, resident_bytes(os.getpid()) - before)
        return _Loaded(model, engine, whole, process, grown, held)

    def _recipe(self, model: Model, folder: str) -> tuple[str, Mapping[str, Any]]:
        """What another process is told so that it loads the model: plain data."""
        if model.engine == _WHISPER:
            language_model = self._settings.language_model
            return "lingting.engines.whisper:build", {
                "name": model.name,
                "folder": folder,
                "lanes": self._lanes,
                "second_pass": self._rescorer is not None,
                "language_model": None if language_model is None else str(language_model),
            }
        return "lingting.engines.sherpa:build", {
            "name": model.name,
            "kind": model.engine,
            "folder": folder,
            "roles": dict(model.roles),
            "options": dict(model.options),
            "punctuates": model.punctuates,
            "punctuation": None if self._punctuation is None else str(self._punctuation),
        }

    def _in_a_process(self, model: Model) -> bool:
        if not self._apart or self._settings.engine_processes == "none":
            return False
        return self._settings.engine_processes == "all" or model.engine != _WHISPER
