"""What is compared: this library and faster-whisper, each in a process of its own that does one thing at a time."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Literal, TypeAlias

import numpy as np

from bench.place import Place
from bench.stats import erased
from lingting.audio.onnx import runtime
from lingting.domain import SAMPLE_RATE, RecognitionOptions, Samples, Transcript

Peer: TypeAlias = Literal["default", "default_vad", "greedy"]
_PEER_OPTIONS: dict[Peer, dict[str, Any]] = {
    "default": {},
    "default_vad": {"vad_filter": True},
    "greedy": {"beam_size": 1},
}
_LIVE_PACKET = SAMPLE_RATE // 5


@dataclass(frozen=True, slots=True)
class Timed:
    """What a call gave and cost: seconds of waiting, and CPU seconds of all threads of its process."""

    result: Any
    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class LiveWatch:
    """What a session in this process did while audio came.

    Attributes:
        changed: confirmed characters that changed later; the final text counts too.
        confirmed: characters that were confirmed.
        text: the final text.
    """

    changed: int
    confirmed: int
    text: str


class Ours:
    """This library, with the settings that are in force."""

    def __init__(self, place: Place) -> None:
        from lingting.service import Recognition

        self._runner = asyncio.Runner()
        self._recognition = Recognition(place.settings())
        self._runner.run(self._recognition.recognizer.warm_up())

    def transcribe(self, samples: Samples) -> Transcript:
        """The transcript with the times of its words."""
        return self._runner.run(self._recognition.recognizer.recognize(samples, RecognitionOptions()))

    def recognise(self, samples: Samples) -> str:
        return self.transcribe(samples).text

    def together(self, clips: Sequence[Samples], callers: int) -> list[str]:
        return self._runner.run(self._together(clips, callers))

    def watch(self, clips: Sequence[Samples], sessions: int, pace: float) -> list[LiveWatch]:
        """Play clips to live sessions, `sessions` at once, packets of 200 ms every `pace` seconds."""
        return self._runner.run(self._watch(clips, sessions, pace))

    async def _together(self, clips: Sequence[Samples], callers: int) -> list[str]:
        free = asyncio.Semaphore(callers)

        async def call(samples: Samples) -> str:
            async with free:
                return (await self._recognition.recognizer.recognize(samples)).text

        return await asyncio.gather(*(call(samples) for samples in clips))

    async def _watch(self, clips: Sequence[Samples], sessions: int, pace: float) -> list[LiveWatch]:
        free = asyncio.Semaphore(sessions)

        async def play(samples: Samples) -> LiveWatch:
            async with free:
                return await self._watch_one(samples, pace)

        return await asyncio.gather(*(play(samples) for samples in clips))

    async def _watch_one(self, samples: Samples, pace: float) -> LiveWatch:
        session = self._recognition.recognizer.open_live()
        seen, changed = "", 0

        def look(confirmed: str) -> None:
            nonlocal seen, changed
            changed += erased(seen, confirmed)
            seen = confirmed

        session.on_event = lambda _: look(session.confirmed)
        for start in range(0, len(samples), _LIVE_PACKET):
            session.accept(samples[start : start + _LIVE_PACKET])
            await asyncio.sleep(pace)
            look(session.confirmed)
        text = (await session.finish()).text
        look(text)
        return LiveWatch(changed, len(text), text)


class FasterWhisper:
    """faster-whisper the usual way: one int8 model on all cores that all callers share, language found by itself."""

    def __init__(self, place: Place, options: dict[str, Any] | None = None) -> None:
        runtime()  # its voice activity imports the module too
        from faster_whisper import WhisperModel

        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._model = WhisperModel(str(place.model_dir), device="cpu", compute_type="int8", cpu_threads=cores)
        self._options = options or {}
        self.recognise(np.zeros(SAMPLE_RATE, np.float32))

    def use(self, peer: Peer) -> None:
        """Take the options of one of the peers from now on."""
        self._options = _PEER_OPTIONS[peer]

    def recognise(self, samples: Samples) -> str:
        segments, _ = self._model.transcribe(samples, **self._options)
        return " ".join(segment.text.strip() for segment in segments)

    def together(self, clips: Sequence[Samples], callers: int) -> list[str]:
        with ThreadPoolExecutor(callers) as pool:
            return list(pool.map(self.recognise, clips))


class Worker:
    """A system in a process of its own, so that the CPU seconds of each are its own; a context manager.

    Args:
        system: the class, built in the process with `place`.
    """

    def __init__(self, system: type[Ours] | type[FasterWhisper], place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, system, place), daemon=True)
        self._process.start()
        theirs.close()
        self._receive()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()

    def call(self, method: str, *arguments: Any) -> Timed:
        """Call a method in the process.

        Raises:
            RuntimeError: the method raised; the message is its error.
        """
        self._pipe.send((method, arguments))
        return self._receive()

    def _receive(self) -> Timed:
        try:
            answer = self._pipe.recv()
        except EOFError:
            raise RuntimeError("a process of the benchmark ended by itself; its error stands above") from None
        if isinstance(answer, Timed):
            return answer
        raise RuntimeError(str(answer))


def _serve(pipe: Connection, system: type[Ours] | type[FasterWhisper], place: Place) -> None:
    built = system(place)
    pipe.send(Timed(None, 0.0, 0.0))
    while True:
        try:
            method, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        try:
            result = getattr(built, method)(*arguments)
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {error}")
            continue
        pipe.send(Timed(result, time.perf_counter() - wall, time.process_time() - cpu))
