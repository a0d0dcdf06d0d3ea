"""An orderly stop: asked for by a signal, and ended at once by a second one."""

from __future__ import annotations

import asyncio
import os
import signal

CLOSING_SECONDS = 10.0
"""How long a stop may take beyond `drain_lead_seconds` and `drain_seconds`: to answer what is cut off, and usage."""


class Stop:
    """A stop that whoever runs the server asks for. Event loop only.

    Attributes:
        asked: set when it was.
        leisurely: whether `drain_lead_seconds` are kept to.
    """

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.leisurely = False

    def ask(self, *, leisurely: bool) -> None:
        """Begin the stop."""
        self.leisurely = leisurely
        self.asked.set()


class StopSignals(Stop):
    """SIGTERM and SIGINT of this process, from its event loop: the first asks, the second ends the process.

    Leisurely is SIGTERM, which a service manager sends; Ctrl-C has no balancer to wait for.
    """

    def __init__(self) -> None:
        super().__init__()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled, number)

    def _signalled(self, number: int) -> None:
        if self.asked.is_set():
            os.write(2, b"lingting: ended at once; what was in flight is lost\n")
            os._exit(128 + number)
        self.ask(leisurely=number == signal.SIGTERM)


async def unless_asked(work: asyncio.Task[None], stop: Stop) -> bool:
    """Wait for work that a stop cancels; returns whether it was done. Raises what the work raises."""
    asked = asyncio.create_task(stop.asked.wait())
    try:
        await asyncio.wait((work, asked), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            work.result()
            return True
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        return False
    finally:
        asked.cancel()
