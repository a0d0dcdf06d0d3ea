"""Capitals in English: sentences that an engine shouts are written as people write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lingting.text.words import OPENERS

_FREQUENT = re.compile(
    r"a|about|after|all|also|an|and|any|are|as|at|back|be|because|been|but|by|can|come|could|"
    r"day|did|do|down|each|even|find|first|for|from|get|give|go|good|great|had|has|have|he|her|"
    r"here|him|his|how|i|if|in|into|is|it|its|just|know|like|little|long|look|made|make|man|"
    r"many|may|me|more|most|much|must|my|new|no|not|now|of|off|old|on|one|only|or|other|our|"
    r"out|over|own|people|said|same|say|see|she|should|so|some|take|tell|than|that|the|their|"
    r"them|then|there|these|they|thing|think|this|those|time|to|too|two|under|up|upon|use|very|"
    r"want|was|way|we|well|were|what|when|where|which|while|who|will|with|work|would|year|you|"
    r"your"
)
"""Words that hardly any sentence does without: what has none may be a list of abbreviations, which is left alone."""


def calm(cores: Sequence[str], ends: Sequence[bool]) -> list[str]:
    """The words of English text, in small letters where all of a sentence is in capitals: ASK NOT becomes ask not.

    A sentence counts where it has two words or more, one of them a frequent one; its first letter is for the caller.

    Args:
        cores: the words without the marks behind them.
        ends: whether a sentence ends behind each.
    """
    result = list(cores)
    start = 0
    for index in range(len(cores)):
        if ends[index] or index == len(cores) - 1:
            if _shouted(cores[start : index + 1]):
                result[start : index + 1] = [_small(word) for word in cores[start : index + 1]]
            start = index + 1
    return result


def _shouted(words: Sequence[str]) -> bool:
    plain = [word.lstrip(OPENERS) for word in words]
    lettered = [word for word in plain if any(map(str.isalpha, word))]
    return (
        len(lettered) >= 2
        and all(word.isupper() for word in lettered)
        and any(len(word) > 1 for word in lettered)
        and any(_FREQUENT.fullmatch(re.split("['’]", word.lower())[0]) for word in lettered)
    )


def _small(word: str) -> str:
    """In small letters, but for what is spelled with full stops: U.S."""
    return word if "." in word.rstrip(".") else word.lower()
