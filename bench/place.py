"""Where a run keeps its data, and the settings that the server and the library take in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.recordings import CACHE
from lingting.models import Store, install
from lingting.settings import Settings, load

_CHOICE = ("LINGTING_MODEL", "LINGTING_LIVE_MODEL", "LINGTING_FINAL_MODEL")


@dataclass(frozen=True, slots=True)
class Place:
    """A data folder of a run's own.

    Attributes:
        data_dir: the folder, which holds a link to the model.
        model_dir: the model; ours and the peer load this same folder.
    """

    data_dir: Path
    model_dir: Path

    def settings(self) -> Settings:
        """Settings in force, from the environment too; their data folder is this one."""
        os.environ["LINGTING_DATA_DIR"] = str(self.data_dir)
        return load()


def installed(name: str) -> Path:
    """The folder of a model that the settings in force have installed; call it before `Place.settings`.

    Raises:
        ModelError: it is not installed.
    """
    return Store.at(load().models_dir).path(name)


@contextmanager
def serving(name: str) -> Iterator[None]:
    """What is started inside the block has this model, live and final."""
    before = {key: os.environ.pop(key, None) for key in _CHOICE}
    os.environ["LINGTING_MODEL"] = name
    try:
        yield
    finally:
        del os.environ["LINGTING_MODEL"]
        os.environ.update({key: value for key, value in before.items() if value is not None})


def prepare(data_dir: Path, model_dir: Path | None = None) -> Place:
    """Link a model into the data folder: an installed one, or else one that is assembled once for all runs and tests.

    Raises:
        ModelError: the model cannot be installed.
    """
    if model_dir is None:
        model_dir = install(Store.at(CACHE / "models"), os.environ.get("LINGTING_MODEL", "whisper-base"))
    name = model_dir.name
    (data_dir / "models").mkdir(parents=True, exist_ok=True)
    link = data_dir / "models" / name
    if not link.exists():
        link.symlink_to(model_dir, target_is_directory=True)
    return Place(data_dir, model_dir)
