"""Lists of hot words: their limits, the same for whoever gives them, and how several lists become one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import unquote_to_bytes

from lingting.errors import LingtingError

MAX_COUNT = 500
MAX_LENGTH = 64

_COMMAS = re.compile(r"[,，]")
_NOT_UTF8 = "hot_words is not URL-encoded UTF-8"


class HotWordsError(LingtingError):
    """The list of hot words is too long, or one of them is; the message says which and what the limit is."""


def check(words: Sequence[str]) -> None:
    """Refuse a list over the limits.

    Raises:
        HotWordsError: there are more than `MAX_COUNT` words, or one has more than `MAX_LENGTH` characters.
    """
    if len(words) > MAX_COUNT:
        raise HotWordsError(f"at most {MAX_COUNT} hot words are allowed, got {len(words)}")
    for word in words:
        if len(word) > MAX_LENGTH:
            raise HotWordsError(f"a hot word may have {MAX_LENGTH} characters, got {len(word)}: {word[:20]}…")


def of_header(encoded: str) -> tuple[str, ...]:
    """The words of a request's header: URL-encoded UTF-8 with commas between, or plain text.

    Raises:
        HotWordsError: it is not UTF-8, holds too many words, or one of them is too long or not printable.
    """
    try:
        text = unquote_to_bytes(encoded.replace("+", " ").encode("latin-1")).decode("utf-8")
    except UnicodeEncodeError:
        text = encoded
    except UnicodeDecodeError:
        raise HotWordsError(_NOT_UTF8) from None
    return of_text(text)


def of_query(decoded: str) -> tuple[str, ...]:
    """The words of a query parameter whose URL-encoding is already undone, with commas between.

    Raises:
        HotWordsError: as `of_header`.
    """
    if "\ufffd" in decoded:
        raise HotWordsError(_NOT_UTF8)
    return of_text(decoded)


def of_text(text: str) -> tuple[str, ...]:
    """The words of a list with commas between.

    Raises:
        HotWordsError: there are too many words, or one of them is too long or not printable.
    """
    words = tuple(dict.fromkeys(word.strip() for word in _COMMAS.split(text) if word.strip()))
    if len(words) > MAX_COUNT:
        raise HotWordsError(f"hot_words may hold {MAX_COUNT} words, got {len(words)}")
    for word in words:
        if len(word) > MAX_LENGTH:
            raise HotWordsError(f"a hot word may have {MAX_LENGTH} characters, got {len(word)}")
        if not word.isprintable():
            raise HotWordsError(f"a hot word has unprintable characters: {word[:40]!r}")
    return words


def merged(*lists: Iterable[str]) -> tuple[str, ...]:
    """Several lists as one, each word once, where it first stands; what is over `MAX_COUNT` falls off the end."""
    return tuple(dict.fromkeys(word for words in lists for word in words))[:MAX_COUNT]
