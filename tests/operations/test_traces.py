"""Traces of a real server, as a collector on this machine gets them over OTLP."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from lingting import samples
from tests.api.serving import STREAM, packet_body
from tests.conftest import start_server

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes spans as any collector does, on the path of the specification."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.spans: list[Span] = []
        self.services: set[str] = set()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def of(self, **values: str) -> list[Span]:
        """Spans with these attributes of ours."""
        return [span for span in self.spans if values.items() <= about(span).items()]


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        taken = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        for resource in taken.resource_spans:
            self.server.services |= {
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.spans += scope.spans
        self.send_response(200 if self.path == "/v1/traces" else 404)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


def about(span: Span) -> dict[str, Any]:
    """A span's attributes of ours, by the name behind `lingting.`."""
    kinds = {a.key.removeprefix("lingting."): (a.value, a.value.WhichOneof("value")) for a in span.attributes}
    return {name: getattr(value, kind) for name, (value, kind) in kinds.items()}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    yield collector
    collector.shutdown()
    collector.server_close()


@pytest.mark.engine
def test_a_packet_is_a_span_of_its_callers_trace_with_its_way_through_queue_and_engine(
    tmp_path: Path, model_dir: Path, collector: Collector
) -> None:
    server = start_server(tmp_path, model_dir, traces="true", drain_seconds="1")
    try:
        headers = {"Authorization": f"Bearer {server.key}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        pcm = samples.contents()["sample.pcm"]
        half = len(pcm) // 4 * 2
        answers = [
            requests.post(
                server.url + STREAM, json=packet_body("traced0000000000", *packet), headers=headers, timeout=60
            )
            for packet in ((0, 1, pcm[:half]), (1, 2, pcm[half:]))
        ]
        alone = requests.get(server.url + "/v1/models", headers={"Authorization": f"Bearer {server.key}"}, timeout=60)
        requests.get(server.url + "/healthz", timeout=60)
        text = answers[-1].json()["data"]["recognition_text"]
    finally:
        server.stop()
    log_id = answers[-1].headers["X-Tt-Logid"]
    (packet,) = [span for span in collector.of(log_id=log_id) if span.kind == Span.SPAN_KIND_SERVER]
    assert packet.name == "stream_recognize"
    assert (packet.trace_id.hex(), packet.parent_span_id.hex()) == (TRACE, PARENT)
    assert about(packet)["status"] == 200
    stages = [span for span in collector.of(log_id=log_id) if span.parent_span_id == packet.span_id]
    assert {(span.name, about(span)["kind"]) for span in stages} >= {("queue", "final"), ("engine", "final")}
    assert {about(span)["engine"] for span in stages} == {"whisper-base"}
    for span in stages:
        assert packet.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.trace_id == packet.trace_id
    (own,) = collector.of(log_id=alone.headers["X-Tt-Logid"])
    assert own.trace_id.hex() != TRACE and not own.parent_span_id
    assert collector.services == {"lingting"}
    names = {span.name for span in collector.spans}
    assert names == {"stream_recognize", "models", "queue", "engine"}, "nothing of probes and self-checks"
    assert text and not any(text[:4].encode() in span.SerializeToString() for span in collector.spans)


def test_without_it_nothing_of_opentelemetry_is_imported() -> None:
    code = "import sys, lingting.cli, lingting.api.server, lingting.service; print(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "lingting.operations.traces" in done.stdout
    assert "opentelemetry" not in done.stdout
