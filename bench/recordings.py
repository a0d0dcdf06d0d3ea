"""Recorded speech for measurements and tests: what two wheels carry, and what `LINGTING_SPEECH_DIR` holds.

The wheels are downloaded once by name and hash, never installed, and the recordings kept in the user's cache folder.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import platformdirs

from lingting.domain import SAMPLE_RATE, Samples

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(platformdirs.user_cache_dir("lingting", appauthor=False)) / "tests"


class NoRecordings(Exception):
    """There is nothing to listen to; the message says why."""


@dataclass(frozen=True)
class Recording:
    """A recording and what is said in it.

    Attributes:
        reference: the words, without punctuation where the source has none; empty where there is no exact transcript.
        phrases: passages that any fair recognition contains.
    """

    name: str
    path: Path
    language: str
    seconds: float
    reference: str = ""
    phrases: tuple[str, ...] = ()

    @property
    def samples(self) -> Samples:
        """The recording as the server hears it: float32 mono at 16 kHz."""
        return _decoded(self.path)

    @property
    def pcm(self) -> bytes:
        """The recording as 16-bit little-endian mono PCM at 16 kHz."""
        return (np.clip(self.samples, -1, 1) * 32767).round().astype("<i2").tobytes()


TWO_CITIES = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of "
    "foolishness, it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was "
    "the season of Darkness, it was the spring of hope, it was the winter of despair, we had everything before "
    "us, we had nothing before us, we were all going direct to Heaven, we were all going direct the other way. In "
    "short, the period was so far like the present period, that some of its noisiest authorities insisted on its "
    "being received, for good or for evil, in the superlative degree of comparison only."
)
BECKETT = "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better."

# name: (path in its wheel, SHA-256, language, seconds, reference, phrases)
_IN_WHEELS = {
    "asr_example": (
        "fasr/asset/example/asr_example.wav",
        "46dbc998c9d1d48111267c40741dd3200f2e5bcf4075f8c4c97f4451160dce50",
        "zh",
        4.204,
        "甚至出现交易几乎停滞的情况",
        ("甚至出现交易几乎",),
    ),
    "vad_example": (
        "fasr/asset/example/vad_example.wav",
        "a7431f0169ef76ef630c945a1d2c3675d8c8c2df2ae4a6b16f8a88ba1bccfbbb",
        "zh",
        70.471,
        "",
        ("换位思考", "五个点", "非常感谢"),
    ),
    "two_cities": (
        "moonshine_voice/assets/two_cities.wav",
        "f3348494d77cb74a02862f5e685ed09faf3e75832c5cc5c80703282c2cd8b52e",
        "en",
        44.374,
        TWO_CITIES,
        ("best of times", "superlative degree of comparison"),
    ),
    "beckett": (
        "moonshine_voice/assets/beckett.wav",
        "e5a26b3d29e5b0bc8dbd72c11d16a3808a4ec0ac45b21f12a27d2a2fe5c5ae61",
        "en",
        9.963,
        BECKETT,
        ("ever failed", "fail better"),
    ),
}


def recording(name: str) -> Recording:
    """One of asr_example, vad_example, two_cities and beckett.

    Raises:
        NoRecordings: it cannot be downloaded.
    """
    _, _, language, seconds, reference, phrases = _IN_WHEELS[name]
    return Recording(name, _folder() / f"{name}.wav", language, seconds, reference, phrases)


def speech_dir() -> list[Recording]:
    """The recordings of the folder that LINGTING_SPEECH_DIR names.

    Raises:
        NoRecordings: it is unset.
    """
    folder = os.environ.get("LINGTING_SPEECH_DIR")
    if not folder:
        raise NoRecordings("LINGTING_SPEECH_DIR is not set")
    with (Path(folder) / "manifest.tsv").open(encoding="utf-8") as manifest:
        rows = csv.DictReader(manifest, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Recording(row["path"], Path(folder) / row["path"], row["language"], float(row["seconds"]), row["reference"])
            for row in rows
        ]


@cache
def _folder() -> Path:
    folder = CACHE / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if any(_digest(folder / f"{name}.wav") != row[1] for name, row in _IN_WHEELS.items()):
            _download(folder)
    return folder


def _download(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        # the platform is named so that the wheel comes to any machine: nothing of it is run
        wanted = ["--only-binary", ":all:", "--platform", "manylinux_2_34_x86_64", "--python-version", "3.11"]
        lock = ["--no-deps", "--require-hashes", "-r", str(ROOT / "requirements" / "recordings.txt")]
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "download"]
        done = subprocess.run([*pip, *wanted, *lock, "-d", wheels], capture_output=True, text=True, check=False)
        if done.returncode:
            raise NoRecordings(f"the recordings cannot be downloaded: {done.stderr.strip().splitlines()[-1:]}")
        for wheel in Path(wheels).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name, row in _IN_WHEELS.items():
                    if row[0] in archive.namelist():
                        temporary = folder / f".{name}"
                        temporary.write_bytes(archive.read(row[0]))
                        temporary.replace(folder / f"{name}.wav")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@cache
def _decoded(path: Path) -> Samples:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        frames = [*container.decode(audio=0), None]
        blocks = [block.to_ndarray() for frame in frames for block in resampler.resample(frame)]
    return np.ascontiguousarray(np.concatenate(blocks, axis=1)[0], dtype=np.float32)
