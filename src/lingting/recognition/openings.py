"""How many live sessions are open, whose they are, and how many are so new that their cost does not show yet."""

from __future__ import annotations

import math
import time
from collections import Counter

from lingting.domain import Account, Seconds

SHOWS_AFTER: Seconds = 10.0
"""Time constant with which the cost of a session comes to show in what the machine does."""


class Openings:
    """Counts live sessions. Only the event loop touches it."""

    def __init__(self) -> None:
        self.open = 0
        self._tenants: Counter[str] = Counter()
        self._weights: dict[str, float] = {}
        self._usual = 0.0
        self._at = time.monotonic()

    @property
    def new(self) -> float:
        """Sessions that are open above the number of the last seconds; negative where there are less."""
        return self.open - self._settle()

    def within_share(self, account: Account, carried: float) -> bool:
        """Whether the account's tenant, with a session more, has no more than its share: then others are the cause of
        what waits. Alone, a tenant has all of them, and is.

        Args:
            carried: sessions like those that are open which the machine carries; shares are of these, so that many
                tenants with a session each are not all within theirs.
        """
        weights = self._weights | {account.tenant: account.weight}
        share = account.weight / sum(weights.values())
        return self._tenants[account.tenant] + 1 <= min(self.open, carried) * share

    def opened(self, account: Account) -> None:
        """A session of this account began."""
        self._settle()
        self.open += 1
        self._tenants[account.tenant] += 1
        self._weights[account.tenant] = account.weight

    def closed(self, account: Account) -> None:
        """A session of this account ended."""
        self._settle()
        self.open -= 1
        self._tenants[account.tenant] -= 1
        if not self._tenants[account.tenant]:
            del self._tenants[account.tenant], self._weights[account.tenant]

    def _settle(self) -> float:
        """The number of the last seconds, up to now."""
        now = time.monotonic()
        self._usual += (self.open - self._usual) * (1 - math.exp((self._at - now) / SHOWS_AFTER))
        self._at = now
        return self._usual
