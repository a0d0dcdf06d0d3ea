"""WebSockets stay with their door and recordings come to one; both are recognised in a home, and go on in another."""

from __future__ import annotations

import base64
import json
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.sync.client import ClientConnection, connect

from bench.stand_in import expected
from tests.api.serving import FILE, TRANSCRIPTIONS
from tests.cluster.conftest import full
from tests.cluster.nodes import Cluster, Node, noise, packets, wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Cluster]:
    """As the others', with recognition that takes its time."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), redis_url, job_seconds="0.05")
    try:
        yield full(made)
    finally:
        made.stop()


@pytest.fixture(autouse=True)
def two_homes(cluster: Cluster) -> None:
    while len(homes(cluster)) < 2:
        cluster.start("home", f"home-{len(cluster.nodes)}")
    cluster.wait()


def homes(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes if node.name.startswith("home") and not node.ended()]


def door(cluster: Cluster) -> str:
    return next(node.url for node in cluster.nodes if node.name.startswith("door"))


class Listening:
    """A live connection of a Deepgram client, and what it was told."""

    def __init__(self, cluster: Cluster) -> None:
        url = door(cluster).replace("http", "ws") + "/v1/listen?encoding=linear16&sample_rate=16000&language=en"
        self.socket: ClientConnection = connect(url, additional_headers={"Authorization": f"Token {cluster.key}"})
        self.told: list[Any] = []
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def finals(self) -> list[str]:
        """Texts that are final, in order."""
        results = [message for message in self.told if message.get("type") == "Results" and message["is_final"]]
        return [text for each in results if (text := each["channel"]["alternatives"][0]["transcript"])]

    def end(self) -> str:
        """End it, and give the text."""
        self.socket.send(json.dumps({"type": "CloseStream"}))
        self._reading.join(120)
        assert not self._reading.is_alive()
        return " ".join(self.finals())

    def _read(self) -> None:
        for message in self.socket:
            self.told.append(json.loads(message))


def owner_of_sessions(cluster: Cluster) -> Node:
    """The home to which the door is connected and that has a session: the one that computes."""

    def live(node: Node) -> float:
        return node.metric("lingting_cluster_sessions")

    wait_until(lambda: any(live(node) for node in homes(cluster)), "no home has the session")
    return max(homes(cluster), key=live)


@pytest.mark.parametrize("how", ["killed", "frozen", "stopped"])
def test_a_websocket_goes_on_in_another_home_with_every_text_once(cluster: Cluster, how: str) -> None:
    pcm = noise(6.3, 11)
    parts = packets(pcm)
    listening = Listening(cluster)
    for part in parts[:16]:
        listening.socket.send(part)
    wait_until(lambda: len(listening.finals()) >= 2, "no text comes")
    owner = owner_of_sessions(cluster)
    if how == "frozen":
        owner.signal(signal.SIGSTOP)
    elif how == "killed":
        owner.kill()
    else:
        owner.signal(signal.SIGTERM)
    for part in parts[16:]:
        listening.socket.send(part)
    assert listening.end() == expected(pcm)
    if how == "stopped":
        wait_until(owner.ended, "the home does not stop")
    else:
        owner.kill()


def test_a_recording_is_recognised_in_a_home(cluster: Cluster) -> None:
    pcm = noise(3.4, 12)
    body = {
        "speech": {"speech": base64.b64encode(pcm).decode()},
        "config": {"file_id": "f" * 16, "format": "pcm", "engine_type": "16k_auto"},
    }
    answer = requests.post(
        door(cluster) + FILE, json=body, headers={"Authorization": f"Bearer {cluster.key}"}, timeout=60
    ).json()
    assert answer["data"]["recognition_text"] == expected(pcm)


def test_a_recording_whose_home_is_killed_is_recognised_in_another(cluster: Cluster) -> None:
    pcm = noise(40.0, 13)
    heard: list[str] = []

    def ask() -> None:
        header = b"RIFF" + (36 + len(pcm)).to_bytes(4, "little") + b"WAVEfmt " + (16).to_bytes(4, "little")
        header += (1).to_bytes(2, "little") + (1).to_bytes(2, "little") + (16000).to_bytes(4, "little")
        header += (32000).to_bytes(4, "little") + (2).to_bytes(2, "little") + (16).to_bytes(2, "little")
        wav = header + b"data" + len(pcm).to_bytes(4, "little") + pcm
        form = {"file": ("speech.wav", wav), "model": (None, "whisper-1")}
        headers = {"Authorization": f"Bearer {cluster.key}"}
        answer = requests.post(door(cluster) + TRANSCRIPTIONS, files=form, headers=headers, timeout=60)
        heard.append(answer.json()["text"])

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(
        lambda: any(node.metric("lingting_cluster_recordings") for node in homes(cluster)), "no home has the recording"
    )
    max(homes(cluster), key=lambda node: node.metric("lingting_cluster_recordings")).kill()
    asking.join(120)
    assert heard == [expected(pcm)]
