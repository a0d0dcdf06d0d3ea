"""Which model of the catalogue would write better text than the one that is used, and how to get it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from lingting.extras import install_command
from lingting.models.catalogue import Model
from lingting.models.store import Store

_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Advice:
    """A model to take in place of another.

    Attributes:
        model: it.
        instead_of: the one that is used.
        fits: whether there is memory for it.
        commands: what installs it and lets the next start of the server use it, in order.
    """

    model: Model
    instead_of: str
    fits: bool
    commands: tuple[str, ...]


def better_than(name: str, store: Store, free: int | None) -> Advice | None:
    """A better model than this one, as the catalogue says by what others measured; None where it knows of none.

    Args:
        free: bytes of memory that may still be used; None where the system does not tell.
    """
    used = store.catalogue.models.get(name)
    if used is None or not used.better:
        return None
    model = store.catalogue.find(used.better)
    commands = []
    if model.engine != "whisper-ctranslate2" and find_spec("sherpa_onnx") is None:
        commands.append(install_command("sherpa"))
    if not store.folder(model.name).is_dir():
        commands.append(f"lingting models pull {model.name}")
    if used.streaming and not model.streaming:  # which goes on to write what is shown while someone speaks
        commands.append(f"LINGTING_FINAL_MODEL={model.name} lingting serve")
    else:
        commands.append(f"lingting models use {model.name}")
    return Advice(model, name, free is None or free >= model.memory_mb * _MB, tuple(commands))
