"""Tenants, apps, API keys, tokens, scopes, limits, usage."""

from lingting.access.access import Access, IssuedToken
from lingting.access.errors import (
    AccessError,
    AccessUnavailable,
    DatabaseError,
    InvalidCredential,
    LimitExceeded,
    ManagementError,
    MissingScope,
    ModelForbidden,
    TooManyFailures,
    UnknownApp,
    UserToken,
    WrongSecret,
)
from lingting.access.leases import Lease, Reservation
from lingting.access.limits import Interface, Limits
from lingting.access.principal import FLASH, OPERATOR, SPEECH, TRANSCRIPTIONS, Principal, TenantLimits
from lingting.access.usage import Usage

__all__ = [
    "FLASH",
    "OPERATOR",
    "SPEECH",
    "TRANSCRIPTIONS",
    "Access",
    "AccessError",
    "AccessUnavailable",
    "DatabaseError",
    "Interface",
    "InvalidCredential",
    "IssuedToken",
    "Lease",
    "LimitExceeded",
    "Limits",
    "ManagementError",
    "MissingScope",
    "ModelForbidden",
    "Principal",
    "Reservation",
    "TenantLimits",
    "TooManyFailures",
    "UnknownApp",
    "Usage",
    "UserToken",
    "WrongSecret",
]
