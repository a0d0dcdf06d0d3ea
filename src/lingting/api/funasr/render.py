"""Replies in the shape that all clients of FunASR read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from lingting.domain import Sentence
from lingting.text.words import PUNCTUATION, is_han


def reply(mode: str, text: str, name: str, *, is_final: bool = False) -> dict[str, Any]:
    """What every reply has."""
    return {"mode": mode, "text": text, "wav_name": name, "is_final": is_final}


def times(sentences: Sequence[Sentence]) -> dict[str, Any]:
    """`timestamp` and `stamp_sents` of Chinese text; nothing where there is anything else.

    Clients walk through the pairs by characters, and disagree on how many a Latin word or a number has.
    """
    words = [word for sentence in sentences for word in sentence.words]
    bare = [word.text.strip(PUNCTUATION) for word in words]
    if not words or not all(len(text) == 1 and is_han(text) for text in bare):
        return {}
    pairs = [[round(word.start * 1000), round(word.end * 1000)] for word in words]
    return {"timestamp": msgspec.json.encode(pairs).decode(), "stamp_sents": list(map(_stamped, sentences))}


def _stamped(sentence: Sentence) -> dict[str, Any]:
    pairs = [[round(word.start * 1000), round(word.end * 1000)] for word in sentence.words]
    text = sentence.text
    return {
        "text_seg": " ".join(word.text.strip(PUNCTUATION) for word in sentence.words),
        "punc": text[-1] if text and text[-1] in PUNCTUATION else "",
        "start": pairs[0][0] if pairs else round(sentence.start * 1000),
        "end": pairs[-1][1] if pairs else round(sentence.end * 1000),
        "ts_list": pairs,
    }
