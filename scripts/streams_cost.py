"""What live streams cost beside the library's own decoding: `python -m scripts.streams_cost [STREAMS] [SECONDS]`.

Sessions over the small streaming model that the tests build, in real time, in packets of 100 ms, the engine in this
process, so that the processor time of `decode_streams` can be told from all the rest: intake, voice activity,
scheduling, features, reading tokens, text rules. Sound is the shipped recording over and over, so that voice activity
hears speech and pauses. Without HTTP. What text is late the page about architecture says.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lingting import samples
from lingting.audio.pcm import samples_to_pcm16
from lingting.domain import SAMPLE_RATE, Seconds
from lingting.engines.sherpa.streaming import StreamingSherpa
from lingting.recognition.observer import Nobody, Shown
from lingting.recognition.partials import FIRST_WITHIN, LATER_WITHIN
from lingting.service import Recognition
from lingting.settings import Settings
from tests.engines.tiny import models as tiny

PACKET = SAMPLE_RATE // 10
WITHIN: dict[Shown, Seconds] = {"first": FIRST_WITHIN, "partial": LATER_WITHIN, "final": 0.5}


class Watching(Nobody):
    """Keeps how late text was shown."""

    def __init__(self) -> None:
        self.shown_after: dict[Shown, list[Seconds]] = {"first": [], "partial": [], "final": []}

    def shown(self, what: Shown, seconds: Seconds) -> None:
        self.shown_after[what].append(seconds)


class Timed:
    """The library's recogniser, or a voice detector, with the processor time of one of its methods."""

    def __init__(self, inner: Any, method: str) -> None:
        self._inner = inner
        self._method = method
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def timed(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return found(*arguments, **named)
            finally:
                self.seconds += time.thread_time() - began

        return timed


async def speaker(recognition: Recognition, sound: NDArray[np.int16], seconds: Seconds, late: Counter[str]) -> None:
    """One live stream, from a random place of the sound."""
    place = random.randrange(len(sound) // 2)
    session = recognition.recognizer.open_live()
    await asyncio.sleep(random.random() * 0.1)
    began = time.monotonic()
    for number in range(int(seconds * 10)):
        session.accept(sound[place : place + PACKET])
        place = (place + PACKET) % (len(sound) // 2)
        await asyncio.sleep(max(0.0, began + (number + 1) / 10 - time.monotonic()))
    before = time.monotonic()
    await session.finish()
    late["end"] += time.monotonic() - before > WITHIN["final"] + 0.5
    late["failed"] += session.failures


async def measure(recognition: Recognition, streams: int, seconds: Seconds) -> Counter[str]:
    """All of them at once."""
    once = np.concatenate([samples.whole()[0], np.zeros(SAMPLE_RATE, np.float32)])
    sound = samples_to_pcm16(np.concatenate([once, once]))
    late: Counter[str] = Counter()
    await asyncio.gather(*(speaker(recognition, sound, seconds, late) for _ in range(streams)))
    return late


def main() -> None:
    """Measure and print."""
    logging.basicConfig(level=logging.WARNING)
    streams = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    with tempfile.TemporaryDirectory() as folder:
        tiny.build("transducer-streaming", Path(folder) / "models" / "streaming")
        watching = Watching()
        settings = Settings(data_dir=Path(folder), model="streaming", phonetics="off")
        recognition = Recognition(settings, watching)
        try:
            (loaded,) = recognition.engines._loaded.values()
            engine: Any = loaded.engine
            assert isinstance(engine, StreamingSherpa)
            decoding: Any = Timed(engine.recognizer._inner, "decode_streams")
            engine.recognizer._inner = decoding
            recognizer: Any = recognition.recognizer
            voice = recognizer._detector = Timed(recognizer._detector, "probabilities")
            asyncio.run(measure(recognition, 2, 3.0))
            decoding.seconds = voice.seconds = 0.0
            began, wall = time.process_time(), time.monotonic()
            late = asyncio.run(measure(recognition, streams, seconds))
            used, wall = time.process_time() - began, time.monotonic() - wall
        finally:
            recognition.close()
    chunks = streams * seconds * 10
    print(f"{streams} streams of {seconds:g} s, {used / wall:.2f} cores")
    print(f"all of it {used / chunks * 1000:.3f} ms of processor time for 100 ms of a stream")
    parts = {
        "decode_streams": decoding.seconds,
        "voice activity": voice.seconds,
        "the rest": used - decoding.seconds - voice.seconds,
    }
    print(", ".join(f"{name} {part / chunks * 1000:.3f} ms" for name, part in parts.items()))
    for what, after in watching.shown_after.items():
        behind = sum(lag > WITHIN[what] for lag in after)
        if after:
            print(f"{what}: {len(after)}, median {np.median(after):.3f} s, longest {max(after):.3f} s, late {behind}")
    print(f"ends later than a second {late['end']}, utterances without text {late['failed']}")


if __name__ == "__main__":
    main()
