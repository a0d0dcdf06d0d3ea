"""Two doors and two homes with Whisper base: the text of a stream whose homes die is that of an undisturbed one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.hearing import assert_heard, mandarin
from tests.cluster.conftest import full
from tests.cluster.nodes import Cluster, action, new_id, packets, send
from tests.conftest import LINGTING

pytestmark = [pytest.mark.engine, pytest.mark.slow]


def test_a_stream_whose_home_is_killed_under_way_has_the_text_of_an_undisturbed_one(
    tmp_path: Path, redis_url: str, model_dir: Path
) -> None:
    said = mandarin()
    pause = bytes(40_000)
    parts = packets(pause + said.pcm + pause + said.pcm + pause)
    cluster = Cluster(tmp_path, redis_url, command=(str(LINGTING),))
    for name in ("home-a", "home-b"):
        (tmp_path / name / "models").mkdir(parents=True)
        (tmp_path / name / "models" / model_dir.name).symlink_to(model_dir)

    def play(kill_behind: int | None) -> str:
        stream, text = new_id(), ""
        for number, part in enumerate(parts):
            door = doors[number % 2]
            text = send(door, cluster.key, stream, number, action(number, len(parts)), part).text
            if number == kill_behind:
                cluster.owner(stream).kill()
        return text

    try:
        full(cluster)
        doors = [node.url for node in cluster.nodes if node.name.startswith("door")]
        undisturbed = play(None)
        assert_heard(undisturbed, said)
        assert play(len(parts) // 2) == undisturbed
    finally:
        cluster.stop()
