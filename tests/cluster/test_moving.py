"""Streams of a cluster find their home and keep it: what a client sees while homes die, freeze, stop and are added."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import requests

from bench.stand_in import expected
from lingting.access import Principal
from lingting.cluster.connecting import dial
from lingting.cluster.directory import Place
from lingting.cluster.messages import Take, Taken
from lingting.domain import RecognitionOptions
from lingting.errors import LingtingError
from lingting.settings import PREFIX
from lingting.streams import StreamPacket
from lingting.streams.journal.storage import Key
from tests.cluster.nodes import (
    SECRET,
    Cluster,
    Node,
    action,
    new_id,
    noise,
    packets,
    send,
    send_once,
    wait_until,
)
from tests.conftest import LINGTING

HALF = 10
"""Packets before something happens; as many follow."""


@pytest.fixture
def doors(cluster: Cluster) -> list[str]:
    return [node.url for node in cluster.nodes if node.name.startswith("door")]


@pytest.fixture(autouse=True)
def two_homes(cluster: Cluster) -> Iterator[None]:
    """Every test begins with two homes, however the one before has left them."""
    for node in homes(cluster):
        node.signal(signal.SIGCONT)
    while len(homes(cluster)) < 2:
        cluster.start("home", f"home-{len(cluster.nodes)}")
    cluster.wait()
    yield
    for node in homes(cluster):
        node.signal(signal.SIGCONT)


def homes(cluster: Cluster) -> list[Node]:
    return [node for node in cluster.nodes if node.name.startswith("home") and not node.ended()]


def play(cluster: Cluster, pcm: bytes, meanwhile: Callable[[str], None]) -> str:
    """The text of a stream through both doors in turn; something happens in its middle."""
    stream, parts = new_id(), packets(pcm)
    urls = [node.url for node in cluster.nodes if node.name.startswith("door")]
    answers = []
    for number, part in enumerate(parts):
        if number == HALF:
            meanwhile(stream)
        answers.append(send(urls[number % 2], cluster.key, stream, number, action(number, len(parts)), part))
    return answers[-1].text


def place(cluster: Cluster, stream: str) -> tuple[Key, Place]:
    """The name of a stream in the directory, and where it is."""
    with redis.Redis.from_url(cluster.redis_url) as client:
        (name,) = client.keys(f"lingting:cluster:*{stream}*:m")
        found = {field.decode(): value.decode() for field, value in client.hgetall(name).items()}
    tenant = name.decode().partition("{")[2].partition("/")[0]
    return (tenant, stream), Place(found["owner"], found["address"], int(found["epoch"]))


async def asked(key: Key, place: Place, number: int, audio: bytes) -> str:
    """What a home answers to a door that sends it a packet: the name of its error."""
    link = await dial(place.address, SECRET.encode(), "a door of the test")
    owner = Principal(key[0], "acme", None, None, "Ada", frozenset())
    packet = StreamPacket.of(key[1], number, 0, audio)
    try:
        await link.ask(
            lambda call: Take(
                call, owner, key[1], number, 0, audio, packet.digest, RecognitionOptions(), place.epoch, False, "", ""
            ),
            Taken,
            60.0,
        )
    except LingtingError as error:
        return type(error).__name__
    finally:
        link.close()
    return "taken"


def test_a_stream_through_two_doors_has_the_text_of_all_its_sound(cluster: Cluster) -> None:
    pcm = noise(4.3)
    assert play(cluster, pcm, lambda _: None) == expected(pcm)


def test_a_stream_whose_home_is_killed_loses_nothing_and_is_answered_elsewhere(cluster: Cluster) -> None:
    pcm = noise(4.3, 1)
    killed: list[Node] = []

    def kill(stream: str) -> None:
        killed.append(cluster.owner(stream))
        killed[0].kill()

    assert play(cluster, pcm, kill) == expected(pcm)
    assert killed[0].ended()


def test_a_home_that_wakes_from_a_freeze_answers_nothing_of_a_stream_that_moved(
    cluster: Cluster, doors: list[str]
) -> None:
    pcm = noise(4.3, 2)
    stream, parts = new_id(), packets(pcm)

    def to(door: int, number: int) -> str:
        return send(doors[door], cluster.key, stream, number, action(number, len(parts)), parts[number]).text

    for number in range(HALF):  # both doors know the owner
        to(number % 2, number)
    frozen, (key, before) = cluster.owner(stream), place(cluster, stream)
    frozen.signal(signal.SIGSTOP)
    for number in range(HALF, 15):
        to(0, number)
    assert place(cluster, stream)[1].epoch > before.epoch
    frozen.signal(signal.SIGCONT)
    for number in (HALF - 1, HALF):  # one that it has taken, and one that it has not
        assert asyncio.run(asked(key, before, number, parts[number])) == "StreamMoved"
    for number in range(15, len(parts)):  # the other door still believes in the one that woke
        text = to(1, number)
    assert text == expected(pcm)
    assert not frozen.ended()


def test_a_planned_stop_hands_streams_over_without_a_time_out(cluster: Cluster) -> None:
    pcm = noise(4.3, 3)

    stopped: list[Node] = []

    def stop(stream: str) -> None:
        owner = cluster.owner(stream)
        stopped.append(owner)
        owner.signal(signal.SIGTERM)
        with redis.Redis.from_url(cluster.redis_url) as client:
            (name,) = client.keys(f"lingting:cluster:*{stream}*:m")
            wait_until(lambda: client.hget(name, "owner") == b"", "the stream was not given up")

    before = [node.metric("lingting_cluster_links_broken_total") for node in cluster.nodes if "door" in node.name]
    assert play(cluster, pcm, stop) == expected(pcm)
    after = [node.metric("lingting_cluster_links_broken_total") for node in cluster.nodes if "door" in node.name]
    assert after == before, "nobody was distrusted"
    wait_until(stopped[0].ended, "the home does not stop")


def test_another_home_takes_no_live_stream_and_gets_new_ones(cluster: Cluster, doors: list[str]) -> None:
    streams = [new_id() for _ in range(6)]
    parts = packets(noise(0.6, 4))
    for stream in streams:
        send(doors[0], cluster.key, stream, 0, 1, parts[0])
    owners = {stream: cluster.owner(stream).name for stream in streams}
    cluster.start("home", f"home-{len(cluster.nodes)}")
    cluster.wait()
    for stream in streams:
        send(doors[1], cluster.key, stream, 1, 0, parts[1])
    assert {stream: cluster.owner(stream).name for stream in streams} == owners
    new = [new_id() for _ in range(6)]
    for stream in new:
        send(doors[1], cluster.key, stream, 0, 1, parts[0])
    assert cluster.nodes[-1].name in {cluster.owner(stream).name for stream in new}
    for stream in streams + new:
        send(doors[0], cluster.key, stream, 2, 3, b"")


def test_a_final_packet_that_is_sent_again_gets_the_same_text_after_its_home_is_gone(
    cluster: Cluster, doors: list[str]
) -> None:
    pcm = noise(0.7, 5)
    stream, parts = new_id(), packets(pcm)
    for number, part in enumerate(parts):
        text = send(doors[0], cluster.key, stream, number, action(number, len(parts)), part).text
    assert text == expected(pcm)
    last = len(parts) - 1
    assert send(doors[1], cluster.key, stream, last, 2, parts[-1]).text == text
    cluster.owner(stream).kill()
    assert send(doors[1], cluster.key, stream, last, 2, parts[-1]).text == text
    assert send(doors[0], cluster.key, stream, last, 2, parts[-1]).text == text


def test_a_final_packet_that_waits_for_its_text_is_answered_by_another_home(cluster: Cluster, doors: list[str]) -> None:
    """The final packet overtakes another; its home freezes while it waits for that."""
    pcm = noise(2.0, 6)
    stream, parts = new_id(), packets(pcm)
    for number in range(len(parts) - 2):
        send(doors[0], cluster.key, stream, number, action(number, len(parts)), parts[number])
    cluster.owner(stream).signal(signal.SIGSTOP)
    assert send(doors[0], cluster.key, stream, len(parts) - 2, 0, parts[-2]).tries >= 1
    assert send(doors[0], cluster.key, stream, len(parts) - 1, 2, parts[-1]).text == expected(pcm)


def test_packets_out_of_order_stay_in_their_order_across_a_move(cluster: Cluster, doors: list[str]) -> None:
    pcm = noise(2.0, 7)
    stream, parts = new_id(), packets(pcm)
    for number in (0, 2, 1, 4, 5):
        send(doors[0], cluster.key, stream, number, action(number, len(parts)), parts[number])
    cluster.owner(stream).kill()
    for number in (5, 3, 7, 6, 8, 9):  # number 5 again, which is known
        text = send(doors[number % 2], cluster.key, stream, number, action(number, len(parts)), parts[number]).text
    assert text == expected(pcm)


def test_an_aborted_stream_is_gone_for_every_door_and_its_name_is_free(cluster: Cluster, doors: list[str]) -> None:
    pcm = noise(1.0, 8)
    stream, parts = new_id(), packets(pcm)
    for number in range(3):
        send(doors[number % 2], cluster.key, stream, number, action(number, len(parts)), parts[number])
    cluster.owner(stream).kill()
    assert send(doors[0], cluster.key, stream, 3, 3, b"").text == ""
    refused = send_once(doors[1], cluster.key, stream, 3, 0, parts[3])
    assert refused is not None
    assert refused["code"] != 0
    for number, part in enumerate(parts):
        text = send(doors[1], cluster.key, stream, number, action(number, len(parts)), part).text
    assert text == expected(pcm)


def test_a_stream_that_was_never_opened_is_unknown_in_the_words_of_a_single_server(
    cluster: Cluster, doors: list[str]
) -> None:
    answer = send_once(doors[0], cluster.key, new_id(), 1, 0, b"")
    assert answer is not None
    assert answer["code"] != 0
    assert "stream_id" in str(answer)
    with redis.Redis.from_url(cluster.redis_url) as client:
        before = set(client.keys("lingting:cluster:*:m"))
    refused = send_once(doors[0], cluster.key, new_id(), 7, 1, b"")
    assert refused is not None
    assert refused["code"] != 0
    with redis.Redis.from_url(cluster.redis_url) as client:
        assert set(client.keys("lingting:cluster:*:m")) == before, "no claim is left of a stream that did not begin"


def test_a_home_answers_nobody_but_doors_and_those_who_watch_it(cluster: Cluster) -> None:
    home = homes(cluster)[0]
    assert requests.get(f"{home.url}/healthz", timeout=10).ok
    answer = send_once(home.url, cluster.key, new_id(), 0, 1, b"")
    assert answer is not None
    assert answer["code"] != 0


def test_the_status_of_a_cluster_shows_every_door_and_every_home(cluster: Cluster, doors: list[str]) -> None:
    stream, parts = new_id(), packets(noise(0.4, 9))
    send(doors[0], cluster.key, stream, 0, 1, parts[0])

    def told() -> dict[str, list[dict[str, Any]]]:
        given = {"CLUSTER_REDIS_URL": cluster.redis_url, "CLUSTER_SECRET": SECRET, "CLUSTER_ROLE": "door"}
        environment = {**os.environ, **{PREFIX + name: value for name, value in given.items()}}
        command = [str(LINGTING), "cluster", "status", "--json"]
        return dict(json.loads(subprocess.run(command, env=environment, capture_output=True, check=True).stdout))

    wait_until(lambda: sum(each["live"] for each in told()["doors"]), "no door tells of the stream")
    seen = told()
    assert sorted(each["id"].rpartition("-")[0] for each in seen["doors"]) == ["door-a", "door-b"]
    assert {each["id"].rpartition("-")[0] for each in seen["homes"]} == {node.name for node in homes(cluster)}
    assert {each["homes"] for each in seen["doors"]} == {len(homes(cluster))}
    assert sum(each["live"] for each in seen["homes"]) >= 1
    send(doors[0], cluster.key, stream, 1, 3, b"")


def test_a_server_by_itself_knows_nothing_of_clusters() -> None:
    asked = "import sys, lingting.service, lingting.api.server; print('lingting.cluster' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
