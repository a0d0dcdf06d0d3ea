"""Who is at the other end: both prove that they know the secret, and agree on keys for what follows.

The one that connects sends a `Hello`, the other answers with a `Proof`, the first with another. Each proof is an
HMAC-SHA256 with the cluster's secret over who says it and both greetings, whose nonces are fresh, so neither can be
played again or sent back. The keys of the two directions come from an X25519 exchange (RFC 7748) and the secret by
HKDF (RFC 5869): what was recorded stays closed to whoever learns the secret later. Frames are sealed with AES-256-GCM,
numbered by direction, so none can be changed, dropped, repeated or moved.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lingting.errors import LingtingError

VERSION = 2
"""Both ends speak the same; it changes whenever a message does."""

_MAGIC = "lingting"
_LARGEST = 1024
MessageT = TypeVar("MessageT")


class LinkError(LingtingError):
    """There is no connection to the other end, or none any more; the message says why."""


class LinkRefused(LinkError):
    """The other end is no node of this cluster: another secret, another version, or something else altogether."""


class HomeSilent(LinkError):
    """A home says nothing: whoever waits for it waits in vain, for a time."""


class HomeGone(LinkError):
    """Another home answers where one was: its process has ended."""


class Hello(msgspec.Struct, array_like=True):
    """Who I am, and what is fresh of this connection."""

    magic: str
    version: int
    node: str
    nonce: bytes
    public: bytes


class Answer(msgspec.Struct, array_like=True):
    """The greeting of the one that was connected to, with its proof; `refused` says in words why there is none."""

    hello: Hello
    proof: bytes
    refused: str = ""


class Proof(msgspec.Struct, array_like=True):
    """That the one that connected knows the secret too."""

    proof: bytes


@dataclass(slots=True)
class Sealing:
    """Seals one direction and opens the other. Event loop only; the counts are the nonces.

    Args:
        mine: key of what is sent.
        theirs: key of what is received.
    """

    mine: AESGCM
    theirs: AESGCM
    sent: int = 0
    received: int = 0

    def seal(self, content: bytes) -> bytes:
        """The frame that goes out."""
        self.sent += 1
        return self.mine.encrypt(self.sent.to_bytes(12, "big"), content, None)

    def open(self, frame: bytes) -> bytes:
        """What a frame holds.

        Raises:
            LinkRefused: nobody with the keys has sent it, or not as the next one.
        """
        self.received += 1
        try:
            return self.theirs.decrypt(self.received.to_bytes(12, "big"), frame, None)
        except InvalidTag:
            raise LinkRefused("a frame was not sealed with the keys of this connection") from None


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end, which has proved itself: its name, and what seals the connection."""

    node: str
    sealing: Sealing


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes, node: str) -> Peer:
    """Greet the one that was connected to.

    Raises:
        LinkRefused: it is no node of this cluster.
        LinkError: it went away.
    """
    private, mine = _greeting(node)
    first = msgspec.msgpack.encode(mine)
    await _send(writer, first)
    answer = await _receive(reader, Answer)
    _require_version(answer.hello)
    if answer.refused:
        raise LinkRefused(answer.refused)
    transcript = hashlib.sha256(first + msgspec.msgpack.encode(answer.hello)).digest()
    if not hmac.compare_digest(answer.proof, _proof(secret, b"home", transcript)):
        raise LinkRefused(f"{answer.hello.node} does not know the secret of this cluster")
    await _send(writer, msgspec.msgpack.encode(Proof(_proof(secret, b"door", transcript))))
    to_home, to_door = _keys(private, answer.hello.public, secret, transcript)
    return Peer(answer.hello.node, Sealing(to_home, to_door))


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, secret: bytes, node: str) -> Peer:
    """Answer the greeting of the one that has connected; raises as `connect`."""
    theirs = await _receive(reader, Hello)
    private, mine = _greeting(node)
    if theirs.magic != _MAGIC or theirs.version != VERSION:
        refused = f"{node} speaks version {VERSION} of the link and {theirs.node[:100]} version {theirs.version}"
        await _send(writer, msgspec.msgpack.encode(Answer(mine, b"", f"{refused}: run one version of Lingting")))
        raise LinkRefused(refused)
    transcript = hashlib.sha256(msgspec.msgpack.encode(theirs) + msgspec.msgpack.encode(mine)).digest()
    await _send(writer, msgspec.msgpack.encode(Answer(mine, _proof(secret, b"home", transcript))))
    proof = await _receive(reader, Proof)
    if not hmac.compare_digest(proof.proof, _proof(secret, b"door", transcript)):
        raise LinkRefused(f"{theirs.node[:100]} does not know the secret of this cluster")
    to_home, to_door = _keys(private, theirs.public, secret, transcript)
    return Peer(theirs.node, Sealing(to_door, to_home))


def _greeting(node: str) -> tuple[X25519PrivateKey, Hello]:
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return private, Hello(_MAGIC, VERSION, node[:200], os.urandom(32), public)


def _require_version(theirs: Hello) -> None:
    if theirs.magic != _MAGIC or theirs.version != VERSION:
        raise LinkRefused(f"{theirs.node[:100]} speaks version {theirs.version} of the link, not {VERSION}")


def _proof(secret: bytes, role: bytes, transcript: bytes) -> bytes:
    return hmac.digest(secret, role + transcript, "sha256")


def _keys(private: X25519PrivateKey, public: bytes, secret: bytes, transcript: bytes) -> tuple[AESGCM, AESGCM]:
    """Keys to the home and to the door."""
    try:
        shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise LinkRefused("the other end sent no key") from None
    material = HKDF(SHA256(), 64, salt=secret, info=b"lingting link" + transcript).derive(shared)
    return AESGCM(material[:32]), AESGCM(material[32:])


async def _send(writer: asyncio.StreamWriter, content: bytes) -> None:
    writer.write(len(content).to_bytes(4, "big") + content)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader, kind: type[MessageT]) -> MessageT:
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > _LARGEST:
            raise LinkRefused("the other end does not speak the link of this cluster")
        return msgspec.msgpack.decode(await reader.readexactly(size), type=kind)
    except (EOFError, OSError) as error:
        raise LinkError(f"the connection broke while it was opened: {error}") from None
    except msgspec.MsgspecError:
        raise LinkRefused("the other end does not speak the link of this cluster") from None
