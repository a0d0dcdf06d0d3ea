"""A role inside a process that somebody else began, and the command for clusters where Ray is not installed."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import uvloop

from lingting.api.listening.gate import Gate
from lingting.errors import SettingsError
from lingting.on_ray.node import Node, NotServing, first_free, settings_of
from tests.cluster.nodes import running_redis
from tests.conftest import free_port

LINGTING = Path(sys.executable).with_name("lingting")


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Settings as a Serve config file gives them; what they put into the environment is taken out again."""
    for name in ("CLUSTER_NODE", "CLUSTER_ROLE", "CLUSTER_LISTEN"):
        monkeypatch.setenv(f"LINGTING_{name}", "")
        monkeypatch.delenv(f"LINGTING_{name}")
    found = {"data_dir": tmp_path, "cluster_secret": "a long random text for the tests", "drain_seconds": 1}
    for name in found:
        monkeypatch.setenv(f"LINGTING_{name.upper()}", "")
    return dict(found)


def test_a_setting_that_does_not_exist_is_named(given: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINGTING_MODLE", "")
    with pytest.raises(SettingsError, match="LINGTING_MODLE"):
        settings_of("home", name="n", address="127.0.0.1", link_port=0, given={**given, "modle": "x"})


def test_several_doors_of_a_machine_share_a_list_of_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, free = taken.getsockname()[1], free_port()
        with first_free("127.0.0.1", [port, free]) as listener:
            assert listener.getsockname()[1] == free
        with pytest.raises(SettingsError, match=str(port)):
            first_free("127.0.0.1", [port])


def test_a_door_inside_a_process_answers_and_drains_and_says_when_it_has_ended(
    given: dict[str, object], tmp_path: Path
) -> None:
    async def lives() -> None:
        settings = settings_of("door", name="a-door", address="127.0.0.1", link_port=0, given=given)
        node = await Node.start(settings, [0])
        node.check()
        answer = await asyncio.to_thread(urllib.request.urlopen, f"{node.url}/healthz")
        assert answer.headers["X-Tt-Logid"], "title case, as Feishu's SDK wants it"
        await node.stop()
        with pytest.raises(NotServing):
            node.check()

    with running_redis(tmp_path) as (url, _):
        given["cluster_redis_url"] = url
        asyncio.run(lives())


def test_the_status_lists_what_redis_knows_without_ray(tmp_path: Path) -> None:
    with running_redis(tmp_path) as (url, _):
        environment = {**os.environ, "LINGTING_DATA_DIR": str(tmp_path), "LINGTING_CLUSTER_REDIS_URL": url}
        shown = subprocess.run(
            [LINGTING, "cluster", "status", "--json"], env=environment, capture_output=True, text=True, check=True
        )
    assert json.loads(shown.stdout) == {"doors": [], "homes": []}


def test_without_ray_the_command_says_how_to_install_it(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "LINGTING_DATA_DIR": str(tmp_path),
        "LINGTING_CLUSTER_SECRET": "a long random text for the tests",
    }
    refused = subprocess.run([LINGTING, "cluster", "up"], env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "Ray is not installed: install it with" in refused.stderr


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_connections_that_have_ended_are_not_counted_on_rays_event_loop_either(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    class Echo(asyncio.Protocol):
        def __init__(self, arrived: Callable[[], None]) -> None:
            self._arrived = arrived

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast(asyncio.Transport, transport)

        def data_received(self, data: bytes) -> None:
            self._arrived()
            self._transport.write(data)
            self._transport.close()

    async def one_after_another() -> None:
        refused: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            gate = Gate(listener, Echo, tls=None, per_address=3, exempt=lambda _: False, refused=refused.append)
            for _ in range(12):
                reader, writer = await asyncio.open_connection(*listener.getsockname())
                writer.write(b"?")
                assert await reader.read() == b"?"
                writer.close()
            gate.close()
        assert not refused

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(one_after_another())
