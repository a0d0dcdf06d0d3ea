"""Counts and durations for Prometheus: by interface and outcome, never by stream, text or secret."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextvars import Context

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from lingting.operations.day import Totals
from lingting.operations.traces import Traces

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WORKS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one server; it observes recognition too (`lingting.recognition.observer`).

    Attributes:
        registry: what `/metrics` shows; other parts may register their own metrics on it.
        traces: where the way of each request goes besides; None where it is not traced.
    """

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.traces: Traces | None = None
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
            "lingting_audio_seconds", "Seconds of audio recognised.", ["interface", "model"], registry=self.registry
        )
        self._steps = Histogram(
            "lingting_step_seconds",
            "Seconds of one step of an engine, for all the works in it.",
            ["engine"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._works = Histogram(
            "lingting_step_works", "Works stepped together.", ["engine"], buckets=WORKS, registry=self.registry
        )
        self._failed_steps = Counter(
            "lingting_failed_steps", "Steps of an engine that failed.", ["engine"], registry=self.registry
        )
        self._waits = Histogram(
            "lingting_task_wait_seconds",
            "Seconds from the arrival of a task's oldest sound to its begin, by kind.",
            ["kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._text = Histogram(
            "lingting_live_text_seconds",
            "Seconds from the arrival of the newest sound that live text is about to its being shown.",
            ["what"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._lost = Counter(
            "lingting_failed_utterances", "Live utterances without text: the engine failed.", registry=self.registry
        )

        self._refusals = Counter(
            "lingting_refusals",
            "Requests and connections that were answered with an error, by what was wrong.",
            ["interface", "reason"],
            registry=self.registry,
        )
        self._errors = Counter(
            "lingting_errors",
            "Requests that were answered with an error, by whose it is: the caller's or the server's.",
            ["interface", "whose"],
            registry=self.registry,
        )
        self._lag = Histogram(
            "lingting_event_loop_lag_seconds",
            "How much later than asked the event loop woke up, measured twice a second.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._connections = Counter(
            "lingting_connections_refused",
            "Connections refused, or cut before their first request.",
            ["reason"],
            registry=self.registry,
        )

    def gauge(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Show a number that is read when it is asked for."""
        Gauge(name, documentation, registry=self.registry).set_function(value)

    def total(self, name: str, documentation: str, value: Callable[[], float]) -> None:
        """Show a count that somebody else keeps, read when it is asked for; `name` without `_total`."""
        self.registry.register(_Read(lambda: [CounterMetricFamily(name, documentation, value=value())]))

    def totals(self, name: str, documentation: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """As `total`, with a count for each value of a label."""

        def read() -> list[CounterMetricFamily]:
            family = CounterMetricFamily(name, documentation, labels=[label])
            for each, value in values().items():
                family.add_metric([each], value)
            return [family]

        self.registry.register(_Read(read))

    def gauges(self, name: str, documentation: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """As `gauge`, with a number for each value of a label."""

        def read() -> list[GaugeMetricFamily]:
            family = GaugeMetricFamily(name, documentation, labels=[label])
            for each, value in values().items():
                family.add_metric([each], value)
            return [family]

        self.registry.register(_Read(read))

    def lagged(self, seconds: float) -> None:
        """The event loop woke up so much later than it was asked to."""
        self._lag.observe(seconds)

    def refusal(self, interface: str, reason: str) -> None:
        """Count one request that was answered with an error; `reason` is one of a few words."""
        self._refusals.labels(interface, reason).inc()

    def stepped(self, engine: str, works: int, seconds: float, *, failed: bool) -> None:
        """See `Observer`."""
        self._steps.labels(engine).observe(seconds)
        self._works.labels(engine).observe(works)
        if failed:
            self._failed_steps.labels(engine).inc()

    def waited(self, kind: str, seconds: float) -> None:
        """See `Observer`."""
        self._waits.labels(kind).observe(seconds)

    def passed(
        self, context: Context, stage: str, began: float, ended: float, *, kind: str, engine: str, works: int
    ) -> None:
        """See `Observer`."""
        if self.traces is not None:
            self.traces.passed(context, stage, began, ended, kind=kind, engine=engine, works=works)

    def shown(self, what: str, seconds: float) -> None:
        """See `Observer`."""
        self._text.labels(what).observe(seconds)

    def lost(self) -> None:
        """See `Observer`."""
        self._lost.inc()

    def refused(self, reason: str) -> None:
        """Count one connection that was refused, or cut before its first request."""
        self._connections.labels(reason).inc()

    def totals_without(self, interfaces: Collection[str]) -> Totals:
        """What was counted since the start, but for the requests of some interfaces."""
        late = {
            float(sample.labels["le"]): sample.value
            for family in self._text.collect()
            for sample in family.samples
            if sample.name.endswith("_bucket") and sample.labels["what"] == "final"
        }
        bounds = (*SECONDS, math.inf)

        def count(counter: Counter, **labels: str) -> float:
            return sum(
                sample.value
                for family in counter.collect()
                for sample in family.samples
                if sample.name.endswith("_total")
                and sample.labels["interface"] not in interfaces
                and labels.items() <= sample.labels.items()
            )

        return Totals(
            requests=count(self._requests),
            caller_errors=count(self._errors, whose="caller"),
            server_errors=count(self._errors, whose="server"),
            late=tuple(late.get(bound, 0.0) for bound in bounds),
            bounds=bounds,
        )

    def error(self, interface: str, *, ours: bool) -> None:
        """Count one request that was answered with an error."""
        self._errors.labels(interface, "server" if ours else "caller").inc()

    def observe(self, interface: str, code: int, seconds: float, audio_seconds: float, model: str) -> None:
        """Count one answered request; `code` is the protocol's own, 0 for success, and `model` wrote the text."""
        self._requests.labels(interface, "ok" if code == 0 else str(code)).inc()
        self._seconds.labels(interface).observe(seconds)
        if audio_seconds:
            self._audio.labels(interface, model).inc(audio_seconds)


class _Read(Collector):
    """Reads metrics when they are asked for, never at registration."""

    def __init__(self, read: Callable[[], list[CounterMetricFamily] | list[GaugeMetricFamily]]) -> None:
        self._read = read

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        yield from self._read()

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        return iter(())
