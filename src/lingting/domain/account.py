"""Who a piece of work is for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """The tenant that work is charged to, and the flow within it: one stream or one recording.

    Attributes:
        tenant: the tenant's id.
        flow: what tells the tenant's streams and recordings apart.
        weight: the tenant's share of compute in relation to other tenants'.
    """

    tenant: str = ""
    flow: str = ""
    weight: float = 1.0
