"""Lists of hot words: their limits, the same for whoever gives them, and how several lists become one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lingting.errors import LingtingError

MAX_COUNT = 500
MAX_LENGTH = 64


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


def merged(*lists: Iterable[str]) -> tuple[str, ...]:
    """Several lists as one, each word once, where it first stands; what is over `MAX_COUNT` falls off the end."""
    return tuple(dict.fromkeys(word for words in lists for word in words))[:MAX_COUNT]
