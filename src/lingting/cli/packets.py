"""Live audio to a server over stream_recognize, over as many streams as it takes: nothing that was spoken is lost."""

from __future__ import annotations

import base64
import http.client
import secrets
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lingting.cli.remote import Server, ServerError, Unreachable, json_of, refusal
from lingting.errors import LingtingError

STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
CONFIRMED_HEADER = "X-Lingting-Confirmed"
CONFIRMED_MS_HEADER = "X-Lingting-Confirmed-Ms"
_START, _CONTINUE, _END, _ABORT = 1, 0, 2, 3
_INVALID_PARAM = 1040101
_BYTES_PER_MS = 32
_ANSWER_SECONDS = 15.0
_FINAL_SECONDS = 180.0
_PAUSE, _LONGEST_PAUSE = 0.25, 4.0
_FRUITLESS = 4


class _Lost(Exception):
    """The server knows the stream no longer, or failed on it."""


@dataclass(frozen=True, slots=True)
class _Packet:
    """Sound and where it begins, in bytes from the start of everything."""

    pcm: bytes
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.pcm)


class PacketStream:
    """Live audio and the text of it so far.

    One thread feeds it, and never waits; another of its own sends, waits while the server is away or busy, and opens
    another stream when a server that started anew does not know the old one. Sound is kept until its text is final.

    Args:
        server: where it goes.
        headers: what the packet that opens a stream says besides (`hot-words`, `language`).
    """

    def __init__(self, server: Server, headers: Mapping[str, str] | None = None) -> None:
        self._server = server
        self._headers = dict(headers or {})
        self._changed = threading.Condition()
        # everything below is touched with `_changed` held, but for the text, which only the sender writes
        self._kept: deque[_Packet] = deque()
        self._end = 0
        self._complete = self._stopped = self._done = False
        self._error: LingtingError | None = None
        self._before = ""
        self._text: tuple[str, str] = ("", "")
        self.reached = False
        """Whether the server ever answered; a server that never did is not waited for."""
        self.notice = ""
        """What keeps the text waiting, for the one who speaks; empty when all is well."""
        self._sender = threading.Thread(target=self._run, name="packets", daemon=True)
        self._sender.start()

    @property
    def confirmed(self) -> str:
        """Text that never changes any more."""
        return self._text[0]

    @property
    def guess(self) -> str:
        """Text behind it that still may."""
        return self._text[1]

    @property
    def rest(self) -> bytes:
        """The sound that has no final text: 16 kHz 16-bit samples."""
        with self._changed:
            return b"".join(packet.pcm for packet in self._kept)

    def accept(self, pcm: bytes) -> None:
        """Take 16 kHz 16-bit samples; never waits.

        Raises:
            ServerError: the server refuses for good.
        """
        with self._changed:
            if self._error is not None:
                raise self._error
            self._kept.append(_Packet(pcm, self._end))
            self._end += len(pcm)
            self._changed.notify_all()

    def finish(self) -> str:
        """The final text; waits for it, however long the server is away.

        Raises:
            ServerError: the server refuses for good.
        """
        with self._changed:
            self._complete = True
            self._changed.notify_all()
            while not self._done:
                self._changed.wait(0.2)  # so that Ctrl-C is heard
            if self._error is not None:
                raise self._error
        return self.confirmed

    def abort(self) -> None:
        """Stop sending; harmless at any time."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._sender.join(_LONGEST_PAUSE)

    # -- the sender's thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: LingtingError | None = None
        try:
            fruitless, boundary = 0, -1
            while True:
                stream = _One(self, self._server, self._headers)
                try:
                    stream.send()
                    break
                except _Lost:
                    fruitless = 0 if self._boundary() > boundary else fruitless + 1
                    boundary = self._boundary()
                    if fruitless > _FRUITLESS:
                        error = ServerError("the server fails on this again and again")
                        break
                    self._before = self._text[0]
                finally:
                    stream.close()
        except LingtingError as failure:
            error = failure
        finally:
            with self._changed:
                self._error, self._done = error, True
                self._changed.notify_all()

    def _boundary(self) -> int:
        with self._changed:
            return self._kept[0].start if self._kept else self._end

    def _next(self, end: int) -> tuple[_Packet | None, bool]:
        """The packet that begins at `end`, once it is there; None when there is no more. And whether to stop."""
        with self._changed:
            while True:
                if self._stopped:
                    return None, True
                found = next((packet for packet in self._kept if packet.start >= end and packet.pcm), None)
                if found is not None:
                    return found, False
                if self._complete:
                    return None, False
                self._changed.wait()

    def _cut(self, boundary: int) -> None:
        """Forget the sound before `boundary`, whose text is final."""
        with self._changed:
            while self._kept and self._kept[0].end <= boundary:
                self._kept.popleft()
            if self._kept and self._kept[0].start < boundary:
                first = self._kept.popleft()
                self._kept.appendleft(_Packet(first.pcm[boundary - first.start :], boundary))

    def _show(self, text: str, confirmed: int) -> None:
        before, apart = self._before, ""
        if before:
            from lingting.recognition.utterance import join_texts  # costs time, and is needed behind a restart only

            apart = " " * (len(join_texts(before, text)) - len(before) - len(text))
        sure = before + apart + text[:confirmed] if confirmed else before
        guess = text[confirmed:] if confirmed else apart + text
        if confirmed or text or not self._text[1]:
            self._text = (sure, guess)

    def _wait(self, seconds: float, notice: str) -> bool:
        """Wait before something is tried again; whether to stop."""
        self.notice = notice
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)
            return self._stopped


class _One:
    """One stream of stream_recognize. Only the sender's thread uses it."""

    def __init__(self, whole: PacketStream, server: Server, headers: Mapping[str, str]) -> None:
        self._whole = whole
        self._server = server
        self._headers = headers
        self._connection: http.client.HTTPConnection | None = None
        self._id = secrets.token_hex(8)
        self._number = 0
        self._base = whole._boundary()

    def send(self) -> None:
        """Send what there is and what comes, to the end.

        Raises:
            _Lost: another stream must go on.
            ServerError: the server refuses for good.
        """
        end = self._base
        while True:
            packet, stopped = self._whole._next(end)
            if stopped:
                if self._number:
                    self._dropped()
                return
            if packet is None:
                break
            end = packet.end
            self._post(packet.pcm, _CONTINUE if self._number else _START)
        if not self._number:
            self._post(b"", _START)
        self._post(b"", _END)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _post(self, pcm: bytes, action: int) -> None:
        """One packet, sent until it is answered."""
        config = {"stream_id": self._id, "sequence_id": self._number, "action": action}
        body = {
            "speech": {"speech": base64.b64encode(pcm).decode()},
            "config": {**config, "format": "pcm", "engine_type": "16k_auto"},
        }
        pause = _PAUSE
        while True:
            try:
                status, headers, answer = self._exchange(body, action)
                notice, wait = "the server is busy or is being restarted", headers.get("Retry-After")
            except Unreachable as error:
                if not self._whole.reached:
                    raise
                status, headers, answer = 0, http.client.HTTPMessage(), b""
                notice, wait = f"{error}: listening on, everything is sent when it is back", None
            content = json_of(answer)
            code = content.get("code")
            self._whole.reached = self._whole.reached or status > 0
            if status == 200 and code == 0:
                break
            passing = status in (0, 429, 502, 503, 504) or bool(wait)
            if not passing:
                if self._number and (code == _INVALID_PARAM or status == 500):
                    raise _Lost
                raise ServerError(refusal(status, answer))
            seconds = float(wait) if wait and wait.isdigit() else pause
            pause = min(2 * pause, _LONGEST_PAUSE)
            if self._whole._wait(seconds, notice):
                return
        self._whole.notice = ""
        self._number += 1
        text = content["data"]["recognition_text"]
        if action == _END:
            self._whole._show(text, len(text))
            self._whole._cut(self._whole._end)
            return
        known = headers.get(CONFIRMED_HEADER, "")
        self._whole._show(text, int(known) if known.isdigit() else 0)
        covered = headers.get(CONFIRMED_MS_HEADER, "")
        if covered.isdigit():
            self._whole._cut(self._base + int(covered) * _BYTES_PER_MS)

    def _exchange(self, body: dict[str, Any], action: int) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._connection is None:
            self._connection = self._server.connect(_ANSWER_SECONDS)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(_FINAL_SECONDS if action == _END else _ANSWER_SECONDS)
        began = time.monotonic()
        try:
            return self._server.post(self._connection, STREAM, body, self._headers if action == _START else {})
        except Unreachable:
            self._connection.close()
            if time.monotonic() - began > 1:
                raise
        # a connection that had been idle may have been closed by the other side: once more at once
        return self._server.post(self._connection, STREAM, body, self._headers if action == _START else {})

    def _dropped(self) -> None:
        config = {"stream_id": self._id, "sequence_id": self._number, "action": _ABORT}
        body = {"speech": {"speech": ""}, "config": {**config, "format": "pcm", "engine_type": "16k_auto"}}
        with suppress(LingtingError):
            self._exchange(body, _ABORT)
