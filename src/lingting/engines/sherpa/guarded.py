"""sherpa-onnx behind a wall: nothing that a caller does here can break the rules that the library does not check.

The library ends the process (`_Exit(255)` or a segmentation fault) instead of raising when a stream is decoded that is
not ready, twice in one call, by two threads, or after it failed; when a list of streams is empty; when a waveform
comes at another rate; when hot words go to a model that was not built for them. All of that is ruled out in these two
classes, the only ones that touch it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lingting.domain import SAMPLE_RATE, Samples
from lingting.engines.threads import yield_to_callers

SHORTEST = SAMPLE_RATE // 10
"""Samples below which a model may have too few frames, which some graphs answer with an error."""


class OfflineRecognizer:
    """An offline recogniser; thread-safe.

    Args:
        inner: the library's.
        beam: whether it was built for beam search, so that streams may have hot words.
    """

    def __init__(self, inner: Any, *, beam: bool) -> None:
        self._inner = inner
        self._beam = beam

    def recognize(self, utterances: Sequence[tuple[Samples, str, Mapping[str, str]]]) -> list[Any]:
        """The library's results of utterances that are decoded together.

        Args:
            utterances: of each the samples, at least `SHORTEST`; hot words as `hot_words.for_beam` writes them or "";
                and options of its stream.

        Raises:
            ValueError: there is none, or one is too short.
            RuntimeError: the model failed.
        """
        if not utterances or any(len(samples) < SHORTEST for samples, _, _ in utterances):
            raise ValueError(f"give at least one utterance, and none shorter than {SHORTEST} samples")
        yield_to_callers()
        streams = []
        for samples, hot_words, options in utterances:
            stream = self._inner.create_stream(hot_words) if hot_words and self._beam else self._inner.create_stream()
            for name, value in options.items():
                stream.set_option(name, value)
            stream.accept_waveform(SAMPLE_RATE, samples.tolist())
            streams.append(stream)
        self._inner.decode_streams(streams)
        return [stream.result for stream in streams]


class Stream:
    """One utterance of a streaming recogniser: in one call at a time, and in none after a call with it failed."""

    __slots__ = ("busy", "dead", "inner")

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.busy = False
        self.dead = False


class StreamingRecognizer:
    """A streaming recogniser; thread-safe, and so that no stream is in two calls at once.

    Args:
        inner: the library's.
        beam: whether it was built for beam search, so that streams may have hot words.
    """

    def __init__(self, inner: Any, *, beam: bool) -> None:
        self._inner = inner
        self._beam = beam
        self._lock = threading.Lock()

    def open(self, hot_words: str = "") -> Stream:
        """A new utterance; `hot_words` as `hot_words.for_beam` writes them."""
        return Stream(self._inner.create_stream(hot_words) if hot_words and self._beam else self._inner.create_stream())

    def step(self, fed: Sequence[tuple[Stream, Samples]]) -> list[bool]:
        """Give each stream the samples that come next, and decode one chunk of those that have enough for one.

        Returns:
            Of each stream whether a chunk was decoded.

        Raises:
            ValueError: a stream is there twice, is in another call, or failed before; nothing was done.
            RuntimeError: the model failed; none of these streams can be used any more.
        """
        yield_to_callers()
        streams = [stream for stream, _ in fed]
        with self._claimed(streams):
            for stream, samples in fed:
                if len(samples):
                    stream.inner.accept_waveform(SAMPLE_RATE, samples.tolist())
            ready = [self._inner.is_ready(stream.inner) for stream in streams]
            chunks = [stream.inner for stream, is_ready in zip(streams, ready, strict=True) if is_ready]
            if chunks:
                self._inner.decode_streams(chunks)
            return ready

    def result(self, stream: Stream) -> Any:
        """The library's result so far.

        Raises:
            ValueError: the stream is in another call, or failed before.
        """
        with self._claimed([stream]):
            return self._inner.get_result_all(stream.inner)

    @contextmanager
    def _claimed(self, streams: Sequence[Stream]) -> Iterator[None]:
        with self._lock:
            if len(set(streams)) != len(streams) or any(stream.busy or stream.dead for stream in streams):
                raise ValueError("a stream is given twice, is being decoded elsewhere, or has failed")
            for stream in streams:
                stream.busy = True
        try:
            yield
        except BaseException:
            for stream in streams:
                stream.dead = True
            raise
        finally:
            for stream in streams:
                stream.busy = False
