"""Tenant access tokens: `t-` and 44 characters that say who, which secret and when, and prove it.

The 33 bytes inside are a format number (1), the app_id (8), the version of the app's secret (4), the time of issue in
Unix seconds (4) and the first 16 bytes of HMAC-SHA256 over what precedes them. No token is stored: a node that knows
the signing key, which lies in the shared database, can check any token, also after a restart. Revocation works
through the app: a token counts only while its app is enabled and its secret version in force.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass

TOKEN_PREFIX = "t-"  # noqa: S105
LIFETIME = 7200
RENEW_BELOW = 1800
CLOCK_SKEW = 60

_FIELDS = struct.Struct(">B8sII")
_FORMAT = 1
_SIGNATURE_BYTES = 16
_ENCODED_LENGTH = (_FIELDS.size + _SIGNATURE_BYTES) // 3 * 4


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token says; `issued_at` is in whole Unix seconds."""

    app_id: str
    secret_version: int
    issued_at: int


def encode(claims: TokenClaims, key: bytes) -> str:
    """The token of `claims`: always the same for the same claims and key."""
    body = _FIELDS.pack(
        _FORMAT, bytes.fromhex(claims.app_id.removeprefix("cli_")), claims.secret_version, claims.issued_at
    )
    return TOKEN_PREFIX + base64.urlsafe_b64encode(body + _signature(body, key)).decode("ascii")


def has_form(token: str) -> bool:
    """Whether a text has the prefix and the length of a token."""
    return token.startswith(TOKEN_PREFIX) and len(token) == len(TOKEN_PREFIX) + _ENCODED_LENGTH and token.isascii()


def decode(token: str, key: bytes) -> TokenClaims | None:
    """The claims of a token that was signed with `key`; None for anything else."""
    if not has_form(token):
        return None
    try:
        raw = base64.b64decode(token.removeprefix(TOKEN_PREFIX), altchars=b"-_", validate=True)
    except binascii.Error:
        return None
    if len(raw) != _FIELDS.size + _SIGNATURE_BYTES:
        return None
    body, signature = raw[: _FIELDS.size], raw[_FIELDS.size :]
    if not hmac.compare_digest(signature, _signature(body, key)):
        return None
    form, app, version, issued_at = _FIELDS.unpack(body)
    return TokenClaims("cli_" + app.hex(), version, issued_at) if form == _FORMAT else None


def _signature(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, body, hashlib.sha256)[:_SIGNATURE_BYTES]
