"""The last day in quarters of an hour, out of the metrics, for those who look at the server without a Prometheus."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lingting.domain import Seconds

QUARTER: Seconds = 900.0
KEPT = 96
_EVERY: Seconds = 5.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the server began.

    Attributes:
        requests: requests that were answered.
        caller_errors: those that were answered with an error which is the caller's.
        server_errors: those with one of the server's own: it was busy, or failed.
        late: final texts of live speech by how late they came, cumulative, one for each of `bounds`.
        bounds: seconds; the last is infinite.
    """

    requests: float
    caller_errors: float
    server_errors: float
    late: tuple[float, ...]
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Quarter:
    """What happened within a quarter of an hour.

    Attributes:
        start: Unix time in seconds.
        streams: the most live streams at once.
        requests, caller_errors, server_errors: as in `Totals`.
        median, p95: how late the final text of live speech came, in seconds; None where there was none.
    """

    start: float
    streams: int
    requests: int
    caller_errors: int
    server_errors: int
    median: Seconds | None
    p95: Seconds | None


class Day:
    """The quarters of the last day. Only the event loop touches it.

    Args:
        read: the metrics as they stand.
        live: how many streams are live.
        clock: Unix time.
    """

    def __init__(self, read: Callable[[], Totals], live: Callable[[], int], clock: Callable[[], float] = time.time):
        self._read = read
        self._live = live
        self._clock = clock
        self._done: deque[Quarter] = deque(maxlen=KEPT - 1)
        self._streams = 0
        self._begin()

    async def watch(self) -> None:
        """Look every few seconds, until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(_EVERY)

    def sample(self) -> None:
        """Look how many streams are live; a quarter that is over is put away."""
        if self._now() != self._start:
            self._done.append(self._quarter())
            self._begin()
        self._streams = max(self._streams, self._live())

    def quarters(self) -> list[Quarter]:
        """The quarters of the last day, the oldest first; the last one goes on."""
        self.sample()
        oldest = self._start - (KEPT - 1) * QUARTER
        return [*(quarter for quarter in self._done if quarter.start >= oldest), self._quarter()]

    def _now(self) -> float:
        return self._clock() // QUARTER * QUARTER

    def _begin(self) -> None:
        self._start, self._streams, self._since = self._now(), 0, self._read()

    def _quarter(self) -> Quarter:
        now, since = self._read(), self._since
        late = [count - before for count, before in zip(now.late, since.late, strict=True)]
        return Quarter(
            start=self._start,
            streams=self._streams,
            requests=round(now.requests - since.requests),
            caller_errors=round(now.caller_errors - since.caller_errors),
            server_errors=round(now.server_errors - since.server_errors),
            median=quantile(late, now.bounds, 0.5),
            p95=quantile(late, now.bounds, 0.95),
        )


def quantile(counts: Sequence[float], bounds: Sequence[float], share: float) -> Seconds | None:
    """The value below which `share` of all lie, even within a bucket, as Prometheus's histogram_quantile has it.

    Args:
        counts: cumulative, one for each bound.
        bounds: upper bounds, ascending, the last one infinite: what lies there counts as the bound before.
    """
    if not counts or counts[-1] <= 0:
        return None
    rank = share * counts[-1]
    index = next(place for place, count in enumerate(counts) if count >= rank)
    below, lower = (counts[index - 1], bounds[index - 1]) if index else (0.0, 0.0)
    if index == len(bounds) - 1 or counts[index] == below:
        return lower
    return lower + (bounds[index] - lower) * (rank - below) / (counts[index] - below)
