"""How the tests of the clients compare texts."""

from __future__ import annotations

import re
import uuid

from tests.recordings import Recording, recording

PACKET_BYTES = 6400
"""200 ms of 16 kHz 16-bit mono audio."""


def plain(text: str) -> str:
    """Letters, digits and characters only, in lower case."""
    return re.sub(r"[\W_]+", "", text).lower()


def assert_heard(text: str, said: Recording) -> None:
    """The text holds a passage that any fair recognition of this recording contains."""
    assert any(plain(phrase) in plain(text) for phrase in said.phrases), text


def new_id() -> str:
    """16 characters for a file_id or a stream_id."""
    return uuid.uuid4().hex[:16]


def packets(pcm: bytes) -> list[bytes]:
    """Audio in packets of 200 ms, and an empty last one."""
    return [*(pcm[i : i + PACKET_BYTES] for i in range(0, len(pcm), PACKET_BYTES)), b""]


def mandarin() -> Recording:
    """4 s of Mandarin."""
    return recording("asr_example")
