"""The sound of a connection, whatever it is sent as: raw samples, a WAV file, or a container that must be decoded."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import numpy as np

from lingting.api.sockets.sound import Intake, Sound, SoundError, WavHead, is_wav
from lingting.audio.formats import sniff
from lingting.audio.piecewise import Piecewise
from lingting.domain import Samples

OpenFile = Callable[[str], AbstractAsyncContextManager[Piecewise]]
"""Begins to decode a file that comes in pieces, by the name of its demuxer; raises Overloaded."""

_THREADED_BYTES = 65_536
_TELLING_BYTES = 16
"""So many bytes say what they are, or that they are no file."""


class Incoming:
    """Makes samples of what comes. A context manager, which lets go of a decoder. Event loop only.

    Args:
        sound: the format of raw samples; None where the first bytes say what it is.
        open_file: for what is neither raw nor a plain WAV file.
    """

    def __init__(self, sound: Sound | None, open_file: OpenFile) -> None:
        self._intake = Intake(sound) if sound is not None else None
        self._raw = sound is not None
        self._open_file = open_file
        self._file: Piecewise | None = None
        self._head = b""
        self._begun = False
        self._held: AsyncExitStack | None = None

    async def __aenter__(self) -> Incoming:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            await self._held.aclose()

    async def take(self, data: bytes) -> AsyncIterator[Samples]:
        """The samples that these bytes complete.

        Raises:
            SoundError, AudioError: they are no sound that is taken; says what to send instead.
            Overloaded: no further file can be decoded now.
        """
        if not self._begun and self._raw and is_wav(data):
            raise SoundError("a WAV file was sent where the query promises raw samples; leave encoding out for files")
        self._begun = True
        if self._intake is None and self._file is None:
            self._head += data
            data = await self._begin()
        if self._intake is not None:
            take = self._intake.take
            yield take(data) if len(data) <= _THREADED_BYTES else await asyncio.to_thread(take, data)
        elif self._file is not None:
            async for samples in self._file.take(data):
                yield samples

    def pause(self) -> Samples:
        """What a resampler still holds, where nothing may wait for more; sound may come behind it."""
        return self._intake.finish() if self._intake is not None else np.empty(0, np.float32)

    async def finish(self) -> AsyncIterator[Samples]:
        """What is left, when no more bytes come.

        Raises: as `take`.
        """
        if self._file is not None:
            async for samples in self._file.finish():
                yield samples
        elif self._intake is not None:
            yield self._intake.finish()
        elif self._head:
            raise _unknown()

    async def _begin(self) -> bytes:
        """See what the sound is; the bytes of it to go on with, of which there are none while that is not known."""
        demuxer = sniff(io.BytesIO(self._head))
        if demuxer is None:
            if len(self._head) >= _TELLING_BYTES:
                raise _unknown()
            return b""
        if demuxer == "wav" and is_wav(self._head):
            head = WavHead()
            try:
                samples = head.take(self._head)
            except SoundError:  # samples that must be decoded
                pass
            else:
                if head.sound is not None:
                    self._intake = Intake(head.sound)
                return samples or b""
        self._held = AsyncExitStack()
        self._file = await self._held.enter_async_context(self._open_file(demuxer))
        data, self._head = self._head, b""
        return data


def _unknown() -> SoundError:
    return SoundError(
        "the bytes are no file that is known (WAV, Ogg, WebM, FLAC, MP3, AAC, fragmented MP4, AMR); "
        "raw samples need encoding and sample_rate in the query"
    )
