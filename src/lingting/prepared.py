"""The data folder, complete before a server starts: the models, and the sample recording."""

from __future__ import annotations

from collections.abc import Callable

from lingting import samples
from lingting.models import Store
from lingting.served_models import ServedModels
from lingting.settings import Settings


def prepare(settings: Settings, install: Callable[[Store, str], None]) -> None:
    """Make the data folder complete: the models, where they can be installed without a network, and the sample.

    Args:
        settings: of the server.
        install: puts a model into a store.

    Raises:
        ModelError: a model is not there, and not one that Python packages bring along.
    """
    store = Store.at(settings.models_dir)
    served = ServedModels.of(settings)
    for name in served.needed:
        model = store.catalogue.models.get(name)
        if model and model.embedded and not store.folder(name).exists():
            install(store, name)
        store.path(name)
    samples.write(settings.data_dir / "sample")
