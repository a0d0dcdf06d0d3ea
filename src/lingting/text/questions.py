"""Clear questions, by their words."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TAG = re.compile(
    r"(?:吗|(?:对|是|好|行|会)吧|(?<![什怎那这多])么|没有没有|好不好|行不行|对不对|是不是|可不可以|能不能|要不要|去不去)$"
)
_NOT_TAG = re.compile(r"干吗$")
_CHOICE = re.compile(
    r"是不是|有没有|能不能|会不会|要不要|可不可以|行不行|对不对|好不好|该不该|想不想|知不知道|需不需要|愿不愿意"
)
_ASKING = re.compile(
    r"什么|怎么|为什么|为何|哪里|哪儿|哪个|哪些|哪位|哪年|哪天|哪家|谁|多少|多久|多远|多大|多高|怎样|怎么样|(?<![十百千好零一二两三四五六七八九])几(?:点|个|号|岁|月|天)|干嘛|干吗"
)
_EMBEDDED = re.compile(
    r"知道|不知|看看|告诉|无论|不论|不管|取决于|决定|研究|讨论|考虑|了解|确认|检查|关于|任何|明白|清楚|记得|忘了|发现|说明|解释|介绍|想想|理解|懂|"
    r"学会|教你|教我|看到|听到|猜|问题是|询问|问问|看一下"
)
_INDEFINITE = re.compile(
    r"(?:什么|谁|哪里|哪儿|怎么|怎样|哪个|多少)[^，]{0,3}[都也]|没什么|没有什么|没多少|没有多少|多少[有能会]?[点些]|什么的$|不怎么|怎么也|怎么都|"
    r"谁知|多少年来|好多少|什么(?:[^，]{1,6})什么|谁(?:[^，]{1,6})谁|哪里(?:[^，]{1,6})哪里|怎么(?:[^，]{1,4})怎么|几个月|好几|几天[前后来]"
)
_STATES = re.compile(r"(?:还|正|在|可|才|着)[^，]*呢$")

_PERSON = "i|you|he|she|it|we|they"
_BE = "is|are|was|were"
_DO = "do|does|did|have|has"
_MAY = "can|could|will|would|should"
_INVERTED = re.compile(
    r"(?:(?:so|and|but|well|ok|okay|oh|hey|hi|hello|now|then) )?(?:"
    rf"(?:what|where|when|why|how|who|whom)(?:'s|'re| (?:{_BE}|{_DO}|{_MAY}|am)\b(?! (?:said|not)\b))"
    rf"|how (?:many|much|long|far|old|often|big|tall) .*\b(?:{_BE}|{_DO}|{_MAY})\b"
    rf"|(?:what|which) (?:time|day|color|colour|kind|one|year|way|city|language) (?:{_BE}|{_DO}|{_MAY})\b"
    rf"|(?:{_BE}|{_MAY}|isn't|aren't|wasn't|weren't|can't|couldn't|won't|wouldn't|shouldn't) "
    rf"(?:{_PERSON}|there|this|that|these|those|the|your|my|our|his|her|their|anyone|anybody|someone|everyone)\b"
    rf"|(?:{_DO}|am|don't|doesn't|didn't|haven't|hasn't|may|shall) (?:{_PERSON}|anyone|anybody)\b"
    r")"
)
_TAG_ENGLISH = re.compile(rf"\b(?:{_BE}|{_DO}|{_MAY})n't (?:{_PERSON})$")


def chinese(cores: Sequence[str], marks: Sequence[str]) -> bool:
    """Whether a Chinese sentence is a clear question, by its last clause (its last two, when the last is short).

    Args:
        cores: the units of the sentence, without punctuation.
        marks: the marks behind them, but for the last.
    """
    last = len(cores) - 1
    start = next((index + 1 for index in range(last - 1, -1, -1) if marks[index] and last - index >= 3), 0)
    clause = "".join(cores[start:])
    if _NOT_TAG.search(clause) or _TAG.search(clause):
        return True
    if _STATES.search(clause) and not _ASKING.search(clause):
        return False
    if clause.endswith("呢") and (len(clause) <= 6 or _ASKING.search(clause) or _CHOICE.search(clause)):
        return True
    asking = _CHOICE.search(clause) or (None if _INDEFINITE.search(clause) else _ASKING.search(clause))
    if not asking:
        return False
    embedded = _EMBEDDED.search(clause, 0, asking.start())
    return not embedded or bool(re.match(r"^(?:请问|你知道|你们知道|您知道)", clause) and clause.endswith(("吗", "呢")))


def ends_asking(cores: Sequence[str], index: int) -> bool:
    """Whether unit `index` is a particle that ends a question wherever it stands (吗 that is no part of a word)."""
    if cores[index] != "吗" or (index and cores[index - 1] == "干"):
        return False
    return index + 1 >= len(cores) or cores[index + 1] not in {"啡", "的", "吗"}


def english(cores: Sequence[str]) -> bool:
    """Whether an English sentence is a clear question: it begins inverted, or ends in a tag ("isn't it")."""
    sentence = " ".join(cores).lower().replace("’", "'")
    return bool(_INVERTED.match(sentence) or _TAG_ENGLISH.search(sentence))
