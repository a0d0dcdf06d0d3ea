"""Which models callers may name, and which one answers those who name none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lingting.errors import ModelError
from lingting.models.store import Store
from lingting.settings import Settings

ALL = "all"
DEAF = frozenset({"punctuation", "segmentation", "speaker"})
"""Kinds of models that hear nothing by themselves."""


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models of a server by name.

    Attributes:
        default: answers where nothing else is said: the model of final text.
        live: makes the text that grows, where the default one answers.
        configured: what the setting `model` says, which stands for the default one.
        by_interface: the default models of interfaces that have their own.
        names: all that may be named, the default one first.
        helpers: those that hear nothing by themselves: for speakers and punctuation.
    """

    default: str
    live: str
    configured: str
    by_interface: Mapping[str, str]
    names: tuple[str, ...]
    helpers: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> ServedModels:
        """The models that the settings name. Looks into the folder of models."""
        default = settings.final_model or settings.model
        by_interface = settings.model_of_interface
        named = _hearing(Store.at(settings.models_dir)) if settings.served_models == ALL else settings.served_models
        names = (default, *by_interface.values(), *(name for name in named.split(",") if name))
        helpers = (settings.segmentation_model, settings.speaker_model, settings.punctuation_model)
        return cls(
            default,
            settings.live_model or settings.model,
            settings.model,
            by_interface,
            tuple(dict.fromkeys(names)),
            tuple(name for name in helpers if name),
        )

    @property
    def needed(self) -> tuple[str, ...]:
        """All models that must be installed."""
        return tuple(dict.fromkeys((*self.names, self.live, *self.helpers)))

    @property
    def defaults(self) -> tuple[str, ...]:
        """Those that are loaded at the start and never let go."""
        return tuple(dict.fromkeys((self.default, *self.by_interface.values())))

    def find(self, name: str) -> str | None:
        """The model that a caller means by a name; None where it is not served."""
        if name in self.names:
            return name
        return self.default if name == self.configured else None


def _hearing(store: Store) -> str:
    """Names of the installed models that hear, separated by commas; what cannot be used is left out."""
    names = []
    for name in store.installed():
        try:
            if store.describe(name).engine not in DEAF:
                names.append(name)
        except ModelError:
            continue
    return ",".join(names)
