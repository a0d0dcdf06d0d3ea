"""How many homes Ray Serve is told to have."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from lingting.on_ray.scaling import AGE, STREAMS, HomesWanted


@dataclass
class Context:
    """What Ray Serve says."""

    current_num_replicas: int
    aggregated_metrics: dict[str, dict[str, float]] = field(default_factory=dict)


def told(homes: int, streams: list[float], ages: list[float]) -> Context:
    """Homes that report this."""
    return Context(
        homes,
        {
            STREAMS: {f"home-{number}": value for number, value in enumerate(streams)},
            AGE: {f"home-{number}": value for number, value in enumerate(ages)},
        },
    )


@pytest.mark.parametrize(
    ("context", "homes"),
    [
        (told(2, [10.0, 10.0], [0.1, 0.1]), 2),
        (told(2, [25.0, 26.0], [0.1, 0.1]), 6),
        (told(2, [5.0, 5.0], [0.1, 3.0]), 3),
        (told(8, [1.0] * 8, [0.1] * 8), 7),
        (Context(3), 2),
    ],
    ids=["enough", "as many as the streams need at once", "sound waits too long", "down by one", "nothing is told yet"],
)
def test_homes_follow_live_streams_and_late_sound(context: Context, homes: int) -> None:
    assert HomesWanted(streams=10, late=2.0)(context)[0] == homes  # type: ignore[arg-type]
