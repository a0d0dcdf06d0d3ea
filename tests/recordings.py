"""Recorded speech for the tests, which are skipped where it cannot be had."""

from __future__ import annotations

import pytest

from bench import recordings
from bench.recordings import CACHE, NoRecordings, Recording
from tests.requirements import missing

__all__ = ["CACHE", "Recording", "recording", "speech_dir"]


def recording(name: str) -> Recording:
    """One of asr_example, vad_example, two_cities and beckett."""
    try:
        return recordings.recording(name)
    except NoRecordings as error:
        missing(str(error))


def speech_dir() -> list[Recording]:
    """The recordings of the folder that LINGTING_SPEECH_DIR names; nobody has to have one."""
    try:
        return recordings.speech_dir()
    except NoRecordings as error:
        pytest.skip(str(error))
