"""Recognition without a server, for programs on asyncio: `from lingting import AsyncTranscriber`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from lingting.domain import Sentence, Transcript
from lingting.transcriber.audio import Audio, Packet, in_milliseconds
from lingting.transcriber.stream import Update, Updates
from lingting.transcriber.transcriber import Transcriber

T = TypeVar("T")


class AsyncTranscriber:
    """A `Transcriber` whose methods are awaited; nothing of it blocks the event loop.

    ::

        async with AsyncTranscriber() as transcriber:
            print((await transcriber.transcribe("meeting.m4a")).text)
            async for update in transcriber.stream(packets()):
                print(update)

    Arguments and errors are those of `Transcriber`. What is no longer awaited is cancelled.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._arguments, self._named = arguments, named
        self._inner: Transcriber | None = None
        self._loading = asyncio.Lock()

    async def __aenter__(self) -> AsyncTranscriber:
        await self._transcriber()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def transcribe(self, audio: Audio, **options: Any) -> Transcript:
        """What is said in a recording; see `Transcriber.transcribe`."""
        inner = await self._transcriber()
        rate, asked = inner._asked(**options)
        with await asyncio.to_thread(inner.recording, audio, sample_rate=rate) as recording:
            return in_milliseconds(await self._run(inner._recognition.recognizer.recognize(recording, asked)))

    async def sentences(self, audio: Audio, **options: Any) -> AsyncIterator[Sentence]:
        """The sentences of a recording in order, each as soon as it is known; see `Transcriber.sentences`."""
        inner = await self._transcriber()
        found = inner.sentences(audio, **options)
        try:
            while (sentence := await asyncio.to_thread(next, found, None)) is not None:
                yield sentence
        finally:
            await asyncio.to_thread(found.close)  # type: ignore[attr-defined]

    async def stream(self, audio: AsyncIterable[Packet], **options: Any) -> AsyncIterator[Update]:
        """Finals and partials of packets, as they become known, whether or not a packet comes; see
        `Transcriber.stream`."""
        inner = await self._transcriber()
        loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        stream = await asyncio.to_thread(lambda: inner.stream(**options))

        def tell() -> None:
            loop.call_soon_threadsafe(changed.set)

        stream.on_change = tell

        async def feed() -> None:
            async for packet in audio:
                stream.accept(packet)
            stream._finished(await self._run(stream._finishing()))

        news = Updates()
        feeding = asyncio.create_task(feed())
        feeding.add_done_callback(lambda _: changed.set())
        try:
            while not feeding.done():
                await changed.wait()
                changed.clear()
                for update in news.of(stream):
                    yield update
            await feeding
            for update in news.of(stream):
                yield update
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            stream.on_change = None
            stream.abort()

    async def close(self) -> None:
        """Stop everything; what is not finished is dropped."""
        if self._inner is not None:
            await asyncio.to_thread(self._inner.close)

    async def _transcriber(self) -> Transcriber:
        async with self._loading:
            if self._inner is None:
                self._inner = await asyncio.to_thread(Transcriber, *self._arguments, **self._named)
        return self._inner

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop of the transcriber; cancelled there when nobody waits here."""
        inner = await self._transcriber()
        return await asyncio.wrap_future(inner._loop.submit(work))
