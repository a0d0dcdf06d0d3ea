"""The service as a whole, with the real model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lingting.access import Access
from lingting.recognition.scheduler import Scheduler
from lingting.recognition.selfcheck import SelfCheck
from lingting.service import build
from lingting.settings import Settings

pytestmark = pytest.mark.engine


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_it_is_ready_once_it_is_started_and_says_what_is_wrong_later(
    tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models").symlink_to(model_dir.parent)
    service = build(Settings(data_dir=tmp_path))
    assert await service.unready() == ["the model is loading"]
    await service.start()
    try:
        assert await service.unready() == []
        with monkeypatch.context() as broken:
            broken.setattr(SelfCheck, "age", 31.0)
            broken.setattr(Scheduler, "stuck", lambda _: 1)
            broken.setattr(Scheduler, "predicted_wait", lambda _: 11.0)
            hung, slow = f"1 of {service.recognizer._scheduler.lanes} lanes", "the predicted wait is 11 s"
            why = await service.unready()
            assert why[0] == "no sentence was recognised rightly for 30 s"
            assert why[1].startswith(hung) and why[2:] == [slow]
        with monkeypatch.context() as broken:

            async def silent(_: Access) -> bool:
                return False

            broken.setattr(Access, "answers", silent)
            assert await service.unready() == ["the database does not answer"]
        began = time.monotonic()
        assert await service.unready() == []
        assert time.monotonic() - began < 5
    finally:
        await service.stop()
    assert await service.unready() == ["the model is loading"]
