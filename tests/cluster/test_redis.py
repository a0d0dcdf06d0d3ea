"""Redis of a cluster freezes, and loses everything: what goes on, what is refused, and that nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path

from bench.stand_in import expected
from tests.cluster.conftest import full
from tests.cluster.nodes import (
    BUSY,
    Cluster,
    action,
    new_id,
    noise,
    packets,
    running_redis,
    send,
    send_once,
    wait_until,
)


def test_a_home_that_is_stopped_while_redis_is_frozen_hands_over_what_only_it_has(tmp_path: Path) -> None:
    pcm = noise(3.0, 22)
    stream, parts = new_id(), packets(pcm)
    (tmp_path / "redis").mkdir()
    cluster = Cluster(tmp_path, "", settings={"drain_seconds": "60"})

    def play(first: int, end: int) -> str:
        url = next(node.url for node in cluster.nodes if node.name == "door-a")
        for number in range(first, end):
            text = send(url, cluster.key, stream, number, action(number, len(parts)), parts[number]).text
        return text

    try:
        with running_redis(tmp_path / "redis") as (cluster.redis_url, redis):
            full(cluster)
            play(0, 4)
            owner = cluster.owner(stream)
            redis.send_signal(signal.SIGSTOP)
            play(4, 8)
            owner.signal(signal.SIGTERM)
            wait_until(lambda: "no new work" in owner.log.read_text(), "the home does not stop")
            redis.send_signal(signal.SIGCONT)
            assert play(8, len(parts)) == expected(pcm)
            wait_until(owner.ended, "the home does not end")
    finally:
        cluster.stop()


def test_streams_go_on_while_redis_is_frozen_or_has_lost_everything_and_survive_their_home_after_it(
    tmp_path: Path,
) -> None:
    pcm = noise(5.0, 21)
    stream, parts = new_id(), packets(pcm)
    (tmp_path / "redis").mkdir()
    cluster = Cluster(tmp_path, "")

    def play(first: int, end: int) -> str:
        text = ""
        for number in range(first, end):
            url = doors[number % 2].url
            answer = send(url, cluster.key, stream, number, action(number, len(parts)), parts[number])
            text = answer.text
        return text

    try:
        with running_redis(tmp_path / "redis") as (cluster.redis_url, redis):
            full(cluster)
            doors = [node for node in cluster.nodes if node.name.startswith("door")]
            play(0, 6)

            redis.send_signal(signal.SIGSTOP)
            play(6, 10)
            refused = send_once(doors[0].url, cluster.key, new_id(), 0, 1, parts[0])
            assert refused is not None
            assert refused["code"] in BUSY
            assert doors[0].metric("lingting_cluster_redis_up") == 0
            assert doors[0].metric("lingting_cluster_redis_outages_total") >= 1

            redis.send_signal(signal.SIGCONT)
            for node in cluster.nodes:
                wait_until(
                    lambda node=node: node.metric("lingting_cluster_redis_up") == 1, f"{node.name} finds no Redis"
                )
            play(10, 12)
            cluster.owner(stream).kill()
            play(12, 15)

        cluster.start("home", "home-c")
        with running_redis(tmp_path / "redis", int(cluster.redis_url.rsplit(":", 1)[1].removesuffix("/0"))):
            cluster.wait()
            play(15, 20)
            cluster.owner(stream).kill()
            assert play(20, len(parts)) == expected(pcm)
    finally:
        cluster.stop()
