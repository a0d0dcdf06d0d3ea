"""Traces across the hop from a door to a home, as a collector on this machine gets them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import pytest
import requests
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from websockets.sync.client import connect

from tests.api.serving import FILE
from tests.cluster.conftest import new_key
from tests.cluster.nodes import STREAM, Cluster, new_id, noise, wait_until
from tests.operations.test_traces import PARENT, TRACE, Collector, about


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    yield server
    server.shutdown()
    server.server_close()


def test_what_a_home_does_for_a_request_stands_in_the_trace_of_its_caller(
    tmp_path_factory: pytest.TempPathFactory, redis_url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    cluster = Cluster(tmp_path_factory.mktemp("traced"), redis_url, settings={"traces": "true"})
    cluster.key = new_key(cluster)
    headers = {"Authorization": f"Bearer {cluster.key}", "traceparent": f"00-{TRACE}-{PARENT}-01"}
    pcm = noise(0.4)
    sound = {"speech": {"speech": base64.b64encode(pcm).decode()}}
    config = {"format": "pcm", "engine_type": "16k_auto"}
    try:
        for role in ("home", "door"):
            cluster.start(role, f"{role}-t")
        cluster.wait()
        url = cluster.nodes[1].url
        stream = {**config, "stream_id": new_id(), "sequence_id": 0, "action": 1}
        packet = requests.post(url + STREAM, json={**sound, "config": stream}, headers=headers, timeout=60)
        file = requests.post(
            url + FILE, json={**sound, "config": {**config, "file_id": "f" * 16}}, headers=headers, timeout=60
        )
        live = url.replace("http", "ws") + "/v1/listen?encoding=linear16&sample_rate=16000"
        with connect(live, additional_headers=headers) as socket:
            socket.send(pcm)
            socket.send(json.dumps({"type": "CloseStream"}))
            assert list(socket)
        names = {"packet", "recording", "live session"}
        wait_until(lambda: names <= {span.name for span in collector.spans}, "a home tells of no span", 30)
        wait_until(lambda: len([s for s in collector.spans if s.trace_id.hex() == TRACE]) >= 6, "doors tell none", 30)
    finally:
        cluster.stop()
    spans = {span.name: span for span in collector.spans}
    for name, answer in (("packet", packet), ("recording", file)):
        (its,) = [
            span
            for span in collector.of(log_id=answer.headers["X-Tt-Logid"])
            if span.name not in names and span.kind == Span.SPAN_KIND_SERVER
        ]
        assert (spans[name].trace_id.hex(), spans[name].parent_span_id) == (TRACE, its.span_id)
        assert about(spans[name])["log_id"] == answer.headers["X-Tt-Logid"]
    assert spans["live session"].trace_id.hex() == TRACE
