"""What is known about one request while it is answered: for its log line, the metrics and the usage."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from starlette.types import Scope

from lingting import log_ids
from lingting.access.principal import Principal

CLIENT_LEFT = 499
"""Status and code of a request whose client left before its answer."""

_STATE = "lingting.exchange"
_OURS = ("busy", "database", "failed", "journal")
_OUR_CLOSES = (1011, 1012, 1013)
"""Close codes of WebSockets: something failed here, the server restarts, or it is busy."""


def new_log_id() -> str:
    """14 digits of local time, then 20 random hex digits."""
    return time.strftime("%Y%m%d%H%M%S") + secrets.token_hex(10)


@dataclass(slots=True)
class Exchange:
    """One request and its answer.

    Attributes:
        log_id: the id that every answer carries.
        interface: "file_recognize", "stream_recognize", "flash", "realtime" and so on, or "other".
        principal: who asked, once that is known.
        model: name of the model that answered.
        audio_seconds: audio that was recognised, for the log line and the metrics.
        status: HTTP status of the answer; 499 when the client left before it, 101 for a WebSocket that was accepted.
        code: the protocol's own code of the answer.
        refusal: why it was answered with an error, in a word for the metrics; empty where it was not.
        body_read: whether nothing of the request's body is left to be read.
        opened_after: seconds until a WebSocket was accepted; None for anything else.
    """

    log_id: str
    interface: str = "other"
    principal: Principal | None = None
    model: str = ""
    audio_seconds: float = 0.0
    status: int = 0
    code: int = 0
    refusal: str = ""
    body_read: bool = False
    opened_after: float | None = None

    @property
    def ours(self) -> bool | None:
        """Whether the answer is an error of the server's own, as it was busy or failed; None where it is no error."""
        if self.code == 0 and self.status < 400:
            return None
        return self.refusal in _OURS or self.status >= 500 or (self.status < 400 and self.code in _OUR_CLOSES)


def begin(scope: Scope) -> Exchange:
    """Attach a fresh exchange to a request, for which the running task works from here on."""
    exchange = Exchange(new_log_id())
    log_ids.begin(exchange.log_id)
    scope.setdefault("state", {})[_STATE] = exchange
    return exchange


def of(scope: Scope) -> Exchange:
    """The exchange of a request."""
    exchange: Exchange = scope["state"][_STATE]
    return exchange
