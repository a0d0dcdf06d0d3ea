"""Hot words as they are typed or listed in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from lingting.access.hot_words import HotWordsChange

_SEPARATORS = re.compile(r"[,，\r\n]")


def change_of(
    add: Iterable[str] | None, remove: Iterable[str] | None, file: TextIO | None, clear: bool
) -> HotWordsChange:
    """What the options ask for; words may also stand between commas, as flash takes them.

    Raises:
        ManagementError: the file is not text.
    """
    from lingting.access.errors import ManagementError
    from lingting.access.hot_words import HotWordsChange

    try:
        listed = file.read() if file is not None else ""
    except UnicodeDecodeError:
        raise ManagementError("the file of hot words is not UTF-8 text; save it as UTF-8") from None
    return HotWordsChange(_words((*(add or ()), listed)), _words(remove or ()), clear)


def _words(texts: Iterable[str]) -> tuple[str, ...]:
    """The words in several texts, without empty ones."""
    return tuple(word.strip() for text in texts for word in _SEPARATORS.split(text) if word.strip())
