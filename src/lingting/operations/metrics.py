"""Counts and durations for Prometheus: by interface and outcome, never by stream, text or secret."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The metrics of one server.

    Args:
        live_streams: how many streams are live now.

    Attributes:
        registry: what `/metrics` shows; other parts may register their own metrics on it.
    """

    def __init__(self, live_streams: Callable[[], int]) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "lingting_requests", "Requests answered.", ["interface", "outcome"], registry=self.registry
        )
        self._seconds = Histogram(
            "lingting_request_seconds",
            "Seconds from the request's head to the end of its answer.",
            ["interface"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._audio = Counter(
            "lingting_audio_seconds", "Seconds of audio recognised.", ["interface"], registry=self.registry
        )
        Gauge("lingting_live_streams", "Live streams.", registry=self.registry).set_function(live_streams)

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Show a number that is read when it is asked for."""
        Gauge(name, documentation, registry=self.registry).set_function(value)

    def observe(self, interface: str, code: int, seconds: float, audio_seconds: float) -> None:
        """Count one answered request; `code` is the protocol's own, 0 for success."""
        self._requests.labels(interface, "ok" if code == 0 else str(code)).inc()
        self._seconds.labels(interface).observe(seconds)
        if audio_seconds:
            self._audio.labels(interface).inc(audio_seconds)
