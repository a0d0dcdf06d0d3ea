"""Text that only grows, out of guesses that may change: what two guesses in a row agree on is sent, and stays.

The method is LocalAgreement (Liu et al., "Low-Latency Sequence-to-Sequence Speech Recognition and Translation by
Partial Hypothesis Selection", 2020).
"""

from __future__ import annotations

from lingting.text.words import has_han


class Growing:
    """What was sent of one utterance, or of one turn of several. Event loop only."""

    def __init__(self) -> None:
        self.sent = ""
        self._previous = ""

    def guess(self, text: str) -> str:
        """The piece to append after another guess; empty while the guesses don't agree on more."""
        agreed = _whole_words(_common(self._previous, text), text)
        self._previous = text
        return self._more(agreed)

    def final(self, text: str) -> str:
        """The piece to append now that `text` is what stands behind all guesses; empty where what was sent is not
        its beginning, so that nothing can be appended."""
        self._previous = text
        return self._more(text)

    def _more(self, text: str) -> str:
        if not text.startswith(self.sent):
            return ""
        piece, self.sent = text[len(self.sent) :], text
        return piece


def _common(one: str, other: str) -> str:
    """The beginning that two texts share."""
    length = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return one[:length]


def _whole_words(agreed: str, text: str) -> str:
    """`agreed`, the beginning of `text`, without a word that may go on and without the space or comma behind it."""
    end = len(agreed)
    if end < len(text) or not agreed:
        while end and agreed[end - 1].isalnum() and not has_han(agreed[end - 1]):
            end -= 1
    else:
        end = _last_unit(agreed)
    return agreed[:end].rstrip(" ,.，。、？！?!")


def _last_unit(text: str) -> int:
    """Where the last character, or the last Latin word, of a text begins: it may not be whole yet."""
    end = len(text) - 1
    while end > 0 and not has_han(text[end]) and text[end - 1].isalnum() and not has_han(text[end - 1]):
        end -= 1
    return end
