"""A whole server over HTTP with tiny models, and what is said to it."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingting import service
from lingting.domain import Samples
from tests.api import serving as servers
from tests.api.serving import Running, serving
from tests.engines.tiny.tones import say

SAID = ["你", "好", "世", "界"]


class ByEnergy:
    """In place of the voice detector's model, which does not take tones for speech."""

    def run(self, _: None, inputs: dict[str, Any]) -> list[Any]:
        loud = np.sqrt(np.square(inputs["input"]).mean(axis=1)) > 0.01
        return [loud.astype(np.float32), inputs["h"], inputs["c"]]


@contextmanager
def serving_tiny(folder: Path, **settings: Any) -> Iterator[Running]:
    """A server with the models of `folder`/models, and settings as of `serving`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lingting.audio.voice._model", ByEnergy)
        patch.setattr(servers, "Service", service.Service)
        with serving(folder, phonetics="off", compute_threads=2, **settings) as running:
            yield running


def utterance() -> Samples:
    """What is said, with silence around it."""
    return np.concatenate([say(SAID, lead=0.5), np.zeros(16_000, np.float32)])


def pcm(samples: Samples) -> bytes:
    """Samples as 16-bit little-endian bytes."""
    return (samples * 32767).astype("<i2").tobytes()


def wav(sound: bytes | None = None) -> bytes:
    """A WAV file of these bytes, or of an utterance."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(16_000)
        out.writeframes(pcm(utterance()) if sound is None else sound)
    return file.getvalue()


def letters(text: str) -> str:
    """A text without spaces and marks."""
    return "".join(character for character in text if character.isalnum())
