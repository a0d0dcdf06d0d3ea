"""Who speaks when in a recording: sherpa-onnx's diarisation, in a process of its own for each recording.

A segmentation model (pyannote) says which of the speakers near a moment speaks, an embedding model whose voice that is,
and clustering joins the voices over the whole recording. That is one call of the library, which takes a tenth of the
recording's length on one thread. So the lane only looks at the process now and then, and is free for others in between;
a mistake that ends the process concerns one recording.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from lingting.audio.pcm import pcm16_to_samples, samples_to_pcm16
from lingting.audio.recording import Recording
from lingting.child_processes import bare_environment
from lingting.domain import SAMPLE_RATE, Seconds, Turn
from lingting.errors import ModelError
from lingting.recognition.engine import Heard, Outcome, Work
from lingting.sandbox import confine

THRESHOLD = 0.5
"""Voices that differ by less, in cosine distance, are one; the option `threshold` of the embedding model says so."""

_PIECE = 60 * SAMPLE_RATE
_STARTS_WITHIN: Seconds = 60.0
_LOOK: Seconds = 0.2
_NICENESS = 10


class _Hearing:
    """A recording that is heard in a process of its own, which ends with this object. One lane at a time has it.

    Attributes:
        recording: what is heard; it is read when the process starts.
        asked: what the process is told.
    """

    group: Hashable = "speakers"
    most = 1

    def __init__(self, recording: Recording, asked: dict[str, Any]) -> None:
        self.recording = recording
        self.asked = asked
        self._child: subprocess.Popen[bytes] | None = None
        self._until = 0.0
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115

    def look(self) -> tuple[Turn, ...] | None:
        """The turns, or None while the process is not done after another moment."""
        if self._child is None:
            self._child = self._start()
            self._until = time.monotonic() + _STARTS_WITHIN + 2 * self.recording.duration
        try:
            code = self._child.wait(_LOOK)
        except subprocess.TimeoutExpired:
            if time.monotonic() < self._until:
                return None
            raise ModelError(f"the speakers of {self.recording.duration:.0f} s were not found in time") from None
        if code != 0:
            self._err.seek(0)
            words = self._err.read().decode("utf-8", "replace").strip().splitlines()
            raise ModelError(
                f"telling speakers apart with {self.asked['segmentation']} and {self.asked['embedding']} failed: "
                f"{words[-1] if words else f'exit code {code}'}"
            )
        self._out.seek(0)
        return tuple(Turn(start, end, label(number)) for start, end, number in json.load(self._out))

    def _start(self) -> subprocess.Popen[bytes]:
        with tempfile.TemporaryFile() as sound:
            for start in range(0, self.recording.size, _PIECE):
                window = self.recording.window(start, start + _PIECE)
                sound.write(samples_to_pcm16(window).astype("<i2").tobytes())
            sound.seek(0)
            command = [sys.executable, "-P", "-m", __name__, json.dumps(self.asked)]
            child = subprocess.Popen(  # noqa: S603
                command, stdin=sound, stdout=self._out, stderr=self._err, env=bare_environment()
            )
        weakref.finalize(self, _end, child)
        return child


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()


@dataclass(frozen=True, slots=True)
class Diariser:
    """An engine that says who speaks when.

    Attributes:
        name: of the embedding model.
        segmentation: the .onnx file of the segmentation model.
        embedding: that of the embedding model.
        threshold: see `THRESHOLD`.
    """

    name: str
    segmentation: Path
    embedding: Path
    threshold: float = THRESHOLD

    def begin(self, recording: Recording, speakers: int) -> Work:
        """The work of a recording; `speakers` 0 lets the library find how many there are."""
        models = {"segmentation": str(self.segmentation), "embedding": str(self.embedding)}
        return _Hearing(recording, {**models, "threshold": self.threshold, "speakers": speakers})

    def step(self, works: Sequence[Work]) -> Sequence[Outcome]:
        """Look after recordings that are heard.

        Raises:
            ModelError: the library refuses the models, ended its process, or takes longer than twice the recording.
        """
        outcomes = []
        for work in works:
            turns = cast(_Hearing, work).look()
            outcomes.append(Outcome(more=work) if turns is None else Outcome(heard=Heard("", "zh", turns=turns)))
        return outcomes


def label(number: int) -> str:
    """A speaker's label: A to Z, then AA, AB and so on."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def main() -> None:
    """In the child: what is asked is the argument, standard input is 16-bit samples; writes [[start, end, speaker]]."""
    import sherpa_onnx

    os.nice(_NICENESS)
    confine(files=True)
    asked: dict[str, Any] = json.loads(sys.argv[1])
    samples = pcm16_to_samples(sys.stdin.buffer.read())
    config = sherpa_onnx.OfflineSpeakerDiarizationConfig(
        segmentation=sherpa_onnx.OfflineSpeakerSegmentationModelConfig(
            pyannote=sherpa_onnx.OfflineSpeakerSegmentationPyannoteModelConfig(model=asked["segmentation"])
        ),
        embedding=sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=asked["embedding"]),
        clustering=sherpa_onnx.FastClusteringConfig(num_clusters=asked["speakers"] or -1, threshold=asked["threshold"]),
    )
    if not config.validate():
        sys.exit("the library does not take these models")
    turns = sherpa_onnx.OfflineSpeakerDiarization(config).process(np.ascontiguousarray(samples)).sort_by_start_time()
    order: dict[int, int] = {}
    for turn in turns:
        order.setdefault(turn.speaker, 0 if asked["speakers"] == 1 else len(order))
    sys.stdout.write(json.dumps([[turn.start, turn.end, order[turn.speaker]] for turn in turns]))


if __name__ == "__main__":
    main()
