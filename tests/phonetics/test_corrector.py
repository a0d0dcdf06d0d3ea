"""Text by sound: what is rewritten, what is left alone, and what a caller is told."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingting.domain import Hypothesis
from lingting.errors import ModelError
from lingting.phonetics import Corrector
from lingting.phonetics.corrector import Tuning
from lingting.phonetics.lattice import Sounds
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import SHIPPED, CompactModel, KenlmModel

RIGHT = """今天天气很好
我们明天开会讨论这个项目
国家统计局的数据显示
请把会议记录发给大家
他在北京大学学习了四年
这家餐厅的菜味道不错
公司去年的销售额增长了两成
医生建议他多休息少熬夜
下午三点在会议室见面
飞机因为大雾推迟了两个小时
孩子们在公园里放风筝
我觉得这个方案还可以改进
警方正在调查事故的原因
图书馆周末也对外开放
他们家的空调坏了需要修理
经济增长速度逐渐放缓
这部电影讲述了一个感人的故事
请问附近有没有地铁站
新产品将在下个月发布
她从小就喜欢画画和唱歌
老师让学生们按时完成作业
暴雨造成多条道路积水
专家认为房价不会大幅下降
我昨天晚上没有睡好
手机的电池需要更换
他们计划明年春天结婚
这座城市有两千多年的历史
请在合同的最后一页签字
超市里的水果又便宜了
科学家发现了一种新的材料""".splitlines()


def guesses(*texts: str) -> list[Hypothesis]:
    return [Hypothesis(text, -4.0 - index / 2) for index, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("甚至出现交易几乎停制的情况", "甚至出现交易几乎停滞的情况"),
        ("望子成龙望女成缝", "望子成龙望女成凤"),
        ("国家统计局的数剧显示", "国家统计局的数据显示"),
        ("他讲话的时候含校九泉", "他讲话的时候含笑九泉"),
        ("这位爵士月大师含校九泉", "这位爵士乐大师含笑九泉"),
    ],
)
def test_a_word_that_only_sounds_right_becomes_the_word(corrector: Corrector, heard: str, meant: str) -> None:
    assert corrector.correct(guesses(heard)).text == meant


def test_at_most_one_right_character_in_two_hundred_is_changed(corrector: Corrector) -> None:
    changed = sum(
        sum(before != after for before, after in zip(text, corrector.correct(guesses(text)).text, strict=True))
        for text in RIGHT
    )
    assert changed <= 0.005 * sum(map(len, RIGHT))


def test_only_han_characters_are_touched_and_each_keeps_its_place(corrector: Corrector) -> None:
    text = "OK，2024年 GDP 的数剧显示 3.5%!"
    assert corrector.correct(guesses(text)).text == "OK，2024年 GDP 的数据显示 3.5%!"


@given(st.text(st.sampled_from("的数剧显示我你行长重庆龘〇㐂𠮷，。 aZ9%é\n"), max_size=60))
def test_any_text_keeps_its_length_and_all_that_is_not_han(corrector: Corrector, text: str) -> None:
    corrected = corrector.correct(guesses(text)).text
    assert len(corrected) == len(text)
    assert re.sub("[一-鿿]", "汉", corrected) == re.sub("[一-鿿]", "汉", text)


def test_what_was_changed_and_why_is_told(corrector: Corrector) -> None:
    correction = corrector.correct(guesses("GDP 的数剧显示"))
    (change,) = correction.changes
    assert (change.position, change.before, change.after, change.reason) == (5, "数剧", "数据", "same sound")
    assert correction.explain() == f"5: 数剧 -> 数据 (same sound, {change.cost:.1f} nats)"


def test_the_changes_are_all_that_differs_from_the_hypothesis(corrector: Corrector) -> None:
    hypotheses = guesses("国家众典服质行业", "国家重点服质行业", "国家重点扶直行业")
    correction = corrector.correct(hypotheses)
    text = hypotheses[correction.index].text
    for change in correction.changes:
        end = change.position + len(change.before)
        assert text[change.position : end] == change.before
        text = text[: change.position] + change.after + text[end:]
    assert text == correction.text == "国家重点扶植行业"


def test_a_better_hypothesis_is_started_from(corrector: Corrector) -> None:
    assert corrector.correct(guesses("最佳存医院演奏奖", "最佳纯音乐演奏奖")).index == 1


def test_the_first_hypothesis_stays_where_another_is_hardly_better(lexicon: Lexicon) -> None:
    hypotheses = guesses("京梁守护者", "精灵守护者")
    model = CompactModel(lexicon)
    assert Corrector(lexicon, model, Tuning(first=0.0)).correct(hypotheses).index == 1
    assert Corrector(lexicon, model, Tuning(first=4.0)).correct(hypotheses).index == 0


@pytest.mark.parametrize(("confidence", "text"), [(0.3, "数据显示"), (0.999, "数剧显示")])
def test_a_character_of_which_the_engine_was_sure_stays(lexicon: Lexicon, confidence: float, text: str) -> None:
    corrector = Corrector(lexicon, CompactModel(lexicon), Tuning(sounds=Sounds(same=1.0, tone=4.0, sure=3.0)))
    assert corrector.correct([Hypothesis("数剧显示", -4.0, (confidence,) * 4)]).text == text


def test_the_same_words_in_another_place_are_judged_by_their_own_confidence(lexicon: Lexicon) -> None:
    corrector = Corrector(lexicon, CompactModel(lexicon), Tuning(sounds=Sounds(same=1.0, tone=4.0, sure=3.0)))
    sure, unsure = (0.999,) * 4, (0.3,) * 4
    said = [Hypothesis("数剧显示，数剧显示，数剧显示", -4.0, (*unsure, 1.0, *sure, 1.0, *unsure))]
    assert corrector.correct(said).text == "数据显示，数剧显示，数据显示"


def test_confidence_of_another_length_than_the_text_is_no_confidence(lexicon: Lexicon) -> None:
    corrector = Corrector(lexicon, CompactModel(lexicon), Tuning(sounds=Sounds(same=1.0, tone=4.0, sure=3.0)))
    (one, other) = (corrector.correct([Hypothesis("数剧显示", -4.0, given)]) for given in ((0.999,), ()))
    assert one == other


def test_a_hypothesis_with_fewer_characters_never_wins_by_being_short(corrector: Corrector) -> None:
    assert corrector.correct(guesses("我们明天开会讨论", "我们开会")).index == 0


def test_text_without_chinese_is_the_first_hypothesis(corrector: Corrector) -> None:
    correction = corrector.correct(guesses("Good morning.", "Good mourning."))
    assert (correction.index, correction.text, correction.changes) == (0, "Good morning.", ())


def test_what_was_said_before_does_not_break_the_text(corrector: Corrector) -> None:
    assert corrector.correct(guesses("数剧显示"), context="国家统计局的").text == "数据显示"


def test_threads_share_a_corrector(corrector: Corrector) -> None:
    texts = ["国家统计局的数剧显示", "望子成龙望女成缝", *RIGHT] * 3
    alone = [corrector.correct(guesses(text)).text for text in texts]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: corrector.correct(guesses(text)).text, texts)) == alone


def test_nothing_that_only_the_build_needs_is_imported() -> None:
    code = (
        "import sys; from lingting.phonetics import Corrector; from lingting.domain import Hypothesis;"
        "Corrector.load().correct([Hypothesis('数剧', -1.0)]);"
        "print({'pypinyin', 'jieba', 'opencc'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_named_language_model_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"missing\.lm"):
        Corrector.load(tmp_path / "missing.lm")


def test_a_damaged_installation_says_so(tmp_path: Path) -> None:
    damaged = tmp_path / "compact.model"
    damaged.write_bytes(b"LTPHON01" + bytes(40))
    with pytest.raises(ModelError, match="install lingting again"):
        Lexicon(damaged)


ARPA = """\\data\\
ngram 1=6
ngram 2=2

\\1-grams:
-5\t<unk>
0\t<s>\t-0.5
-1.5\t</s>
-2\t数据\t-0.3
-2\t显示\t-0.3
-6\t数剧\t-0.3

\\2-grams:
-0.5\t<s> 数据
-0.5\t数据 显示

\\end\\
"""


def test_a_kenlm_file_is_used_when_named(tmp_path: Path, lexicon: Lexicon) -> None:
    file = tmp_path / "small.arpa"
    file.write_text(ARPA, encoding="utf-8")
    corrector = Corrector.load(file)
    assert corrector.language_model_name == "kenlm:small.arpa"
    assert corrector.correct(guesses("数剧显示"), hot_words=["显示"]).text == "数据显示"


def test_a_file_that_is_no_language_model_is_named_in_the_error(tmp_path: Path) -> None:
    file = tmp_path / "poem.lm"
    file.write_text("床前明月光", encoding="utf-8")
    with pytest.raises(ModelError, match=r"poem\.lm is not a KenLM file"):
        KenlmModel(file)


def test_the_language_model_that_is_shipped_is_the_one_that_its_notice_names() -> None:
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert digest in SHIPPED.with_name("NOTICES").read_text(encoding="utf-8")
    assert "LESSER GENERAL PUBLIC LICENSE" in SHIPPED.with_name("LGPL-2.1.txt").read_text(encoding="utf-8")


def test_the_language_model_that_is_shipped_runs_unless_another_is_chosen() -> None:
    assert Corrector.load().language_model_name == "kenlm:zh_CN.lm"
    assert Corrector.load("compact").language_model_name == CompactModel.name
    assert not Corrector.load("compact").unused_language_model


def test_the_compact_model_serves_where_there_is_no_kenlm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kenlm", None)
    corrector = Corrector.load()
    assert corrector.language_model_name == CompactModel.name
    assert "ufal-kenlm" in corrector.unused_language_model
    with pytest.raises(ModelError, match="ufal-kenlm"):
        Corrector.load(SHIPPED)


@pytest.mark.parametrize("between", ["，", " ", "、", " iPhone ", " GPT-4.5 "])
def test_a_sentence_goes_on_over_a_comma_and_over_a_latin_word(between: str) -> None:
    corrector = Corrector.load()
    behind = corrector.correct(guesses("显示")).score
    said = corrector.correct(guesses("国家统计局的数据" + between + "显示")).score
    ended = corrector.correct(guesses("国家统计局的数据。显示")).score
    assert said < ended
    assert ended == pytest.approx(corrector.correct(guesses("国家统计局的数据")).score + behind - 16.0)


@pytest.mark.parametrize(
    ("context", "goes_on"), [("国家统计局的数据", True), ("国家统计局的数据，", True), ("数据。", False)]
)
def test_what_was_said_before_counts_unless_a_sentence_ended(context: str, goes_on: bool) -> None:
    corrector = Corrector.load()
    alone = corrector.correct(guesses("显示")).score
    assert (corrector.correct(guesses("显示"), context=context).score != alone) is goes_on


def test_the_weight_of_the_engine_decides_between_hypotheses(lexicon: Lexicon) -> None:
    model = CompactModel(lexicon)
    hypotheses = [Hypothesis("京梁守护者", -1.0), Hypothesis("精灵守护者", -2.0)]
    assert Corrector(lexicon, model, Tuning(engine_weight=0.0, first=0.0)).correct(hypotheses).index == 1
    assert Corrector(lexicon, model, Tuning(engine_weight=100.0)).correct(hypotheses).index == 0


MEMORY = """
import random
from pathlib import Path
from lingting.domain import Hypothesis
def megabytes():
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
before = megabytes()
from lingting.phonetics import Corrector
from lingting.phonetics.corrector import Tuning
from lingting.phonetics.lattice import Sounds
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import CompactModel
lexicon = Lexicon()
corrector = Corrector(lexicon, CompactModel(lexicon), Tuning())
words, dice = lexicon.arrays["words2"], random.Random(3)
for _ in range(100):
    rows = [dice.randrange(len(words)) for _ in range(10)]
    corrector.correct([Hypothesis("".join(chr(code) for row in rows for code in words[row]), -5.0)])
print(megabytes() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_memory_stays_under_60_megabytes_whatever_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 60
