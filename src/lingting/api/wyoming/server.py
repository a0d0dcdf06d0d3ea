"""The listener for Wyoming: a port of its own, off unless it is set."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator

from lingting.api.http.context import Context
from lingting.api.wyoming.announcement import announced
from lingting.api.wyoming.conversation import Conversation
from lingting.api.wyoming.events import MAX_HEADER_BYTES
from lingting.errors import SettingsError

MAX_CONNECTIONS = 256


@contextlib.asynccontextmanager
async def serving(context: Context) -> AsyncIterator[int]:
    """Answer Wyoming on the port of the settings, if there is one; its number, 0 for none.

    Raises:
        SettingsError: the port, the address or an announcement cannot be had; the message says what to do.
    """
    settings = context.service.settings
    if not settings.wyoming_port:
        yield 0
        return
    open_connections = 0

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_connections
        if open_connections >= MAX_CONNECTIONS or context.service.streams.draining:
            writer.transport.abort()
            return
        open_connections += 1
        conversation = Conversation(context, reader, writer)
        context.connections.add(conversation)
        try:
            await conversation.run()
        finally:
            context.connections.discard(conversation)
            open_connections -= 1

    try:
        server = await asyncio.start_server(
            connected, settings.wyoming_host, settings.wyoming_port, limit=MAX_HEADER_BYTES
        )
    except OSError as error:
        where = f"port {settings.wyoming_port} on {settings.wyoming_host}"
        if error.errno == errno.EADDRINUSE:
            problem = f"{where} is already in use; stop the other program or set LINGTING_WYOMING_PORT to another port"
        else:
            problem = f"cannot listen for Wyoming on {where}: {error.strerror or error}; set LINGTING_WYOMING_HOST"
        raise SettingsError(problem) from None
    try:
        async with announced(settings):
            yield settings.wyoming_port
    finally:
        server.close()
