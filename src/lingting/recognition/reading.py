"""A recording on its way to the engine: voice activity piece by piece, and its segments as they settle, a few ahead."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import suppress
from typing import TypeVar

import numpy as np

from lingting.audio.gate import GateConfig, audible
from lingting.audio.recording import Recording
from lingting.audio.segments import Segment, Segmenter
from lingting.audio.voice import FRAME, VoiceDetector, VoiceState
from lingting.domain import Samples

T = TypeVar("T")

_PIECE = 512 * FRAME
"""Samples that are judged at a time: 16 s, a millisecond of compute for each."""
_NICENESS = 10


def segments(recording: Recording, detector: VoiceDetector, gate: GateConfig) -> Iterator[list[Segment]]:
    """The segments of a recording: for each piece of 16 s that is judged, those that are settled by it, in order.

    Raises:
        LingtingError: the recording was closed meanwhile.
        ModelError: the voice activity model is missing or damaged.
    """
    segmenter = Segmenter(recording.window, recording.size, gate)
    state = VoiceState()
    for start in range(0, recording.size, _PIECE):
        samples = recording.window(start, start + _PIECE)
        probabilities, state = detector.probabilities(samples, state)
        if state.remainder.size:  # the last frame of the recording is filled with silence
            rest, state = detector.probabilities(np.zeros(FRAME - state.remainder.size, np.float32), state)
            probabilities = np.concatenate((probabilities, rest))
        yield segmenter.feed(probabilities, audible(samples, probabilities, gate))
    yield segmenter.finish()


async def in_order(
    recording: Recording,
    settling: Iterator[list[Segment]],
    submit: Callable[[Samples], asyncio.Future[T]],
    *,
    ahead: int,
    readers: Executor,
) -> AsyncGenerator[tuple[Segment, T], None]:
    """Have segments recognised while the rest of the recording is still listened to; give them in order.

    Args:
        settling: as `segments` gives it; it runs in `readers`, a piece at a time, so that recordings take turns.
        submit: hands the samples of a segment to the engine.
        ahead: how many segments may be under way.
    """
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(ahead)
    submitted: asyncio.Queue[tuple[Segment, asyncio.Future[T]] | None] = asyncio.Queue()

    async def read() -> None:
        try:
            while (settled := await loop.run_in_executor(readers, next, settling, None)) is not None:
                for segment in settled:
                    await free.acquire()
                    samples = await loop.run_in_executor(readers, recording.window, segment.start, segment.end)
                    submitted.put_nowait((segment, submit(samples)))
        finally:
            submitted.put_nowait(None)

    reading = loop.create_task(read())
    try:
        while (item := await submitted.get()) is not None:
            segment, future = item
            try:
                outcome = await future
            except asyncio.CancelledError:
                future.cancel()
                raise
            free.release()
            yield segment, outcome
        await reading
    finally:
        reading.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await reading
        while not submitted.empty():
            if (item := submitted.get_nowait()) is not None:
                item[1].cancel()


def step_back() -> None:
    """Let the calling thread run after everything that is live, where the system can order threads: for the threads
    that listen to recordings."""
    if hasattr(os, "setpriority"):
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS))
