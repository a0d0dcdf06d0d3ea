"""OpenTelemetry traces: each request as a span, and in it each time that its work waited for a lane or was computed.

Nothing of OpenTelemetry is imported unless `LINGTING_TRACES` is on. Where spans go, how many and under what name the
`OTEL_…` variables say, as OpenTelemetry's "Environment Variable Specification" has them. No span holds a text.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

from lingting import log_ids
from lingting.domain import Seconds
from lingting.errors import SettingsError
from lingting.extras import install_command

if TYPE_CHECKING:
    from opentelemetry.trace import Span

_here: ContextVar[str] = ContextVar("lingting.traceparent", default="")
_CLOSING: Seconds = 2.0
"""Spans that are not sent yet get so long at a stop."""

Value = str | int | float


def here() -> str:
    """The `traceparent` of the request that the running code works for, for another node; empty where it is not
    traced."""
    return _here.get()


class RequestSpan(Protocol):
    """The span of a request that is being answered."""

    def name(self, name: str) -> None:
        """Call it so."""

    def note(self, **values: Value) -> None:
        """Attributes, which are named `lingting.…`."""


class Traces:
    """Makes spans and sends them from a thread of its own. Thread-safe.

    Raises:
        SettingsError: OpenTelemetry is not installed, or its variables cannot be understood.
    """

    def __init__(self) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import OTELResourceDetector, Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError:
            raise SettingsError(
                f"LINGTING_TRACES needs packages that are not installed: {install_command('otel')}"
            ) from None
        own = Resource({"service.name": "lingting", "service.version": version("lingting")})
        try:
            self._provider = TracerProvider(resource=own.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        except ValueError as error:
            raise SettingsError(f"the OTEL_… variables of LINGTING_TRACES: {error}") from error
        self._tracer = self._provider.get_tracer("lingting", version("lingting"))

    @contextmanager
    def request(self, headers: Mapping[str, str]) -> Iterator[RequestSpan]:
        """The span of a request, in the caller's trace where `traceparent` names one; what is traced inside is its."""
        from opentelemetry.context import attach, detach
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract(headers)
        span = self._tracer.start_span("request", parent, SpanKind.SERVER)
        token, before = attach(set_span_in_context(span)), _here.set(_traceparent(span))
        try:
            yield _Request(span)
        finally:
            _here.reset(before)
            detach(token)
            span.end()

    def hop(self, context: Context, name: str, traceparent: str) -> Callable[[], None]:
        """The span of what another node asks for, in its trace.

        Args:
            context: of nobody else; what runs in it is traced inside the span.
            name: of the span.
            traceparent: what `here` says at the other node.

        Returns:
            Ends the span; may be called again.
        """
        from opentelemetry.context import attach
        from opentelemetry.trace import SpanKind, set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = TraceContextTextMapPropagator().extract({"traceparent": traceparent})
        span = self._tracer.start_span(name, parent, SpanKind.SERVER)
        span.set_attributes(_named({"log_id": log_ids.of(context)}))
        context.run(attach, set_span_in_context(span))
        return lambda: span.end() if span.is_recording() else None

    def passed(self, context: Context, stage: str, began: float, ended: float, **values: Value) -> None:
        """Something that was done for the request of a context, between two times by `time.monotonic`."""
        from opentelemetry.context import get_current
        from opentelemetry.trace import get_current_span

        parent = context.run(get_current)
        if not get_current_span(parent).get_span_context().is_valid:
            return  # of no request: the self-check
        now, clock = time.time_ns(), time.monotonic()
        span = self._tracer.start_span(stage, parent, start_time=now - round((clock - began) * 1e9))
        span.set_attributes(_named({"log_id": log_ids.of(context), **values}))
        span.end(now - round((clock - ended) * 1e9))

    def close(self) -> None:
        """Send what is left, as far as that takes no more than a moment."""
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(_CLOSING)


class _Request:
    def __init__(self, span: Span) -> None:
        self._span = span

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def note(self, **values: Value) -> None:
        self._span.set_attributes(_named(values))


def _traceparent(span: Span) -> str:
    """As W3C's Trace Context writes a span."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _named(values: Mapping[str, Value]) -> dict[str, Value]:
    return {f"lingting.{name}": value for name, value in values.items()}
