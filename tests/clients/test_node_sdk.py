"""The official Node SDK, with only the domain changed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.hearing import assert_heard, mandarin, packets
from tests.conftest import LiveServer
from tests.requirements import npm_packages

pytestmark = pytest.mark.engine

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def program() -> Path:
    """The program beside its installed dependencies, in a cache folder that belongs to the lock file."""
    folder = npm_packages(HERE, "speech.mjs")
    return folder / "speech.mjs"


@pytest.fixture(scope="module")
def answers(program: Path, live_server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program got."""
    audio = tmp_path_factory.mktemp("node") / "said.pcm"
    audio.write_bytes(mandarin().pcm)
    command = ["node", program, live_server.url, live_server.app_id, live_server.app_secret, audio]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_a_file_is_recognised(answers: dict[str, Any]) -> None:
    assert answers["whole"]["code"] == 0
    assert_heard(answers["whole"]["data"]["recognition_text"], mandarin())


def test_a_stream_of_200_ms_packets_is_recognised(answers: dict[str, Any]) -> None:
    assert len(answers["texts"]) == len(packets(mandarin().pcm))
    assert_heard(answers["texts"][-1], mandarin())


def test_a_refusal_names_the_field(answers: dict[str, Any]) -> None:
    refused = answers["refused"]
    assert (refused["status"], refused["code"]) == (400, 1040101)
    assert refused["error"]["log_id"] == refused["logId"]
    fields = [violation["field"] for violation in refused["error"]["field_violations"]]
    assert fields == ["config.file_id", "speech.speech"]
