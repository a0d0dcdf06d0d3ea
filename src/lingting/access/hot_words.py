"""The hot words that an operator gives to a tenant, an app or an API key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lingting import hot_words
from lingting.access.errors import ManagementError


@dataclass(frozen=True, slots=True)
class HotWordsChange:
    """What to do with a list: empty it when `clear`, then take words out, then put words in."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    clear: bool = False

    def applied(self, words: Iterable[str]) -> tuple[str, ...]:
        """The list after the change, each word once, in the order in which they came.

        Raises:
            ManagementError: a word to remove is not there, one to add cannot be a hot word, or the list gets too long.
        """
        kept = {} if self.clear else dict.fromkeys(words)
        for word in self.remove:
            if word.strip() not in kept:
                raise ManagementError(f"the hot word {word.strip()[:64]!r} is not in the list; `show` prints the list")
            del kept[word.strip()]
        for word in self.add:
            if not word.strip() or not word.isprintable():
                raise ManagementError(f"a hot word needs printable characters, got {word[:64]!r}")
            kept[word.strip()] = None
        _check(tuple(kept))
        return tuple(kept)


def check_together(of_tenant: Iterable[str], own: Iterable[str], name: str) -> None:
    """Refuse lists that together are longer than one list may be, so that no word is ever passed over in silence.

    Raises:
        ManagementError: they are; the message names the app or key.
    """
    count = len({*of_tenant, *own})
    if count > hot_words.MAX_COUNT:
        raise ManagementError(
            f"{name!r} would have {count} hot words, its tenant's and its own; "
            f"at most {hot_words.MAX_COUNT} are allowed together"
        )


def _check(words: tuple[str, ...]) -> None:
    try:
        hot_words.check(words)
    except hot_words.HotWordsError as error:
        raise ManagementError(str(error)) from None
