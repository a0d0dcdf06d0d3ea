"""One decoding process and the socket to it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from lingting.audio.budget import Reservation
from lingting.child_processes import bare_environment
from lingting.domain import Seconds
from lingting.errors import LingtingError
from lingting.processes import is_stopped

_START_SECONDS = 60.0
_END_SECONDS: Seconds = 5.0
"""A process that has closed its socket gets so long to end by itself."""

_WATCH_SECONDS: Seconds = 1.0
_CRASHED = "decoding it ran out of memory or crashed the decoder"

COMMAND = (sys.executable, "-m", "lingting.audio.worker")


class DecodingProcess:
    """A process that decodes one file at a time. For one event loop.

    Attributes:
        jobs: files that it was given.
        ended: whether it was told to end.
        confined: what the kernel keeps it from, by the name of the mechanism; known once it is ready.
    """

    def __init__(self) -> None:
        self.jobs = 0
        self.ended = False
        self.confined: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    async def ready(self) -> None:
        """Start the process when it does not run yet, and wait until it takes jobs.

        Raises:
            LingtingError: it does not start.
        """
        if self._socket is not None:
            return
        starting = asyncio.ensure_future(asyncio.to_thread(self._start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(lambda _: self.kill())
            raise
        except OSError as error:
            raise LingtingError(f"the decoding process does not start: {error}") from error
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await self._line()
        except TimeoutError:
            line = None
        if line is None or not line.startswith(b"ready"):
            raise LingtingError("the decoding process does not start; is the package `av` installed and intact?")
        self.confined = tuple(line.decode().split()[1:])

    async def ask(self, path: Path, output: int, job: dict[str, Any], room: Reservation) -> dict[str, Any] | None:
        """Have one file decoded; None when the process died over it, or was stopped and is ended therefore.

        Args:
            output: descriptor of the file that takes the samples.
            room: grows to what they take, before they are written.

        Raises:
            Overloaded, AudioTooLong: there is no room for them; the process takes further jobs.
        """
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # at once: a thread would lose it to a cancellation
        try:
            if not self._give(job, source, output):
                return None
        finally:
            os.close(source)
        watching = asyncio.create_task(self._watch())
        try:
            return await self._answer(room)
        finally:
            watching.cancel()

    async def _answer(self, room: Reservation) -> dict[str, Any] | None:
        assert self._socket is not None
        refused: LingtingError | None = None
        while (line := await self._line()) is not None:
            reply: dict[str, Any] = json.loads(line)
            if "room" not in reply:
                if refused is not None:
                    raise refused
                return reply
            try:
                room.resize(int(reply["room"]))
            except LingtingError as error:
                refused = error
            try:
                await asyncio.get_running_loop().sock_sendall(self._socket, b"n" if refused else b"y")
            except OSError:
                return None
        return None

    def begin(self, connection: int, job: dict[str, Any]) -> bool:
        """Have a file decoded that comes in pieces over this socket, as `Piecewise` says; False when it is dead."""
        return self._give(job, connection, connection)

    async def reply(self) -> dict[str, Any] | None:
        """The answer to a job that was begun; None when the process died over it."""
        line = await self._line()
        return None if line is None else json.loads(line)

    async def _watch(self) -> None:
        """End the process when somebody has stopped it (SIGSTOP): it would not go on by itself."""
        assert self._process is not None
        seen = False
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            stopped = is_stopped(self._process.pid)
            if stopped and seen:
                self.end()
                return
            seen = stopped

    def end(self) -> None:
        """End the process; whoever waits for its answer is told that it died."""
        self.ended = True
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    def kill(self) -> None:
        """End the process and close the socket, on which nobody may wait; `reap` collects it."""
        self.end()
        if self._socket is not None:
            self._socket.close()

    def reap(self) -> None:
        """Wait for the killed process; for a thread."""
        if self._process is not None:
            self._process.wait()

    def cause_of_death(self) -> str | None:
        """Why the process ended, in words for the sender of the file; None when it was killed from outside, as for want
        of the machine's memory, which the file need not be guilty of. For a thread; a process that goes on is killed.
        """
        code = 0
        if self._process is not None:
            try:
                code = self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
                return _CRASHED
        if code == -signal.SIGKILL:
            return None
        if code == -signal.SIGXCPU:
            return "decoding it takes too much processor time"
        return _CRASHED

    def _give(self, job: dict[str, Any], source: int, output: int) -> bool:
        assert self._socket is not None
        self.jobs += 1
        try:
            socket.send_fds(self._socket, [json.dumps(job).encode()], [source, output])
        except OSError:
            return False
        return True

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603
                    [*COMMAND, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=bare_environment(),
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        if self.ended:
            self.kill()
            self.reap()

    async def _line(self) -> bytes | None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        received = b""
        while not received.endswith(b"\n"):
            try:
                data = await loop.sock_recv(self._socket, 4096)
            except OSError:
                return None
            if not data:
                return None
            received += data
        return received.rstrip(b"\n")
