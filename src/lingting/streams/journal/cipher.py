"""Entries encrypted at rest: AES-256-GCM (NIST SP 800-38D), bound to their stream."""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from lingting.streams.journal.storage import Key, Storage

_NONCE = 12


class Encrypted:
    """A storage whose entries only who has the key can read or make.

    Args:
        storage: where they are kept.
        secret: from the settings; any text that is hard to guess.
    """

    def __init__(self, storage: Storage, secret: str) -> None:
        self._storage = storage
        self._cipher = AESGCM(hashlib.sha256(b"lingting journal\0" + secret.encode()).digest())

    async def append(self, key: Key, entry: bytes) -> int:
        return await self._storage.append(key, self._sealed(key, entry))

    async def checkpoint(self, key: Key, entry: bytes, first: int) -> int:
        return await self._storage.checkpoint(key, self._sealed(key, entry), first)

    async def recover(self, key: Key) -> list[tuple[int, bytes]]:
        """What another key has written counts as nothing."""
        entries = await self._storage.recover(key)
        try:
            return [
                (number, self._cipher.decrypt(entry[:_NONCE], entry[_NONCE:], _bound(key))) for number, entry in entries
            ]
        except InvalidTag:
            return []

    async def forget(self, key: Key) -> None:
        await self._storage.forget(key)

    async def sweep(self, seconds: float) -> None:
        await self._storage.sweep(seconds)

    async def close(self) -> None:
        await self._storage.close()

    def _sealed(self, key: Key, entry: bytes) -> bytes:
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, entry, _bound(key))


def _bound(key: Key) -> bytes:
    return "\0".join(key).encode()
