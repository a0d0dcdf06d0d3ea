"""Answers that are sent bit by bit while what they are made from is held."""

from __future__ import annotations

import contextlib

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class HeldResponse(StreamingResponse):
    """A streamed answer that holds what a request took (its place, its recording) until the last byte is out."""

    _held: contextlib.AsyncExitStack | None = None

    def hold(self, stack: contextlib.AsyncExitStack) -> None:
        """Close the stack when the answer is out, or its client has left."""
        self._held = stack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._held is not None:
                await self._held.aclose()
