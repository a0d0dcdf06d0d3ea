"""A multipart form within bounds: its file goes to disk while it arrives, its fields stay in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from lingting.api.http.body import BodyLimits, BodyTooLarge, chunks
from lingting.api.http.spool import Spool
from lingting.errors import LingtingError

FILE = "file"
MAX_PARTS = 100
MAX_FIELD_BYTES = 65_536
OVERHEAD_BYTES = 262_144
"""What fields and borders may add to the size of the file."""


class FormError(LingtingError):
    """A body that is no form, or a form that is not taken.

    Attributes:
        param: the field at fault.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class Form:
    """A form that has arrived.

    Attributes:
        fields: name and value of every field but the file, in order.
        file: where its file lies.
        filename: what the sender calls the file; never used as a path.
        size: bytes of the file.
    """

    fields: tuple[tuple[str, str], ...]
    file: Path
    filename: str
    size: int


@contextlib.asynccontextmanager
async def received(request: Request, limits: BodyLimits, spool: Spool) -> AsyncIterator[Form]:
    """The form of a request, its file in a file of its own that is gone afterwards.

    Args:
        limits: bytes of the file, and the times for the body.
        spool: where the file is put.

    Raises:
        FormError: it is no form, has no file, or has too many or too large fields.
        BodyTooLarge, BodyEncoded, BodyStalled: it is not taken.
        ClientLeft: the client left before its end.
    """
    collector = _Collector(_boundary(request), limits.max_bytes)
    whole = replace(limits, max_bytes=limits.max_bytes + OVERHEAD_BYTES)

    async def file() -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks(request, whole):
                yield collector.feed(chunk)
        except BodyTooLarge:
            raise BodyTooLarge(limits.max_bytes) from None

    async with spool.file(file()) as (path, _):
        yield collector.form(path)


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind.lower() != b"multipart/form-data" or not boundary:
        raise FormError("the body must be multipart/form-data with a boundary; curl makes one with -F file=@NAME")
    return boundary


class _Collector:
    """What the parser reports, gathered and bounded."""

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._found = bytearray()
        self._size = 0
        self._filename = ""
        self._has_file = False
        self._fields: list[tuple[str, str]] = []
        self._parts = 0
        self._name = ""
        self._value = bytearray()
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._disposition = b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._finish,
                },
            )
        except FormParserError as error:
            raise FormError(f"the boundary of the form is not taken: {error}") from None

    def feed(self, chunk: bytes) -> bytes:
        """Parse the bytes that come next; returns those of the file among them."""
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise FormError(f"the body is not a valid multipart form: {error}") from None
        found = bytes(self._found)
        self._found.clear()
        return found

    def form(self, path: Path) -> Form:
        """The whole form; its file lies at `path`."""
        if not self._ended:
            raise FormError("the form breaks off before its last boundary")
        if not self._has_file:
            raise FormError("the field file is missing; send the audio file in it", FILE)
        if not self._size:
            raise FormError("the file is empty", FILE)
        return Form(tuple(self._fields), path, self._filename, self._size)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FormError(f"the form has more than {MAX_PARTS} parts")
        self._name, self._disposition = "", b""
        self._value.clear()

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._header[0].extend(data[start:end])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1].extend(data[start:end])

    def _header_end(self) -> None:
        if bytes(self._header[0]).strip().lower() == b"content-disposition":
            self._disposition = bytes(self._header[1])
        for part in self._header:
            part.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._name:
            raise FormError("a part of the form has no name")
        if self._name == FILE:
            if self._has_file:
                raise FormError("the form has more than one file; send one request for each", FILE)
            self._has_file = True
            self._filename = options.get(b"filename", b"").decode("utf-8", "replace")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._name == FILE:
            self._size += end - start
            if self._size > self._max_bytes:
                raise BodyTooLarge(self._max_bytes)
            self._found += memoryview(data)[start:end]
            return
        if len(self._value) + end - start > MAX_FIELD_BYTES:
            raise FormError(f"a field may have {MAX_FIELD_BYTES} bytes", self._name[:60])
        self._value += data[start:end]

    def _end(self) -> None:
        if self._name == FILE:
            return
        try:
            self._fields.append((self._name, self._value.decode("utf-8")))
        except UnicodeDecodeError:
            raise FormError("the field is not UTF-8", self._name[:60]) from None

    def _finish(self) -> None:
        self._ended = True
