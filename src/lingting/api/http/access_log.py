"""One log line a request. Never a body, a secret, a token or a text."""

from __future__ import annotations

import logging

from starlette.types import Scope

from lingting.api.http.exchange import Exchange
from lingting.operations.logs import FIELDS

log = logging.getLogger("lingting.access_log")


def access_line(scope: Scope, exchange: Exchange, seconds: float) -> None:
    """One line about an answered request; the packets of a stream that went well only show at level debug."""
    routine = exchange.interface == "stream_recognize" and exchange.status == 200 and exchange.code == 0
    level = logging.DEBUG if routine else logging.INFO
    if not log.isEnabledFor(level):
        return
    principal = exchange.principal
    client = scope.get("client")
    fields = {
        "log_id": exchange.log_id,
        "interface": exchange.interface,
        "tenant": principal.tenant_name if principal else "",
        "credential": principal.credential_id if principal else "",
        "status": exchange.status,
        "code": exchange.code,
        "ms": round(seconds * 1000, 1),
        "audio_seconds": round(exchange.audio_seconds, 3),
        "client": client[0] if client else "",
    }
    log.log(level, "request", extra={FIELDS: fields})
