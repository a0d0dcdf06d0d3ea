"""`lingting ready`, which is the health check of the container."""

from __future__ import annotations

import re
from pathlib import Path

from tests.api.serving import serving
from tests.api.test_server import Process, make_certificate, processes
from tests.cli.test_command import lingting
from tests.conftest import free_port

__all__ = ["processes"]

ROOT = Path(__file__).resolve().parents[2]


def ready(data_dir: Path, port: int, **settings: str) -> tuple[int, str]:
    """Exit code and words of the command."""
    done = lingting("ready", data_dir=data_dir, LINGTING_PORT=str(port), **settings)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def test_it_says_whether_the_server_takes_requests_on_the_port_of_the_settings(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        port = server.address[1]
        assert ready(tmp_path, port) == (0, "ready")
        assert ready(tmp_path, port, LINGTING_HOST="0.0.0.0") == (0, "ready")
        server.service.ready = False
        assert ready(tmp_path, port) == (1, "loading")
        server.service.ready, server.service.why = True, ["the database does not answer"]
        assert ready(tmp_path, port) == (1, "unready: the database does not answer")
    unused = free_port()
    assert ready(tmp_path, unused) == (1, f"nothing answers on 127.0.0.1:{unused}")


def test_it_speaks_tls_where_the_server_does(tmp_path: Path, processes: list[Process]) -> None:
    certificate, key = make_certificate(tmp_path, "public.example")
    server = Process(tmp_path, tls_certificate=certificate, tls_key=key)
    processes.append(server)
    tls = {"LINGTING_TLS_CERTIFICATE": str(certificate), "LINGTING_TLS_KEY": str(key)}
    assert ready(tmp_path, server.address[1], **tls) == (0, "ready")
    assert ready(tmp_path, server.address[1])[0] == 1


def test_the_container_asks_it() -> None:
    dockerfile = (ROOT / "deploy" / "docker" / "Dockerfile").read_text()
    (check,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", dockerfile, re.MULTILINE)
    assert check == '["lingting", "ready"]'
