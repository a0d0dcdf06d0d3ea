"""Makes sure that an installed model is what it is said to be, before anything loads it."""

from __future__ import annotations

from lingting.models import headers
from lingting.models.catalogue import Model
from lingting.models.store import Store
from lingting.models.trial import try_once

_MEMORY = "tried.json"


def vet(store: Store, name: str) -> Model:
    """Make sure that an installed model can be loaded, and say what it is.

    The files of the catalogue's models had the right digests when they were installed, so their sizes are compared; of
    a folder of the operator's own the headers are read. Then the model is tried in a process of its own, once for as
    long as no file changes.

    Raises:
        ModelError: the model is absent, damaged, or its files are not what its kind needs; the message says what to do.
    """
    folder = store.path(name)
    model = store.describe(name)
    if name not in store.catalogue.models:
        headers.examine(model, folder)
    try_once(model, folder, store.work / _MEMORY)
    return model
