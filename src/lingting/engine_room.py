"""Which engines answer: the models that the settings name, loaded by the kind that the catalogue says they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

from lingting.engines.process import ProcessEngine
from lingting.engines.sherpa import build
from lingting.engines.whisper import WhisperEngine
from lingting.engines.whole import Whole
from lingting.errors import ModelError
from lingting.models.catalogue import Model
from lingting.models.store import Store
from lingting.models.vetting import vet
from lingting.operations.memory import resident_bytes
from lingting.recognition.engine import OfflineEngine, Rescorer, StreamingEngine
from lingting.recognition.partials import LiveEngines
from lingting.settings import Settings

_WHISPER = "whisper-ctranslate2"


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """The engines of a service.

    Args:
        lanes: steps that may run at once.
        rescorer: the second pass over Chinese. It is for Whisper, whose errors it was measured on.
        apart: engines may run in processes of their own, as `LINGTING_ENGINE_PROCESSES` says; else, for a program that
            answers for itself, in this one.
    """

    lanes: int
    rescorer: Rescorer | None = None
    apart: bool = False
    _processes: list[ProcessEngine] = field(default_factory=list)
    _held: ExitStack = field(default_factory=ExitStack)
    _grown: dict[str, int] = field(default_factory=dict)

    def open(self, settings: Settings) -> LiveEngines:
        """Load the models that the settings name, each once.

        Raises:
            ModelError: one is not installed, cannot be loaded, or is no model that hears.
        """
        store = Store.at(settings.models_dir)
        final_name = settings.final_model or settings.model
        live_name = settings.live_model or settings.model
        final_model = vet(store, final_name)
        loaded = self._load(store, final_model, settings)
        final = Whole(cast(StreamingEngine, loaded)) if final_model.streaming else cast(OfflineEngine, loaded)
        if live_name == final_name:
            if final_model.streaming:
                return LiveEngines(final, final, cast(StreamingEngine, loaded), ear_is_final=True)
            return LiveEngines.of(final)
        live_model = vet(store, live_name)
        live = self._load(store, live_model, settings)
        if live_model.streaming:
            return LiveEngines(final, final, cast(StreamingEngine, live))
        return LiveEngines(final, cast(OfflineEngine, live))

    def close(self) -> None:
        """End the processes, and let go of the models."""
        for process in self._processes:
            process.close()
        self._held.close()

    @property
    def restarts(self) -> int:
        """How often a process of an engine was started anew."""
        return sum(process.restarts for process in self._processes)

    @property
    def memory(self) -> dict[str, int]:
        """Resident bytes by model: of its own process now, or what this process grew by when it was loaded."""
        return self._grown | {process.name: resident_bytes(process.pid) for process in self._processes}

    def _load(self, store: Store, model: Model, settings: Settings) -> OfflineEngine | StreamingEngine:
        before = resident_bytes(os.getpid())
        engine = self._loaded(store, model, settings)
        self._grown[model.name] = max(0, resident_bytes(os.getpid()) - before)
        return engine

    def _loaded(self, store: Store, model: Model, settings: Settings) -> OfflineEngine | StreamingEngine:
        folder = self._held.enter_context(store.hold(model.name))
        if model.engine == _WHISPER and not self._in_a_process(settings, model):
            return WhisperEngine.load(folder, self.lanes, name=model.name, rescorer=self.rescorer)
        if model.engine == _WHISPER:
            language_model = settings.language_model
            return self._process(
                model.name,
                "lingting.engines.whisper:build",
                {
                    "name": model.name,
                    "folder": str(folder),
                    "lanes": self.lanes,
                    "second_pass": self.rescorer is not None,
                    "language_model": None if language_model is None else str(language_model),
                },
            )
        if model.engine == "punctuation":
            raise ModelError(f"the model {model.name} writes punctuation and hears nothing; name another")
        arguments: Mapping[str, Any] = {
            "name": model.name,
            "kind": model.engine,
            "folder": str(folder),
            "roles": dict(model.roles),
            "options": dict(model.options),
            "punctuates": model.punctuates,
        }
        if not self._in_a_process(settings, model):
            return build(**arguments)
        return self._process(model.name, "lingting.engines.sherpa:build", arguments)

    def _in_a_process(self, settings: Settings, model: Model) -> bool:
        if not self.apart or settings.engine_processes == "none":
            return False
        return settings.engine_processes == "all" or model.engine != _WHISPER

    def _process(self, name: str, factory: str, arguments: Mapping[str, Any]) -> ProcessEngine:
        process = ProcessEngine(name, factory, arguments, lanes=self.lanes)
        self._processes.append(process)
        return process
