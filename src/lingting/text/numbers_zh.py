"""Chinese numbers in a text: where they stand and how they are written.

What becomes digits and what stays follows GB/T 15835-2011: dates, clock times, measures, money, percentages, numbers of
several digits do; idioms, approximations (二三十, 十几, 几百) and a single 一 or 两 before a measure word do not. Round
numbers keep their 万 and 亿.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from lingting.text.grammars import digits

NUMERALS = frozenset("零〇一二三四五六七八九十百千万亿两幺")

_N = "[零〇一二三四五六七八九十百千万亿两幺]"
_D = "[一二两三四五六七八九]"
_TEN = f"(?:{_D}?十{_D}?)"
_HUNDRED = f"(?:{_D}百(?:零{_D}|{_D}十{_D}?|{_D})?)"
_THOUSAND = f"(?:{_D}千(?:零{_D}十{_D}?|零{_D}|零?{_HUNDRED}|{_D}十{_D}?|{_D})?)"
_BELOW = f"(?:{_THOUSAND}|{_HUNDRED}|{_TEN}|{_D})"
_WAN = f"(?:{_BELOW}万(?:零?(?:{_THOUSAND}|{_HUNDRED}|{_D}十{_D}?|{_D}))?)"
_YI = f"(?:(?:{_WAN}|{_BELOW})亿(?:零?(?:{_WAN}|{_THOUSAND}|{_HUNDRED}|{_D}十{_D}?|{_D}))?)"
_CARDINAL = re.compile(f"(?:{_YI}|{_WAN}|{_THOUSAND}|{_HUNDRED}|{_TEN})")
_DIGITS = re.compile("[零〇一二三四五六七八九幺]+")
_ONE = re.compile(_D)
_VALUE = {**{c: str(i) for i, c in enumerate("零一二三四五六七八九")}, "〇": "0", "幺": "1", "两": "2"}
_CONTEXT = 8
"""Characters around a number that say what it is."""
_ASCENDING = "一二三四五六七八九"

_HOUR = f"(?:二十[一二三四]?|十{_D}?|[零一二两三四五六七八九])"
_MINUTE = f"(?:[二三四五]?十{_D}?|零{_D})"
_DAYPART = re.compile(
    r"(?:早上|早晨|清晨|上午|中午|下午|傍晚|晚上|夜里|夜间|半夜|深夜|凌晨|午后|今晚|明晚|昨晚|今早|明早|[日号天]晚|[日号天]早|北京时间)$"
)
_CLOCK_AFTER = re.compile(
    "点(?:[到至][零一二三四五六七八九十两]+点|以前|之前|以后|之后|左右|多钟|前|开会|上班|下班|上课|起床|出发)"
)
_UNITS = (
    "公里|千米|公斤|千克|毫克|厘米|毫米|平方米|平方公里|平米|立方米|立方|公顷|公分|毫升|海里|千瓦|摄氏度|"
    "美元|欧元|英镑|日元|港币|港元|人民币|块钱|元钱|元(?![化论性对一二素旦首气宵帅月宇])|米(?![饭粒粉色面线兰])|吨|倍速"
)
_EXCEPTIONS = re.compile(
    "一五一十|十全十美|十拿九稳|十万火急|十恶不赦|十有八九|十之八九|十字|十足|十二生肖|十二星座|十年寒窗|十年树木|百年树人|十里|十八般|十八罗汉|十大|十来|"
    "三三两两|三五成群|三六九等|三七二十一|九九八十一|七十二变|三十六计|三百六十行|三十而立|四十不惑|五十步笑百步|二百五(?![十块元个人名])|"
    "一千零一夜|八十一难|双十一|双十二|十一黄金周|十一假期|十一长假|国庆十一|十一期间|十九大|二十大|十八大|十七大|十四五|十三五|十五五|"
    "(?<![一二三四五六七八九])十分(?![钟之])|一百二十个心|一百个(?:放心|不)|九一八|一二九|三八节|五四|六一|八一|七一|(?<!块)五一(?!二)|八月十五(?![日号])|两点一线|一点一[点滴]|百分百|"
    "一元[一二三]次|一元复始|五月天|三月三|六月雪|七月流火|三百六十度|"
    "(?:农历|阴历|腊月|正月|旧历|初)[零一二三四五六七八九十月]+|大年[一二三四五六七八九十]+|一一[对列介说道]|"
    "十一届|十里八乡|千千万万|万万|九五之尊|九九归一|九死一生|七七八八|五五开|二八|三七分|四六级|八九不离十|十个手指"
)
_MEASURE = re.compile("[个年月日号点分块元岁天次人名家位条本张只件米公吨度倍多种辆台套座层届级秒周]|小时")
_PATTERN = re.compile(
    f"(?P<percent>百分之(?:百(?!{_N})|{_N}+(?:点[零一二三四五六七八九]+)?))"
    r"|(?P<letter>(?<= )[A-Z]) (?P<digit>[一二三四五六七八九])(?![个次位种下零一二两三四五六七八九十百千万点])"
    r"|(?P<generation>[二三四五六])(?P<g> G(?= ))"
    f"|(?P<denominator>{_N}+)分之(?P<numerator>{_N}+)"
    f"|(?P<hour>{_HOUR})点(?:(?P<minute>{_MINUTE}(?!{_N}))|(?P<units>[一二三四五六七八九])(?=分)|(?=半|整|钟|[一三]刻))"
    f"|(?P<decimal>{_N}+点[零一二三四五六七八九]+)(?!{_N})"
    f"|(?P<month>十[一二]?|一零|[一二三四五六七八九])(?=月(?!饼|亮|球|光|经|色|台|老))"
    f"|(?P<run>{_N}+)"
)


def spans(text: str) -> Iterator[tuple[int, int, str]]:
    """The numbers in `text` that become digits: first offset, offset behind the last, and the digits; in order."""
    kept = {offset for match in _EXCEPTIONS.finditer(text) for offset in range(*match.span())}
    for match in _PATTERN.finditer(text):
        start, end = match.span()
        before, after = text[max(0, start - _CONTEXT) : start], text[end : end + _CONTEXT]
        digits_beside = any(c.isascii() and c.isdigit() for c in (before.rstrip()[-1:], after.lstrip()[:1]))
        if not digits_beside and kept.isdisjoint(range(start, end)):
            yield from _written(match, before, after)


def _written(match: re.Match[str], before: str, after: str) -> Iterator[tuple[int, int, str]]:
    if match["hour"]:
        return _clock(match)
    if match["run"]:
        return _run(before, match["run"], after, match.start())
    if match["decimal"] and _DAYPART.search(before):
        whole = match["decimal"].partition("点")[0]
        return _replace(match.start(), match.start() + len(whole), _number(whole))
    return _replace(*match.span(), _phrase(match, before, after))


def _replace(start: int, end: int, new: str) -> Iterator[tuple[int, int, str]]:
    if new:
        yield start, end, new


def _phrase(match: re.Match[str], before: str, after: str) -> str:
    """What is written for a number that is told by the words in it; "" when it stays."""
    new = ""
    if match["percent"]:
        number = match["percent"].removeprefix("百分之")
        value = "100" if number == "百" else _number(number)
        new = f"{value}%" if value and not after.startswith(("几", "来")) else ""
    elif match["letter"]:
        new = match["letter"] + _VALUE[match["digit"]]
    elif match["generation"]:
        new = _VALUE[match["generation"]] + "G"
    elif match["denominator"]:
        lower, upper = _number(match["denominator"]), _number(match["numerator"])
        new = f"{upper}/{lower}" if lower and upper and not before.endswith("又") else ""
    elif match["month"]:
        new = _number(match["month"]) if not before.endswith(("个", "几", "数")) else ""
    elif match["decimal"]:
        new = _number(match["decimal"])
    return new


def _clock(match: re.Match[str]) -> Iterator[tuple[int, int, str]]:
    if hour := _number(match["hour"]):
        yield match.start("hour"), match.end("hour"), hour
    said = match["minute"] or match["units"]
    if said:
        minute = f"0{_VALUE[said[1]]}" if said[0] == "零" else _number(said)
        group = "minute" if match["minute"] else "units"
        yield match.start(group), match.end(group), minute


def _run(before: str, run: str, after: str, start: int) -> Iterator[tuple[int, int, str]]:
    if before.endswith(("几", "数", "好多")) or after.startswith(("几", "来个", "来岁", "来年")):
        return
    if len(run) == 1 and run != "十":
        if _single_counts(before, run, after):
            yield start, start + 1, _VALUE[run]
        return
    if _DIGITS.fullmatch(run):
        if _digits_count(before, run, after):
            yield start, start + len(run), "".join(_VALUE[c] for c in run)
        return
    if not _CARDINAL.fullmatch(run):
        return
    if run == "十" and not _MEASURE.match(after):
        return
    if run[-1] in "万亿":
        yield from _round(run, start)
    elif new := _number(run):
        yield start, start + len(run), new


def _round(run: str, start: int) -> Iterator[tuple[int, int, str]]:
    """Pieces of a number that ends in 万 or 亿, which stay: 一亿三千万 is written 1亿3000万."""
    pieces = [(match.start(), match.end(), match.group()) for match in re.finditer("[^万亿]+", run)]
    written = [(low, high, _number(piece.lstrip("零"))) for low, high, piece in pieces]
    if all(new for _, _, new in written):
        for low, high, new in written:
            yield start + low, start + high, new


def _single_counts(before: str, run: str, after: str) -> bool:
    """Whether a single digit is one that GB/T 15835 writes as digit: a date, a measure, money, a clock time."""
    if run not in _VALUE or run in "零〇幺":
        return False
    return bool(
        (after.startswith(("日", "号")) and before.endswith("月"))
        or (after.startswith("号") and not before.endswith(("第", "头")) and run != "两")
        or (after.startswith("点") and (_DAYPART.search(before) or before.endswith(("点到", "点至"))))
        or _CLOCK_AFTER.match(after)
        or (after.startswith("度") and before.endswith(("零下", "零上", "气温", "摄氏", "高温", "低温")))
        or re.match(f"(?:{_UNITS})|块{_D}(?!{_N})", after)
        or (re.search(f"{_D}[米块度]$", before) and not re.match(f"{_N}|[个位条把张]", after))
    )


def _digits_count(before: str, run: str, after: str) -> bool:
    """Whether a row of digits is a number that is read digit by digit: a year, a telephone number, an identifier."""
    if run in _ASCENDING:
        return False
    if len(run) >= 3:
        return True
    if run[0] in "零〇" or run[1] in "零〇":
        return run not in {"零零", "〇〇"} or after.startswith("后")
    return after.startswith("年") and run[0] in "六七八九" and not before.endswith(("十", "有", "过", "了"))


@lru_cache(maxsize=4096)
def _number(said: str) -> str:
    """The digits of a number said as a cardinal, a row of digits or a decimal; "" when it is none of them."""
    whole, point, fraction = said.partition("点")
    if _DIGITS.fullmatch(whole):
        new = "".join(_VALUE[c] for c in whole)
        new = str(int(new)) if point and len(whole) == 1 else new
    elif _ONE.fullmatch(whole):
        new = _VALUE[whole]
    elif _CARDINAL.fullmatch(whole):
        new = digits(whole, "zh")
    else:
        return ""
    if point:
        if not new.isdigit() or not _DIGITS.fullmatch(fraction):
            return ""
        new += "." + "".join(_VALUE[c] for c in fraction)
    return new if re.fullmatch(r"\d+(?:\.\d+)?", new) else ""
