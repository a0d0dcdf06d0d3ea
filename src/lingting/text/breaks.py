"""Where Chinese may be broken: pauses between words, and the places where no mark can stand."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise

from lingting.domain import RawWord, Seconds
from lingting.text.words import is_han

STOP_LEFT = 3
"""Units a sentence has at least, unless the pause behind it is long."""
BORDER_LEFT = 7
"""Units before a segment border without a pause, for a comma there."""
BORDER_RIGHT = 4
"""Units behind it."""
OPENER_LEFT = 6
"""Units before a conjunction, for a comma there without a pause or border."""

_NOT_BEFORE = {
    **dict.fromkeys("们吗呢吧嘛啊呀者", ""),
    "的": "确士",
    "地": "方铁图球区址点震面下位",
    "得": "到出知",
    "了": "解不",
    "着": "急手重眼",
    "之": "后前所类间",
    "等": "到于待会一我他你等",
    "过": "去来了年程几后",
    "和": "平谐",
    "与": "其此",
    "及": "时格",
    "或": "者许",
    "性": "格能别质",
    "化": "学妆验",
}
"""Characters that no mark stands before, and the characters with which they begin a word that it may stand before."""
_NOT_AFTER = {
    **dict.fromkeys("把被跟让很最更没才也又再这那每各某该两几", ""),
    "是": "但可于还就不总要凡老倒",
    "在": "现存实所正潜内外自",
    "和": "温饱总",
    "与": "参赠",
    "及": "涉普危波",
    "或": "抑",
    "对": "反绝相不一应针面",
    "从": "服听顺",
    "向": "方倾意志动走一",
    "给": "送交发",
    "以": "所可难足予",
    "为": "认作行成以因人",
    "于": "终",
    "由": "自理事",
    "比": "对相占无",
    "使": "行大天促致即",
    "将": "即",
    "不": "从",
    "就": "成造",
    "都": "首成古京",
    "还": "归偿退",
    "第": "及",
    "一": "第唯统之周期万专单",
    "的": "目是好真对有",
    "地": "各土当外本基工内产耕草场断",
    "得": "值觉获取懂记不",
    "并": "一合",
    "之": "总",
    "所": "场究出厕",
    "有": "没拥具国含持只所",
}
"""Characters that no mark stands behind, and the characters behind which they end a word that it may follow."""
_PAUSED_AFTER = frozenset("了有到")
"""Characters that a mark stands behind only with a pause."""
_LEADING_WORDS = frozenset({
    "万一", "如果", "只要", "因为", "所以", "根据", "通过", "或者", "并且", "而且", "但是", "可是", "即使", "虽然",
})  # fmt: skip
"""Words that no sentence ends with: behind them no mark without a long pause, and then a comma."""
_PRONOUNS = frozenset({"我们", "你们", "他们"})
"""Words that open a clause more often than they end one: no comma behind them."""
_CLAUSE_OPENERS = ("但是", "可是", "然而", "因此", "所以", "因为", "而且", "否则", "尽管", "于是", "虽然")
_NOT_BEFORE_OPENER = frozenset("是正就都也不才之只有和与个种其")
_NUMERAL = re.compile(r"^(?:[零〇一二三四五六七八九十百千万亿两幺点]|[\d.,:%]+)$")


def gaps(words: Sequence[RawWord], speech: Sequence[tuple[Seconds, Seconds]] = ()) -> list[Seconds]:
    """Silence between each word and the next, in seconds.

    An aligner often stretches a word over the silence beside it; so silence between spans of speech counts as a pause
    behind the word that it lies in, or before that word when more of the word's time lies behind the silence.
    """
    result = [max(0.0, following.start - word.end) for word, following in pairwise(words)]
    starts = [word.start for word in words]
    for (_, silent), (sounding, _) in pairwise(speech):
        index = bisect_right(starts, (silent + sounding) / 2) - 1
        if index >= 0 and words[index].end - sounding > max(0.0, silent - words[index].start):
            index -= 1
        if 0 <= index < len(result):
            result[index] = max(result[index], sounding - silent)
    return result


def until_mark(marks: Sequence[str], start: int) -> int:
    """How many units follow from `start` up to the next mark or the end, counted up to `BORDER_RIGHT`."""
    stop = min(len(marks), start + BORDER_RIGHT)
    return next((index + 1 - start for index in range(start, stop) if marks[index]), stop - start)


def may_break(cores: Sequence[str], index: int, *, paused: bool) -> bool:
    """Whether a mark may stand behind unit `index`, which is not the last; fewer places without a pause there."""
    before, after = cores[index], cores[index + 1]
    if _NUMERAL.match(before) and _NUMERAL.match(after):
        return False
    if not is_han(before) and not is_han(after):
        return paused
    second = cores[index + 2] if index + 2 < len(cores) else ""
    if after in _NOT_BEFORE and (not second or second not in _NOT_BEFORE[after]):
        return False
    first = cores[index - 1] if index else ""
    if before in _NOT_AFTER and (not first or first not in _NOT_AFTER[before]):
        return False
    return paused or before not in _PAUSED_AFTER


def leads(cores: Sequence[str], index: int) -> bool:
    """Whether a word that no sentence ends with stands before the place behind unit `index`."""
    return "".join(cores[max(0, index - 1) : index + 1]) in _LEADING_WORDS


def opens(cores: Sequence[str], index: int) -> bool:
    """Whether a word that no comma follows stands before the place behind unit `index`."""
    return "".join(cores[max(0, index - 1) : index + 1]) in _PRONOUNS | _LEADING_WORDS


def opens_clause(cores: Sequence[str], index: int) -> bool:
    """Whether a conjunction that takes a comma before it begins at unit `index`."""
    two = "".join(cores[index : index + 2])
    return two in _CLAUSE_OPENERS and (index == 0 or cores[index - 1] not in _NOT_BEFORE_OPENER)


def inside_word(cores: Sequence[str], index: int, is_word: Callable[[str], bool]) -> bool:
    """Whether a word of two to four characters reaches across the place behind unit `index`, and the text is not just
    as well read as one word that ends there and another that begins behind it."""

    def word(first: int, length: int) -> bool:
        found = cores[first : first + length] if first >= 0 else ()
        return len(found) == length and all(len(c) == 1 and is_han(c) for c in found) and is_word("".join(found))

    lengths = range(2, 5)
    if any(word(index + 1 - length, length) for length in lengths) and any(word(index + 1, n) for n in lengths):
        return False
    return any(word(first, length) for length in lengths for first in range(index - length + 2, index + 1))
