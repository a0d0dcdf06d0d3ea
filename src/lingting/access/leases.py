"""What a tenant holds for a while: a place among its requests or streams, and audio that is set aside in its budgets.

A lease that was dropped without `release`, or whose process died, ends by itself a minute later. Event loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from lingting.access.counting import Counter


class Lease:
    """A place among the streams or requests of a tenant, held until `release`; also a context manager."""

    __slots__ = ("__weakref__", "counter", "key", "name")

    def __init__(self, counter: Counter, key: str, name: str) -> None:
        self.counter: Counter | None = counter
        self.key = key
        self.name = name

    @property
    def held(self) -> bool:
        """Whether the place is still taken."""
        return self.counter is not None

    def release(self) -> None:
        """Free the place; may be called any number of times."""
        counter = self.detach()
        if counter is not None:
            counter.release(self.key, self.name)

    def detach(self) -> Counter | None:
        """Let go of a lease that its counter, which is returned, frees in another way."""
        counter, self.counter = self.counter, None
        return counter

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Reservation:
    """Audio of one request, set aside in its tenant's budgets until it is charged or released.

    Also a context manager, which releases.

    Args:
        spend: counts so many seconds for the tenant, in place of what a lease set aside; negative ones take back.
        lease: what was set aside; None where no budget limits the tenant.
    """

    __slots__ = ("_charged", "_lease", "_spend")

    def __init__(self, spend: Callable[[float, Lease | None], None], lease: Lease | None) -> None:
        self._spend = spend
        self._lease = lease
        self._charged = 0.0

    def charge(self, seconds: float) -> None:
        """Count seconds of audio for good; what was set aside beyond them is given back."""
        lease, self._lease = self._lease, None
        self._spend(seconds, lease)
        self._charged += seconds

    def refund(self) -> None:
        """Take back what was charged, because the recognition was refused before it began."""
        charged, self._charged = self._charged, 0.0
        if charged:
            self._spend(-charged, None)

    def release(self) -> None:
        """Give back what was set aside and not charged; may be called any number of times."""
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
