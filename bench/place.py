"""Where a run keeps its data, and the settings that the server and the library take in it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.recordings import CACHE
from lingting.models import Store, install
from lingting.settings import Settings, load


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


def prepare(data_dir: Path) -> Place:
    """Assemble the model, once for all runs and the tests, and link it into the data folder.

    Raises:
        ModelError: the model cannot be installed.
    """
    name = os.environ.get("LINGTING_MODEL", "whisper-base")
    model_dir = install(Store.at(CACHE / "models"), name)
    (data_dir / "models").mkdir(parents=True, exist_ok=True)
    link = data_dir / "models" / name
    if not link.exists():
        link.symlink_to(model_dir, target_is_directory=True)
    return Place(data_dir, model_dir)
