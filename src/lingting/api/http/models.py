"""Which models there are beside the one that answers."""

from __future__ import annotations

import asyncio

from lingting.errors import ModelError
from lingting.models import Store
from lingting.settings import Settings


async def unserved(name: str, settings: Settings) -> str:
    """Why a model does not answer: it is installed and another one is served, or it is not installed."""

    def installed() -> bool:
        try:
            return Store.at(settings.models_dir).folder(name).is_dir()
        except ModelError:
            return False

    there = await asyncio.to_thread(installed)
    return f"the model {name[:60]!r} is {'installed but not served' if there else 'not installed'}"
