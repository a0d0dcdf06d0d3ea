"""Compressed sound that comes in pieces while it is spoken, decoded by a confined process as it comes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

from lingting.audio.formats import REPORT
from lingting.audio.pcm import pcm16_to_samples
from lingting.audio.process import DecodingProcess
from lingting.domain import Samples, Seconds
from lingting.errors import UndecodableAudio

_PATIENCE: Seconds = 30.0


class Piecewise:
    """One file that comes in pieces; `Decoder.piecewise` opens it. One task at a time.

    Its bytes go to the process over a socket. Before the process waits for more it reports how many it has read, with
    the samples that they gave, so that what was sent is known to be decoded as far as it can be.

    Attributes:
        ended: whether the process is done with the file, and is free for another.
    """

    def __init__(self, process: DecodingProcess, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ended = False
        self._process = process
        self._reader = reader
        self._writer = writer
        self._sent = self._read = 0

    @classmethod
    async def begin(cls, process: DecodingProcess, job: dict[str, Any]) -> Piecewise:
        """Have a process that is ready wait for a file.

        Raises:
            UndecodableAudio: it has died.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            begun = process.begin(theirs.fileno(), job)
        reader, writer = await asyncio.open_connection(sock=ours)
        if not begun:
            writer.close()
            raise UndecodableAudio("the decoding process has ended; send the sound again")
        return cls(process, reader, writer)

    async def take(self, data: bytes) -> AsyncIterator[Samples]:
        """The samples, at 16 kHz mono, that these bytes complete.

        Raises:
            UndecodableAudio: they are no sound that is understood, or decoding it takes too much; says which.
        """
        self._sent += len(data)
        if not self.ended:
            self._writer.write(data)
        while not self.ended and self._read < self._sent:
            samples = await self._next()
            if len(samples):
                yield samples

    async def finish(self) -> AsyncIterator[Samples]:
        """What is still to come of the file, which has no more bytes.

        Raises: as `take`.
        """
        if not self.ended:
            self._writer.write_eof()
        while not self.ended:
            samples = await self._next()
            if len(samples):
                yield samples

    def close(self) -> None:
        """Close the connection; the process of a file that has not ended must be ended too."""
        self._writer.close()

    async def _next(self) -> Samples:
        """The samples of the next report; none at the end, which is looked at."""
        try:
            async with asyncio.timeout(_PATIENCE):
                self._read, size = REPORT.unpack(await self._reader.readexactly(REPORT.size))
                return pcm16_to_samples(await self._reader.readexactly(size))
        except TimeoutError:
            self._process.end()
            raise UndecodableAudio(f"the audio cannot be decoded: it takes longer than {_PATIENCE:.0f} s") from None
        except (asyncio.IncompleteReadError, OSError):
            pass
        reply = await self._process.reply()
        if reply is None:
            message = await asyncio.to_thread(self._process.cause_of_death)
            self._process.end()
            raise UndecodableAudio(f"the audio cannot be decoded: {message}")
        self.ended = True
        if "samples" not in reply and reply["error"] != "empty":
            raise UndecodableAudio(f"the audio cannot be decoded: {reply['message'] or reply['error']}")
        return pcm16_to_samples(b"")
