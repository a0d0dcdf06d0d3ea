"""Reads what an ONNX file says of itself, without the `onnx` package and without reading its weights.

An ONNX file is one protocol buffer: a sequence of fields, each with a number and a length, so that whatever is not of
interest is stepped over (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto). A file that was cut short is noticed:
one of its lengths leads past the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from lingting.errors import ModelError

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_MOST_METADATA = 64 << 20


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of the graph.

    Attributes:
        name: its name.
        type: ONNX's number of the element type: 1 float32, 6 int32, 7 int64.
        shape: a number for a fixed dimension, None for a free one; None as a whole where the file does not say.
    """

    name: str
    type: int
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True, slots=True)
class Header:
    """What an ONNX file says of itself.

    Attributes:
        metadata: keys and values that the exporter wrote.
        inputs, outputs: of the graph, in order.
    """

    metadata: dict[str, str]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read(path: Path) -> Header:
    """The header of a file.

    Raises:
        ModelError: it is missing, is not an ONNX file, or was cut short.
    """
    metadata: dict[str, str] = {}
    tensors: dict[int, list[Tensor]] = {11: [], 12: []}
    graphs = 0
    try:
        with path.open("rb") as source:
            end = source.seek(0, 2)
            source.seek(0)
            for number, wire, value in _fields(source, end):
                if number == 7 and wire == _LENGTH:
                    graphs += 1
                    for inner, inner_wire, length in _fields(source, source.tell() + value):
                        if inner in tensors and inner_wire == _LENGTH:
                            tensors[inner].append(_tensor(_bytes(source, length)))
                elif number == 14 and wire == _LENGTH:
                    entry = {key: text for key, _, text in _memory_fields(_bytes(source, value)) if key in (1, 2)}
                    metadata[_text(entry.get(1, b""))] = _text(entry.get(2, b""))
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except (_Malformed, RecursionError) as error:
        raise ModelError(f"{path} is not a whole ONNX file: {error}") from error
    if graphs != 1:
        raise ModelError(f"{path} is not an ONNX file: it has {graphs or 'no'} graphs")
    return Header(metadata, tuple(tensors[11]), tuple(tensors[12]))


class _Malformed(Exception):
    """The bytes are no protocol buffer."""


def _fields(source: IO[bytes], end: int) -> Iterator[tuple[int, int, int]]:
    """Number, wire type, and value or length of each field up to `end`.

    The file stands at the beginning of a field's content when it is given out, and behind it when the next is asked
    for, wherever the caller left it.
    """
    while (place := source.tell()) < end:
        key = _varint(source, end)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise _Malformed(f"no field begins at byte {place}")
        if wire == _VARINT:
            yield number, wire, _varint(source, end)
            continue
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if length is None:
            if wire != _LENGTH:
                raise _Malformed(f"no field begins at byte {place}")
            length = _varint(source, end)
        behind = source.tell() + length
        if behind > end:
            raise _Malformed(f"it ends {behind - end} bytes too early")
        yield number, wire, length
        source.seek(behind)


def _memory_fields(content: bytes) -> Iterator[tuple[int, int, bytes]]:
    import io

    source = io.BytesIO(content)
    for number, wire, value in _fields(source, len(content)):
        yield number, wire, content[source.tell() : source.tell() + value] if wire == _LENGTH else _number(value)


def _number(value: int) -> bytes:
    return value.to_bytes(10, "little")


def _varint(source: IO[bytes], end: int) -> int:
    result = 0
    for shift in range(0, 70, 7):
        byte = source.read(1)
        if not byte or source.tell() > end:
            raise _Malformed("it ends in the middle of a number")
        result |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return result
    raise _Malformed("a number in it is too long")


def _bytes(source: IO[bytes], length: int) -> bytes:
    if length > _MOST_METADATA:
        raise _Malformed(f"its header takes {length} bytes")
    return source.read(length)


def _tensor(content: bytes) -> Tensor:
    name, kind = "", b""
    for number, _, value in _memory_fields(content):
        if number == 1:
            name = _text(value)
        elif number == 2:
            kind = value
    for number, wire, value in _memory_fields(kind):
        if number == 1 and wire == _LENGTH:
            return _tensor_type(name, value)
    return Tensor(name, 0, None)


def _tensor_type(name: str, content: bytes) -> Tensor:
    element, shape = 0, None
    for number, wire, value in _memory_fields(content):
        if number == 1 and wire == _VARINT:
            element = int.from_bytes(value, "little")
        elif number == 2 and wire == _LENGTH:
            shape = tuple(_dimension(each) for key, _, each in _memory_fields(value) if key == 1)
    return Tensor(name, element, shape)


def _dimension(content: bytes) -> int | None:
    for number, wire, value in _memory_fields(content):
        if number == 1 and wire == _VARINT:
            return int.from_bytes(value, "little")
    return None


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
