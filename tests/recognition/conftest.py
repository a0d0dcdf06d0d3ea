from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from lingting import settings
from lingting.recognition.oneshot import Recognizer
from lingting.service import Recognition

T = TypeVar("T")
Use = Callable[[Callable[[Recognizer], Awaitable[T]]], T]


@pytest.fixture(scope="session")
def recognition(model_dir: Path) -> Iterator[Recognition]:
    """The real model with everything around it, loaded once."""
    recognition = Recognition(settings.Settings(data_dir=model_dir.parent.parent))
    yield recognition
    recognition.close()


@pytest.fixture
def use(recognition: Recognition) -> Use[T]:
    """Run something on the real recogniser in an event loop of its own."""

    def run(work: Callable[[Recognizer], Awaitable[T]]) -> T:
        async def go() -> T:
            return await work(recognition.recognizer)

        return asyncio.run(go())

    return run
