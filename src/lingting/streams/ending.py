"""The end of a stream: its last packets, its final text, and why it may have none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from lingting.domain import Seconds
from lingting.errors import LingtingError, Overloaded, RecognitionFailed
from lingting.streams.errors import MissingPacket, StreamAborted, StreamMoved, UnknownStream
from lingting.streams.stream import Stream
from lingting.streams.types import OwnerT

_NOTE_SECONDS = 0.25
CAUSES: dict[type[LingtingError] | None, str] = {
    None: "final",
    StreamAborted: "aborted",
    StreamMoved: "moved",
    UnknownStream: "expired",
    MissingPacket: "missing_packet",
    Overloaded: "stopping",
    RecognitionFailed: "failed",
}
"""Why streams end, by the error that is told."""

log = logging.getLogger(__name__)


async def final_text(
    stream: Stream[OwnerT], note: Callable[[Stream[OwnerT]], Awaitable[None]], *, grace: Seconds
) -> tuple[str, LingtingError | None]:
    """The text of a stream whose final packet came, or why it has none.

    Args:
        note: writes into the journal what has become final; called now and then until the text is there, so that no
            restart begins anew.
        grace: how long the packets are waited for that the final one overtook.
    """
    try:
        try:
            async with asyncio.timeout(grace):
                await stream.complete.wait()
        except TimeoutError:
            raise MissingPacket(stream.sequence.expected) from None
        return await _finish(stream, note), None
    except LingtingError as known:
        return "", known.with_traceback(None)
    except Exception:
        log.exception("a live session failed on its end")
        return "", RecognitionFailed("the recognition of this stream failed")


async def outcome(stream: Stream[OwnerT], *, within: Seconds) -> str:
    """The text of a stream that ends, for one who waits for it.

    Raises:
        Overloaded: it is not there within this time; it is still worked on, so whoever asks again gets it.
        LingtingError: why there is none.
    """
    try:
        async with asyncio.timeout(within):
            return await asyncio.shield(stream.outcome)
    except TimeoutError:
        raise Overloaded(
            "the final text is not ready yet: recognition is behind; send the same final packet again", retry_after=1.0
        ) from None


async def _finish(stream: Stream[OwnerT], note: Callable[[Stream[OwnerT]], Awaitable[None]]) -> str:
    if stream.kept is None:
        return (await stream.session.finish()).text
    finishing = asyncio.ensure_future(stream.session.finish())
    try:
        while not finishing.done():
            await asyncio.wait({finishing}, timeout=_NOTE_SECONDS)
            await note(stream)
        return finishing.result().text
    finally:
        finishing.cancel()
