"""One server for the tests of the interfaces."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.serving import Running, serving


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A running server with fakes for the model; every test uses stream ids and keys of its own where it matters."""
    with serving(
        tmp_path_factory.mktemp("api"),
        file_max_seconds=2.0,
        flash_max_bytes=200_000,
        flash_max_seconds=3.0,
        stream_packet_max_bytes=100_000,
        stream_max_seconds=5.0,
        requests_per_tenant=1000,
        file_requests_per_second=100_000,
        flash_requests_per_second=100_000,
        transcription_requests_per_second=100_000,
        request_timeout_seconds=2.0,
        drain_seconds=1.0,
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def well(request: pytest.FixtureRequest) -> Iterator[None]:
    """Puts the fakes back after a test that broke them, and sees that it ended its streams."""
    yield
    if "server" in request.fixturenames:
        service = request.getfixturevalue("server").service
        service.recognizer.error = service.recognizer.broken = service.open_error = None
        service.ready, service.recognizer.predicted_wait = True, 0.0
        service.live_seconds = 1e9
        server = request.getfixturevalue("server")
        server.call(service.finals.set)
        server.call(service.live.clear)
        assert service.streams.live == 0, "the test leaves a stream open on the server that others use too"
