"""Short-lived keys for browsers: whoever has a key gets one, and gives it to a page that must not have the key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lingting.access.errors import InvalidCredential
from lingting.api.realtime.parameters import SessionConfig

PREFIX = "ek_"
SHORTEST_SECONDS, LONGEST_SECONDS, DEFAULT_SECONDS = 10, 7200, 600
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """What a short-lived key stands for.

    Attributes:
        value: the key.
        expires_at: Unix seconds.
        bearer: the credential that made it, which must still be good when it is used.
        config: what a session does before its first update.
    """

    value: str = field(repr=False)
    expires_at: float
    bearer: str = field(repr=False)
    config: SessionConfig


class ClientSecrets:
    """The short-lived keys of this process, at most 10,000; the oldest go first. Event loop only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._made: dict[str, ClientSecret] = {}

    def make(self, bearer: str, config: SessionConfig, seconds: float = DEFAULT_SECONDS) -> ClientSecret:
        """A new key, good for any number of sessions until it expires."""
        now = self._clock()
        for value, made in list(self._made.items()):
            if made.expires_at <= now or len(self._made) >= _MOST:
                del self._made[value]
        secret = ClientSecret(PREFIX + secrets.token_urlsafe(24), now + seconds, bearer, config)
        self._made[secret.value] = secret
        return secret

    def find(self, value: str) -> ClientSecret:
        """What a key stands for.

        Raises:
            InvalidCredential: nothing, or nothing any more.
        """
        secret = self._made.get(value)
        if secret is None or secret.expires_at <= self._clock():
            raise InvalidCredential("this client secret is unknown or has expired", "expired")
        return secret
