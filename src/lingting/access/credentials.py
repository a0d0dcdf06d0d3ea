"""Making, hashing and comparing the secrets of apps and API keys.

Every secret is random with at least 160 bits, made here and never chosen by a person. A plain SHA-256 of it is enough
to store: salts and slow hashes (bcrypt, argon2) defend guessable passwords, and nobody can go through 2^160 guesses
however fast the hash is. The hash is computed over the whole secret before anything is looked up or compared, so
neither a database index nor `hmac.compare_digest` lets time tell how much of a guess was right.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string

KEY_PREFIX = "lt-"
_SECRET_ALPHABET = string.ascii_letters + string.digits
_APP_ID = re.compile(r"cli_[0-9a-f]{16}", re.ASCII)


def new_app_id() -> str:
    """`cli_` and 16 hexadecimal digits."""
    return "cli_" + secrets.token_hex(8)


def is_app_id(text: str) -> bool:
    """Whether `text` has the form of an app_id of this server."""
    return _APP_ID.fullmatch(text) is not None


def new_app_secret() -> str:
    """32 letters and digits, 190 bits."""
    return "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(32))


def new_key_id() -> str:
    """`key_` and 16 hexadecimal digits."""
    return "key_" + secrets.token_hex(8)


def new_key() -> str:
    """`lt-` and 43 URL-safe characters, 256 bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_tenant_id() -> str:
    """`tenant_` and 16 hexadecimal digits."""
    return "tenant_" + secrets.token_hex(8)


def hashed(secret: str) -> str:
    """SHA-256 of a secret in hexadecimal, as stored; any string is accepted."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def same(one: str, other: str | None) -> bool:
    """Whether two hashes are equal, in constant time; never for a hash that is absent."""
    return other is not None and hmac.compare_digest(one, other)
