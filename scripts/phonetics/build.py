"""Build src/lingting/phonetics/compact.model from the data of PyPI packages.

    python scripts/phonetics/build.py [--packages FOLDER] [--output FILE]

The packages are downloaded by name, version and hash; the same packages give the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter, defaultdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pypinyin import Style, lazy_pinyin, pinyin

from lingting.phonetics import container, syllables

PACKAGES = {
    "jieba==0.42.1": "055ca12f62674fafed09427f176506079bc135638a14e23e25be909131928db2",
    "Pinyin2Hanzi==0.1.1": "83f76c19a389742523343452066af0facee7a5b878443d71b736f68679abcd56",
}
PYPINYIN = "0.55.0"
OUTPUT = Path(__file__).parents[2] / "src" / "lingting" / "phonetics" / "compact.model"
LONGEST_WORD = 6
READINGS = 6
FAMILY_BITS = 9
COST_STEP = 0.1
MOST_AFFINITY = 8.0
DEFAULT_COST = 160


def main() -> None:
    if version("pypinyin") != PYPINYIN:
        raise SystemExit(f"the readings are those of pypinyin {PYPINYIN}: pip install pypinyin=={PYPINYIN}")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, help="folder of the downloaded packages; downloaded when absent")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.packages or download(Path(scratch))
        meta, arrays = build(folder)
    container.write(arguments.output, meta, arrays)
    digest = hashlib.sha256(arguments.output.read_bytes()).hexdigest()
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB, SHA-256 {digest}")


def download(folder: Path) -> Path:
    """Fetch the packages with pip, which checks their hashes."""
    wanted = folder / "wanted.txt"
    wanted.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in PACKAGES.items()))
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
    ]
    subprocess.run([*command, "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)], check=True)
    return folder


def member(folder: Path, package: str, name: str) -> str:
    """The text of one file of a package."""
    (archive,) = folder.glob(f"{package}-*.tar.gz")
    expected = next(digest for wanted, digest in PACKAGES.items() if wanted.startswith(package))
    if hashlib.sha256(archive.read_bytes()).hexdigest() != expected:
        raise SystemExit(f"{archive} is not the pinned file")
    with tarfile.open(archive) as bundle:
        file = bundle.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{name}")
        assert file is not None
        return file.read().decode()


def is_han(text: str) -> bool:
    return all("一" <= character <= "鿿" for character in text)


def word_counts(folder: Path) -> dict[str, int]:
    """jieba's words of Han characters and how often each occurs."""
    counts = {}
    for line in member(folder, "jieba", "jieba/dict.txt").splitlines():
        word, count, _tag = line.split(" ")
        if len(word) <= LONGEST_WORD and is_han(word):
            counts[word] = int(count)
    return counts


def split_tone(reading: str) -> tuple[str, int]:
    tone = int(reading[-1]) if reading[-1].isdigit() else 5
    return reading.rstrip("12345").replace("ü", "v"), tone


def readings_of(word: str) -> list[tuple[str, int]] | None:
    found = lazy_pinyin(word, style=Style.TONE3, neutral_tone_with_five=True, v_to_u=False, errors=lambda _: ["?"])
    if len(found) != len(word) or "?" in found:
        return None
    return [split_tone(reading) for reading in found]


def build(folder: Path) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    counts = word_counts(folder)
    spoken = {word: reading for word in counts if (reading := readings_of(word))}
    used: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for word, reading in spoken.items():
        for character, syllable in zip(word, reading, strict=True):
            used[character][syllable] += counts[word]
    characters = sorted(character for character in used)
    names = sorted(
        {syllable for reading in spoken.values() for syllable, _ in reading}
        | {
            split_tone(r)[0]
            for c in characters
            for r in pinyin(c, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]
        }
    )
    number = {name: index for index, name in enumerate(names)}
    families = {name: index for index, name in enumerate(sorted({syllables.family(name) for name in names}))}

    codes = np.array([ord(character) for character in characters], np.uint16)
    readings = np.zeros((len(characters), READINGS), np.uint16)
    shares = np.full((len(characters), READINGS), 255, np.uint8)
    index_of: dict[tuple[str, tuple[str, int]], int] = {}
    for row, character in enumerate(characters):
        known = used[character]
        for other in pinyin(character, style=Style.TONE3, heteronym=True, neutral_tone_with_five=True)[0]:
            known.setdefault(split_tone(other), 0)
        total = sum(known.values()) + len(known)
        for column, (reading, count) in enumerate(known.most_common(READINGS)):
            readings[row, column] = 1 + number[reading[0]] * 5 + reading[1] - 1
            shares[row, column] = quantised(-math.log((count + 1) / total))
            index_of[character, reading] = column

    arrays: dict[str, np.ndarray] = {"characters": codes, "readings": readings, "shares": shares}
    arrays.update(
        word_tables(
            counts=counts,
            spoken=spoken,
            used=used,
            index_of=index_of,
            shares=shares,
            codes=codes,
            families=families,
        )
    )
    arrays.update(character_affinities(folder, counts, codes))
    meta = {
        "syllables": names,
        "families": [families[syllables.family(name)] for name in names],
        "cost_step": COST_STEP,
        "most_affinity": MOST_AFFINITY,
        "sources": list(PACKAGES),
    }
    return meta, arrays


def word_tables(
    *,
    counts: dict[str, int],
    spoken: dict[str, list[tuple[str, int]]],
    used: dict[str, Counter[tuple[str, int]]],
    index_of: dict[tuple[str, tuple[str, int]], int],
    shares: np.ndarray,
    codes: np.ndarray,
    families: dict[str, int],
) -> dict[str, np.ndarray]:
    """The words of each length in the order of their families, with readings (3 bits a character) and costs."""
    arrays = {}
    total = sum(counts[word] for word in spoken)
    for length in range(1, LONGEST_WORD + 1):
        rows = []
        for word, reading in spoken.items():
            if len(word) != length or any((c, r) not in index_of for c, r in zip(word, reading, strict=True)):
                continue
            variants = [reading]
            if length == 1:
                row = np.searchsorted(codes, ord(word))
                variants = [
                    [r] for r in used[word] if (word, r) in index_of and shares[row, index_of[word, r]] * COST_STEP < 6
                ]
            for variant in variants:
                key = 0
                for syllable, _ in variant:
                    key = key << FAMILY_BITS | families[syllables.family(syllable)]
                packed = 0
                for character, each in zip(word, variant, strict=True):
                    packed = packed << 3 | index_of[character, each]
                cost = -math.log(counts[word] / total)
                if length == 1:
                    cost += float(shares[np.searchsorted(codes, ord(word)), index_of[word, variant[0]]]) * COST_STEP
                rows.append((key, word, packed, quantised(cost)))
        rows.sort()
        arrays[f"keys{length}"] = np.array([row[0] for row in rows], np.uint32 if length <= 3 else np.uint64)
        arrays[f"words{length}"] = np.array([[ord(c) for c in row[1]] for row in rows], np.uint16)
        arrays[f"packed{length}"] = np.array([row[2] for row in rows], np.uint16 if length <= 5 else np.uint32)
        arrays[f"costs{length}"] = np.array([row[3] for row in rows], np.uint8)

    return arrays


def character_affinities(folder: Path, counts: dict[str, int], codes: np.ndarray) -> dict[str, np.ndarray]:
    """How much likelier a character makes the next one: log P(next | this) − log P(next), nats, as sparse rows.

    The transitions are Pinyin2Hanzi's, the frequencies those of the characters in jieba's words.
    """
    table = json.loads(member(folder, "Pinyin2Hanzi", "Pinyin2Hanzi/data/hmm_transition.json"))["data"]
    occurrences: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            occurrences[character] += count
    total = sum(occurrences.values())
    known = {chr(code): -math.log(occurrences[chr(code)] / total) for code in codes}
    starts = [0]
    second: list[int] = []
    affinities: list[int] = []
    defaults = []
    for code in codes:
        row = table.get(chr(code), {})
        for character in sorted(character for character in row if character in known):
            second.append(ord(character))
            affinities.append(limited(math.log(row[character]) + known[character]))
        starts.append(len(second))
        defaults.append(quantised(-math.log(row["default"])) if "default" in row else DEFAULT_COST)
    return {
        "affinity_starts": np.array(starts, np.uint32),
        "affinity_second": np.array(second, np.uint16),
        "affinities": np.array(affinities, np.int8),
        "affinity_defaults": np.array(defaults, np.uint8),
        "character_costs": np.array([quantised(known[chr(code)]) for code in codes], np.uint8),
    }


def limited(affinity: float) -> int:
    return round(max(-MOST_AFFINITY, min(MOST_AFFINITY, affinity)) / COST_STEP)


def quantised(cost: float) -> int:
    return min(255, round(cost / COST_STEP))


if __name__ == "__main__":
    main()
