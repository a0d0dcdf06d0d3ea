"""A web server that sends files as told: whole, in parts, cut short, with wrong words about them, or not at all."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Answer = Callable[["Handler", bytes], None]


@dataclass
class Upstream:
    """A running server.

    Attributes:
        url: its address.
        files: what it has, by path.
        answers: how it answers the requests for a path, one after another; the last goes on being used, and a path that
            is not here is answered well.
        asked: path and headers of the requests so far.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [headers.get("Range") for _, headers in self.asked]


class Handler(BaseHTTPRequestHandler):
    """Answers from the `Upstream` that the server carries."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        upstream: Upstream = self.server.upstream  # type: ignore[attr-defined]
        upstream.asked.append((self.path, dict(self.headers)))
        content = upstream.files.get(self.path)
        answers = upstream.answers.get(self.path, [])
        answer = answers.pop(0) if len(answers) > 1 else answers[0] if answers else well
        if content is None and answer is well:
            self.send_error(404)
            return
        answer(self, content or b"")

    def reply(self, status: int, content: bytes, **headers: str) -> None:
        """Send a reply; a Content-Length that is given is sent as it is."""
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(content)))
        headers.setdefault("Content_Type", "application/octet-stream")
        for name, value in headers.items():
            if value:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


def well(handler: Handler, content: bytes, etag: str = '"one"') -> None:
    """As a good server does: the part that is asked for, if the file is still the one that the asker knows."""
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if asked and handler.headers.get("If-Range", etag) == etag:
        start = int(asked[1])
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.reply(206, content[start:], Content_Range=span, ETag=etag)
    else:
        handler.reply(200, content, ETag=etag)


def cut(after: int) -> Answer:
    """Break off after so many bytes of what was asked for."""

    def answer(handler: Handler, content: bytes) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        handler.send_response(206 if asked else 200)
        if asked:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.send_header("ETag", '"one"')
        handler.end_headers()
        handler.wfile.write(content[start : start + after])
        handler.wfile.flush()
        handler.close_connection = True

    return answer


def whole(handler: Handler, content: bytes) -> None:
    """As a server that knows no ranges."""
    handler.reply(200, content)


def status(code: int) -> Answer:
    """An error."""
    return lambda handler, content: handler.reply(code, b"no")


def redirect(to: str) -> Answer:
    """The file is elsewhere."""
    return lambda handler, content: handler.reply(302, b"", Location=to)


@contextmanager
def serving(certificate: tuple[Path, Path] | None = None) -> Iterator[Upstream]:
    """A server for the block, with TLS where it has a certificate."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        upstream = Upstream(f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}")
        server.upstream = upstream  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield upstream
        finally:
            upstream.released.set()
            server.shutdown()
            thread.join()
