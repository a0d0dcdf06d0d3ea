"""One connection between a door and a home, shared by all their calls. `connecting.py` makes it.

Frames are a length in four bytes and a sealed message (`handshake.py`, `messages.py`). Reading never waits for
recognition: a message is handed over at once. What is sent is bounded: calls in flight by number, bytes that the other
end has not read by size; beyond that a call is refused as too busy before anything of it is sent.

While something is in flight the door asks four times a second whether the home is there; one that says nothing for
`SILENT_SECONDS` counts as gone, whatever the system says of the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeVar

import msgspec

from lingting.cluster import messages
from lingting.cluster.failures import raised
from lingting.cluster.handshake import HomeSilent, LinkError, LinkRefused, Peer
from lingting.cluster.messages import LARGEST, Cancel, Failure, Leaving, Message, Ping, Pong
from lingting.errors import LingtingError, Overloaded

SILENT_SECONDS = 1.0
MOST_CALLS = 4096
MOST_UNREAD_BYTES = 8 << 20
_ASK_SECONDS = 0.25

MessageT = TypeVar("MessageT", bound=Message)
log = logging.getLogger(__name__)


class Call:
    """One call as either end sees it. Event loop only.

    Attributes:
        number: of the call on its link.
        on_message: told what the other end says under its number.
        on_lost: told, instead of an answer, that the link broke, or that the other end waits no more.
    """

    __slots__ = ("_link", "number", "on_lost", "on_message")

    def __init__(self, link: Link, number: int) -> None:
        self._link = link
        self.number = number
        self.on_message: Callable[[Message], None] | None = None
        self.on_lost: Callable[[LingtingError], None] | None = None

    def send(self, message: Message) -> None:
        """Say something under this number.

        Raises:
            LinkError: the link is broken.
            Overloaded: the home at the other end reads too slowly.
        """
        self._link.send(message)

    def end(self) -> None:
        """Nothing more is said or heard under this number."""
        self._link.ended(self.number)

    def cancel(self) -> None:
        """Tell the other end that nobody waits any more."""
        self._link.cancel(self)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return not self._link.knows(self)


class Link:
    """One end of a connection that is open and whose other end is known. Event loop only.

    Args:
        reader, writer: the connection.
        peer: who is at the other end.
        decoder: of what that end says.
        opened: told the first message of every call of the other end, and the call; None at a door, which is not
            called.

    Attributes:
        peer: name of the other end.
        lost: why it is broken; None while it is not.
        leaving: the other end stops.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: Peer,
        decoder: msgspec.msgpack.Decoder[Any],
        opened: Callable[[Message, Call], None] | None = None,
    ) -> None:
        self.peer = peer.node
        self.lost: LinkError | None = None
        self.leaving = False
        self._reader = reader
        self._writer = writer
        self._sealing = peer.sealing
        self._decoder = decoder
        self._opened = opened
        self._calls: dict[int, Call] = {}
        self._number = 0
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._watching: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def knows(self, call: Call) -> bool:
        """Whether a call goes on."""
        return self._calls.get(call.number) is call

    def begin(self) -> Call:
        """A call of this end; say its first message next.

        Raises:
            LinkError: the link is broken.
            Overloaded: too much is in flight.
        """
        self._require()
        if len(self._calls) >= MOST_CALLS:
            raise Overloaded(f"too many calls to {self.peer} are in flight; try again", 1.0)
        self._number += 1
        call = self._calls[self._number] = Call(self, self._number)
        if self._watching is None:
            # in a context of its own: it outlives the request that is the first in flight
            self._watching = self._loop.create_task(self._watch(), context=Context())
        return call

    def send(self, message: Message) -> None:
        """Send a message; raises as `Call.send`."""
        self._require()
        if self._writer.transport.get_write_buffer_size() > MOST_UNREAD_BYTES:
            if self._opened is not None:  # a door would wait for ever for what a home could not say
                self.close(LinkError(f"{self.peer} reads too slowly"))
                self._require()
            raise Overloaded(f"{self.peer} reads too slowly; try again", 1.0)
        frame = self._sealing.seal(messages.encode(message))
        self._writer.write(len(frame).to_bytes(4, "big") + frame)

    async def ask(self, make: Callable[[int], Message], kind: type[MessageT], within: float) -> MessageT:
        """One question, one answer.

        Args:
            make: makes the question of its number.
            kind: of the answer.
            within: seconds; then the other end is told that nobody waits.

        Raises:
            LinkError: the link broke, before or after the other end has heard the question.
            Overloaded: too much is in flight, or no answer came within the time.
            LingtingError: what the other end says went wrong.
        """
        call = self.begin()
        answer: asyncio.Future[Message] = self._loop.create_future()

        def heard(message: Message) -> None:
            if not answer.done():
                answer.set_result(message)

        def lost(error: LingtingError) -> None:
            if not answer.done():
                answer.set_exception(error)

        call.on_message, call.on_lost = heard, lost
        try:
            call.send(make(call.number))
            async with asyncio.timeout(within):
                message = await answer
        except TimeoutError:
            self.cancel(call)
            raise Overloaded(f"{self.peer} did not answer within {within:g} s; try again", 1.0) from None
        except asyncio.CancelledError:
            self.cancel(call)
            raise
        finally:
            call.end()
        if isinstance(message, Failure):
            raise raised(message)
        if not isinstance(message, kind):
            raise LinkError(f"{self.peer} answered with something else")
        return message

    def cancel(self, call: Call) -> None:
        """Tell the other end that nobody waits for a call any more, and end it."""
        if self.knows(call):
            with contextlib.suppress(LingtingError):
                self.send(Cancel(call.number))
            call.end()

    async def drained(self) -> None:
        """Wait while the other end has not read most of what was sent."""
        with contextlib.suppress(OSError):
            await self._writer.drain()

    def ended(self, number: int) -> None:
        """A call is over."""
        self._calls.pop(number, None)

    def start(self) -> None:
        """Begin to read, in a task of the link's own."""
        self._reading = self._loop.create_task(self.run(), context=Context())

    async def run(self) -> None:
        """Read until the connection ends, and tell all calls that it did."""
        error = LinkError(f"the connection to {self.peer} ended")
        try:
            while True:
                size = int.from_bytes(await self._reader.readexactly(4), "big")
                if size > LARGEST:
                    error = LinkRefused(f"{self.peer} sent a frame of {size} bytes")
                    break
                frame = self._sealing.open(await self._reader.readexactly(size))
                self._heard_at = self._loop.time()
                self._take(self._decoder.decode(frame))
        except (EOFError, OSError):
            pass
        except msgspec.MsgspecError as wrong:
            error = LinkRefused(f"{self.peer} sent what is no message: {wrong}")
        except LinkError as wrong:
            error = wrong
        finally:
            if isinstance(error, LinkRefused):
                log.warning("a connection of the cluster is cut: %s", error)
            self.close(error)

    def close(self, error: LinkError | None = None) -> None:
        """Cut the connection; calls in flight are told `error`."""
        if self.lost is not None:
            return
        self.lost = error or LinkError(f"the connection to {self.peer} was closed")
        if self._watching is not None:
            self._watching.cancel()
        self._writer.transport.abort()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            self._tell_lost(call, self.lost)

    def _require(self) -> None:
        if self.lost is not None:
            raise type(self.lost)(str(self.lost))

    def _take(self, message: Message) -> None:
        if isinstance(message, Ping):
            self.send(Pong(message.number))
            return
        if isinstance(message, Leaving):
            self.leaving = True
            return
        call = self._calls.get(message.number)
        if call is not None:
            if isinstance(message, Cancel):
                call.end()
                self._tell_lost(call, LinkError(f"{self.peer} waits no longer"))
            else:
                self._tell(call, message)
        elif self._opened is not None and message.number > self._number:
            self._number = message.number
            if len(self._calls) >= MOST_CALLS:
                self.send(Failure(message.number, "Overloaded", "too many calls are in flight", {"retry_after": 1.0}))
                return
            call = self._calls[message.number] = Call(self, message.number)
            self._opened(message, call)

    def _tell(self, call: Call, message: Message) -> None:
        """What goes wrong with one call ends that one, and not the connection of all."""
        if call.on_message is None:
            return
        try:
            call.on_message(message)
        except Exception:
            log.exception("a call of %s failed on what it was told", self.peer)
            self.cancel(call)
            self._tell_lost(call, LinkError("the call failed on this node"))

    def _tell_lost(self, call: Call, error: LinkError) -> None:
        if call.on_lost is None:
            return
        try:
            call.on_lost(error)
        except Exception:
            log.exception("a call of %s failed on its end", self.peer)

    async def _watch(self) -> None:
        """Ask whether the other end is there while something is in flight; it is cut when it says nothing.

        Time in which this process itself did not run counts for little: what the other end has said meanwhile may not
        be read yet.
        """
        silent = 0.0
        while self._calls:
            before = self._loop.time()
            with contextlib.suppress(Overloaded):
                self.send(Ping(0))
            await asyncio.sleep(_ASK_SECONDS)
            silent += min(self._loop.time() - before, 2 * _ASK_SECONDS)
            if self._heard_at >= before:
                silent = 0.0
            if silent > SILENT_SECONDS:
                self._watching = None
                self.close(HomeSilent(f"{self.peer} says nothing"))
                return
        self._watching = None
