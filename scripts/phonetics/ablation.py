"""Print what each part of the second pass brings, source by source.

    LINGTING_SPEECH_DIR=FOLDER python scripts/phonetics/ablation.py [--language-model FILE] [--model FOLDER]

FOLDER holds manifest.tsv and the recordings. Errors are counted by source, a speaker or a collection. The engine's five
best are kept in .cache/phonetics.json.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from wetext import Normalizer

from lingting.audio.decode import Decoder
from lingting.domain import Hypothesis
from lingting.engines.whisper.engine import SPARE, WINDOWS
from lingting.engines.whisper.model import WhisperModel
from lingting.engines.whisper.values import DecodeRequest
from lingting.phonetics import Corrector
from lingting.phonetics.corrector import KENLM, Tuning
from lingting.phonetics.lattice import Sounds
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import SHIPPED, CompactModel, KenlmModel, LanguageModel
from lingting.text.scoring import ErrorCount, error_rate, tokens
from lingting.text.script import convert

CACHE = Path(__file__).parents[2] / ".cache" / "phonetics.json"
SOURCES = {
    "AISHELL S0150": re.compile("BAC009S0150"),
    "AISHELL S0764": re.compile("BAC009S0764"),
    "THCHS-30": re.compile(r"D\d+_"),
    "Common Voice": re.compile("common_voice"),
}
Choose = Callable[[Sequence[Hypothesis]], str]


@dataclass(frozen=True)
class Clip:
    """A recording: its name, what is said in it, and the engine's guesses."""

    name: str
    reference: str
    hypotheses: tuple[Hypothesis, ...]

    @property
    def source(self) -> str:
        return next((source for source, name in SOURCES.items() if name.search(self.name)), "other")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language-model", type=Path, default=SHIPPED, help="KenLM file; the one shipped by default")
    parser.add_argument("--model", type=Path, default=Path("data/models/whisper-base"), help="folder of Whisper")
    arguments = parser.parse_args()
    clips = [clip for clip in load(arguments.model) if clip.name.startswith(("zh/", "noisy/")) and is_chinese(clip)]
    sets = {
        **{
            source: [clip for clip in clips if clip.name.startswith("zh/") and clip.source == source]
            for source in SOURCES
        },
        "all": [clip for clip in clips if clip.name.startswith("zh/")],
        "with noise": [clip for clip in clips if clip.name.startswith("noisy/")],
    }
    print("| " + " | ".join(["second pass", *sets, "right made wrong", "ms a character, p95"]) + " |")
    print("|---" * (len(sets) + 3) + "|")
    for name, choose in ways(arguments.language_model):
        rates = [sum((errors(clip, choose) for clip in group), ErrorCount(0, 0)).rate for group in sets.values()]
        cells = [f"{100 * rate:.1f} %" for rate in rates]
        print("| " + " | ".join([name, *cells, harm(sets["all"], choose), speed(sets["all"], choose)]) + " |")


def ways(file: Path) -> list[tuple[str, Choose]]:
    """What is compared, by name."""
    lexicon = Lexicon()
    whole = Tuning()
    flat = Tuning(sounds=Sounds(same=5.0, tone=5.0, near=99.0, alone=0.0))
    tones = Tuning(sounds=Sounds(near=99.0, alone=0.0))
    near = Tuning(sounds=Sounds(alone=0.0))

    def way(model: LanguageModel, tuning: Tuning, count: int | None = 1) -> Choose:
        corrector = Corrector(lexicon, model, tuning)
        return lambda hypotheses: corrector.correct(hypotheses[:count]).text

    found: list[tuple[str, Choose]] = [
        ("none", lambda hypotheses: hypotheses[0].text),
        ("word frequencies, 5 nats for every change", way(CompactModel(lexicon, border=0.0), flat)),
        ("and affinity of characters at word borders", way(CompactModel(lexicon), flat)),
        ("and 3 nats where the tone is kept, 6 where not", way(CompactModel(lexicon), tones)),
        ("and near sounds", way(CompactModel(lexicon), near)),
        ("and doubt about words of one character", way(CompactModel(lexicon), whole)),
        ("and the engine's five best: **compact**", way(CompactModel(lexicon), whole, None)),
    ]
    found += [
        ("KenLM alone, best hypothesis", way(KenlmModel(file, frequency=0.0, unknown=0.0), whole)),
        ("and the lexicon's word frequencies", way(KenlmModel(file, unknown=0.0), whole)),
        ("and 4 nats for words it does not know", way(KenlmModel(file), whole)),
        ("and the engine's confidence", way(KenlmModel(file), KENLM)),
        ("and the engine's five best: **kenlm**", way(KenlmModel(file), KENLM, None)),
    ]
    return found


def load(model: Path) -> list[Clip]:
    """The recordings with the engine's five best, decoded once."""
    if not CACHE.is_file():
        CACHE.parent.mkdir(exist_ok=True)
        CACHE.write_text(json.dumps(asyncio.run(decode(model)), ensure_ascii=False))
    return [
        Clip(name, reference, tuple(Hypothesis(text, score, tuple(sure)) for text, score, sure in hypotheses))
        for name, reference, hypotheses in json.loads(CACHE.read_text())
    ]


async def decode(model: Path) -> list[tuple[str, str, list[tuple[str, float, list[float]]]]]:
    if "LINGTING_SPEECH_DIR" not in os.environ:
        raise SystemExit("set LINGTING_SPEECH_DIR to the folder of the recordings and their manifest.tsv")
    folder = Path(os.environ["LINGTING_SPEECH_DIR"])
    engine = WhisperModel(model, 1)
    decoder = Decoder()
    found = []
    with (folder / "manifest.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    for row in rows:
        seconds = float(row["seconds"])
        if row["language"] != "zh" or seconds > WINDOWS[-1]:
            continue
        path = folder / row["path"]
        with await decoder.decode(path, format=path.suffix[1:], sample_rate=16_000, max_seconds=60) as recording:
            samples = recording.window(0, recording.size)
        window = next((window for window in WINDOWS if window >= seconds + SPARE), WINDOWS[-1])
        encoded = engine.encode(samples, window)
        (answer,) = engine.decode([DecodeRequest(encoded, "zh")])
        (times,) = engine.align([(encoded, "zh", answer.hypotheses[0])])
        confidence = times.probability.tolist()
        guesses = [
            (convert(guess.text, "simplified"), guess.log_probability, [] if index else confidence)
            for index, guess in enumerate(answer.hypotheses)
        ]
        found.append((row["path"], row["reference"], guesses))
    await decoder.close()
    return found


def is_chinese(clip: Clip) -> bool:
    return bool(re.search("[一-鿿]", clip.reference))


@lru_cache(maxsize=1)
def _normalizer() -> Normalizer:
    return Normalizer(lang="zh", operator="tn")


@lru_cache(maxsize=4096)
def spoken(text: str) -> str:
    """Digits as they are read, so that 1993年 is no error for 一九九三年."""
    return str(_normalizer().normalize(re.sub(r"(?<=\d) (?=\d)", "", text)))


def errors(clip: Clip, choose: Choose) -> ErrorCount:
    return error_rate(spoken(clip.reference), spoken(choose(clip.hypotheses)))


def harm(clips: Sequence[Clip], choose: Choose) -> str:
    """Characters of the references that the engine had right and the second pass made wrong, of all."""
    spoiled = total = 0
    for clip in clips:
        reference = tokens(spoken(clip.reference))
        before = right(reference, tokens(spoken(clip.hypotheses[0].text)))
        after = right(reference, tokens(spoken(choose(clip.hypotheses))))
        spoiled += sum(was and not stays for was, stays in zip(before, after, strict=True))
        total += len(reference)
    return f"{100 * spoiled / total:.2f} %"


def right(reference: Sequence[str], text: Sequence[str]) -> list[bool]:
    """Which units of the reference a text has, by an alignment with the fewest errors."""
    rows = [list(range(len(text) + 1))]
    for index, unit in enumerate(reference, start=1):
        row = [index]
        for column, other in enumerate(text, start=1):
            row.append(min(rows[-1][column] + 1, row[-1] + 1, rows[-1][column - 1] + (unit != other)))
        rows.append(row)
    found = [False] * len(reference)
    index, column = len(reference), len(text)
    while index and column:
        differs = reference[index - 1] != text[column - 1]
        if rows[index][column] == rows[index - 1][column - 1] + differs:
            index, column = index - 1, column - 1
            found[index] = not differs
        elif rows[index][column] == rows[index - 1][column] + 1:
            index -= 1
        else:
            column -= 1
    return found


def speed(clips: Sequence[Clip], choose: Choose) -> str:
    """CPU time in milliseconds for each character of the text, 95th percentile of the clips."""
    spent = []
    for clip in clips:
        choose(clip.hypotheses)
        start = time.thread_time()
        choose(clip.hypotheses)
        spent.append(1000 * (time.thread_time() - start) / max(1, len(clip.hypotheses[0].text)))
    return f"{sorted(spent)[int(0.95 * len(spent))]:.2f}"


if __name__ == "__main__":
    main()
