"""Fair shares of compute: who has had more than a share lately waits behind who has not.

A virtual clock for each tenant, and for each flow of a tenant, after L. Zhang, "VirtualClock: A New Traffic Control
Algorithm for Packet Switching Networks" (1990). Compute moves the clocks of whoever used it forward, by its cost
divided by the share of the machine that was theirs; their next work counts as come no earlier than their clock shows. A
flow within its share has a clock that lags behind the real one, and only the age of its own sound counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lingting.domain import Account, Seconds

MOST_AHEAD: Seconds = 20.0
"""A clock runs ahead at most this far: whatever somebody used, after so long it is forgiven."""

ALLOWANCE: Seconds = 0.25
"""A clock may run ahead so far before it counts: one final text is no reason to wait."""


@dataclass(slots=True)
class _Tenant:
    clock: float = 0.0
    weight: float = 1.0
    flows: dict[str, float] = field(default_factory=dict)


class Shares:
    """Virtual clocks of the accounts that have work. Not thread-safe: its owner locks."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._tenants: dict[str, _Tenant] = {}
        self._active: Counter[Account] = Counter()

    def enter(self, account: Account) -> None:
        """A task of this account came."""
        self._active[account] += 1

    def leave(self, account: Account) -> None:
        """A task of this account is done."""
        self._active[account] -= 1
        if not self._active[account]:
            del self._active[account]

    def earliest(self, account: Account) -> float:
        """When work of this account counts as come at the earliest, by `time.monotonic`."""
        tenant = self._tenants.get(account.tenant)
        if tenant is None:
            return 0.0
        return max(tenant.clock, tenant.flows.get(account.flow, 0.0)) - ALLOWANCE

    def leads(self, account: Account, now: float) -> tuple[Seconds, Seconds]:
        """By how much the account's tenant, and the flow within it, have had more than their shares; 0 within them."""
        tenant = self._tenants.get(account.tenant)
        if tenant is None:
            return 0.0, 0.0
        flow = tenant.flows.get(account.flow, 0.0)
        return max(0.0, tenant.clock - ALLOWANCE - now), max(0.0, flow - ALLOWANCE - now)

    def charge(self, account: Account, cost: Seconds, now: float) -> None:
        """Compute of `cost` seconds of one lane was used for this account, which has a task still."""
        tenant = self._tenants.setdefault(account.tenant, _Tenant())
        tenants = {one.tenant: one.weight for one in self._active}
        flows = sum(one.tenant == account.tenant for one in self._active)
        share = account.weight / max(account.weight, sum(tenants.values())) * self._lanes
        tenant.clock = _moved(tenant.clock, cost / share, now)
        flow = tenant.flows.get(account.flow, 0.0)
        tenant.flows[account.flow] = _moved(flow, cost / share * max(1, flows), now)
        if len(tenant.flows) > 2 * flows + 8:
            self._forget(now)

    def _forget(self, now: float) -> None:
        for name, tenant in list(self._tenants.items()):
            tenant.flows = {flow: clock for flow, clock in tenant.flows.items() if clock > now}
            if not tenant.flows and tenant.clock <= now:
                del self._tenants[name]


def _moved(clock: float, seconds: Seconds, now: float) -> float:
    return min(max(clock, now) + seconds, now + MOST_AHEAD)
