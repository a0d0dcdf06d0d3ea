"""The server that these settings start, asked from this machine."""

from __future__ import annotations

import contextlib
import http.client
import ssl

from lingting.settings import Settings

SECONDS = 3.0


def ask(settings: Settings, path: str) -> tuple[int, bytes] | None:
    """Status and the beginning of the answer to a GET; None when no Lingting server answers.

    Its certificate is not checked: it is made for the name that others use.
    """
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    connection: http.client.HTTPConnection
    if settings.tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, settings.port, timeout=SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection(host, settings.port, timeout=SECONDS)
    with contextlib.closing(connection):
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            content = response.read(4096)
        except (OSError, http.client.HTTPException):
            return None
    return (response.status, content) if response.getheader("X-Tt-Logid") else None
