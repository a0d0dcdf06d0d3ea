"""What systemd is told over its socket: ready, stopping, alive (see sd_notify(3)); nothing where it does not ask."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Notifier:
    """The socket that `NOTIFY_SOCKET` names, and the watchdog that `WATCHDOG_USEC` asks for. Event loop only."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._interval = 0.0
        microseconds, process = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        if microseconds.isdigit() and process in ("", str(os.getpid())):
            self._interval = int(microseconds) / 1e6 / 3

    def tell(self, state: str) -> None:
        """Send `READY=1`, `STOPPING=1` or the like; what cannot be sent is logged and forgotten."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)
                sender.sendto(state.encode(), self._address)
        except OSError as error:
            log.warning("systemd does not take %s: %s", state, error)

    async def watch(self) -> None:
        """Say three times in the watchdog's time that the event loop runs, until cancelled."""
        while self._address and self._interval > 0:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)
