"""Hot words for models of sherpa-onnx: which phrases a model can be told, and how they are written for it.

In beam search a phrase is looked up piece by piece, and a piece that the model does not have is dropped while the rest
of the phrase is still favoured, which would favour the wrong thing. So phrases that are not wholly in the
vocabulary are left out here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from lingting.engines.sherpa.reading import Vocabulary
from lingting.errors import ModelError
from lingting.text.words import HAN, has_han

_NOT_SAID = re.compile(r"[/:#@\x00-\x1f\x7f]+")
"""What has a meaning in the library's list of hot words, and control characters."""

_APART = re.compile(rf"(?<=[{HAN}])(?=\S)|(?<=\S)(?=[{HAN}])")


def clean(phrases: Sequence[str]) -> list[str]:
    """Phrases without characters that the library's list cannot carry; none empty, none twice."""
    cleaned = (" ".join(_NOT_SAID.sub(" ", phrase).split()) for phrase in phrases)
    return list(dict.fromkeys(phrase for phrase in cleaned if phrase))


def for_beam(phrases: Sequence[str], vocabulary: Vocabulary, *, spelled: bool) -> str:
    """The list for a stream in beam search; empty where the model knows none of the phrases.

    Args:
        spelled: Latin words are spelled from pieces, with the model's own list of them; else a word must be a token.
    """
    known: list[str] = []
    for phrase in clean(phrases):
        units = _APART.sub(" ", phrase.upper() if vocabulary.capitals else phrase).split()
        if all(_known(unit, vocabulary, spelled=spelled) for unit in units):
            known.append(" ".join(units))
    return "/".join(known)


def for_prompt(phrases: Sequence[str]) -> str:
    """The list for the prompt of a language model."""
    return ",".join(phrase.replace(",", " ") for phrase in clean(phrases))


def _known(unit: str, vocabulary: Vocabulary, *, spelled: bool) -> bool:
    return bool(vocabulary.pieces & {unit, "▁" + unit}) or (spelled and not has_han(unit))


def piece_list(sentence_piece: Path) -> str:
    """The pieces of a SentencePiece model and their scores, a line each with a tab between: what the library reads.

    The file is a protocol buffer (sentencepiece_model.proto): field 1 is repeated, a piece with its text in field 1 and
    its score in field 2.

    Raises:
        ModelError: the file is no such model.
    """
    try:
        lines = [f"{text}\t{score:g}" for text, score in _pieces(sentence_piece.read_bytes())]
    except (OSError, ValueError, IndexError, struct.error) as error:
        raise ModelError(f"{sentence_piece} is not a SentencePiece model: {error}") from error
    if not lines:
        raise ModelError(f"{sentence_piece} is not a SentencePiece model: it has no pieces")
    return "\n".join(lines) + "\n"


def _pieces(data: bytes) -> Iterator[tuple[str, float]]:
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text, score = "", 0.0
            for inner, content in _fields(value):
                if inner == 1 and isinstance(content, bytes):
                    text = content.decode("utf-8")
                elif inner == 2 and isinstance(content, bytes):
                    score = struct.unpack("<f", content)[0]
            yield text, score


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Fields of a message of protocol buffers: number and content, which is a number for variable-length integers."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind}")
        if place + size > len(data):
            raise ValueError("it breaks off")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
