"""How many homes there should be, by live streams and by the age of the oldest sound that was not heard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

STREAMS = "live_streams"
AGE = "unheard_seconds"
"""What a home reports of itself, under these names."""


class Context(Protocol):
    """What Ray Serve tells a policy; the part that is used of its AutoscalingContext."""

    @property
    def current_num_replicas(self) -> int:
        """Homes that there are."""

    @property
    def aggregated_metrics(self) -> Mapping[str, Mapping[Any, float]] | None:
        """What the homes report, by name and home."""


class HomesWanted:
    """A policy of Ray Serve's autoscaling: up to what is needed, for that moves no stream; down by one, for that does.

    Serve itself keeps to the least and the most, and waits `upscale_delay_s` and `downscale_delay_s`.

    Args:
        streams: live streams that a home should have.
        late: with sound that waits longer than this to be heard, in seconds, one home more is wanted.
    """

    def __init__(self, streams: int = 10, late: float = 2.0) -> None:
        self._streams = streams
        self._late = late

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """The number of homes, and no state."""
        told, there = context.aggregated_metrics or {}, context.current_num_replicas
        wanted = math.ceil(sum(told.get(STREAMS, {}).values()) / self._streams)
        if max(told.get(AGE, {}).values(), default=0.0) > self._late:
            wanted = max(wanted, there + 1)
        return max(wanted, there - 1), {}


class OnEveryMachine:
    """A policy of Ray Serve's autoscaling: so many replicas for each machine that is there."""

    def __init__(self, replicas: int = 1) -> None:
        self._replicas = replicas

    def __call__(self, context: Context) -> tuple[int, dict[str, Any]]:
        """The number of replicas, and no state."""
        import ray

        return self._replicas * sum(node["Alive"] for node in ray.nodes()), {}
