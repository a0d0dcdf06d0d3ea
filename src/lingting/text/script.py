"""Chinese script: simplified or traditional characters, one for one."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

import opencc

from lingting.text.words import has_han

Script: TypeAlias = Literal["simplified", "traditional", "as-is"]

_CONFIGURATIONS = {"simplified": "t2s", "traditional": "s2t"}


def convert(text: str, script: Script) -> str:
    """Write `text` in `script` with OpenCC, which looks at whole phrases.

    The result has exactly as many characters as `text`, so times of characters stay true; a phrase that OpenCC would
    write with more or fewer characters is converted character by character.
    """
    if script == "as-is" or not has_han(text):
        return text
    converter = _converter(_CONFIGURATIONS[script])
    converted: str = converter.convert(text)
    if len(converted) == len(text):
        return converted
    characters = [converter.convert(character) for character in text]
    return "".join(new if len(new) == 1 else old for new, old in zip(characters, text, strict=True))


@lru_cache(maxsize=2)
def _converter(configuration: str) -> opencc.OpenCC:
    return opencc.OpenCC(configuration)
