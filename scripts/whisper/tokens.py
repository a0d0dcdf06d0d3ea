"""Build src/lingting/engines/whisper/tokens.txt: the tokens of Whisper that Chinese and English need.

    python scripts/whisper/tokens.py --tokenizer FILE --words FOLDER

FILE is the tokenizer.json of any multilingual Whisper. FOLDER holds the word lists of SCOWL 2020.12.07, as Debian's
package `scowl` puts them into /usr/share/dict/scowl. The same files give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from lingting.engines.whisper.vocabulary import byte_decoder

OUTPUT = Path(__file__).parents[2] / "src" / "lingting" / "engines" / "whisper" / "tokens.txt"
LISTS = ("words", "upper", "proper-names", "contractions", "abbreviations")
SIZES = (10, 20, 35, 40, 50)
"""Of SCOWL: words that an educated reader knows."""
FIRST = 8_000
MOST = 32_000
"""Tokens are numbered in the order in which they were merged, roughly that of their frequency. Of the first ones all
pieces of Latin words are kept, so that any word can be put together; whole English words are kept up to the other: of
the running words of English seven in a thousand are then written in more pieces than the model was taught to."""
PUNCTUATION = "，。！？、；：“”‘’（）《》〈〉「」…—·～％"
HEADER = """\
# Tokens of Whisper (OpenAI, MIT) that Chinese and English need, made by scripts/whisper/tokens.py.
# Chosen among others by the word lists of SCOWL 2020.12.07, Copyright 2000-2011 by Kevin Atkinson: Permission to use, copy, modify, distribute and sell these word lists, the associated scripts, the output created from the scripts, and its documentation for any purpose is hereby granted without fee, provided that the above copyright notice appears in all copies and that both that copyright notice and this permission notice appear in supporting documentation. Kevin Atkinson makes no representations about the suitability of this array for any purpose. It is provided "as is" without express or implied warranty.
"""  # noqa: E501 - a line of the file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    tokenizer = with_all_merges(arguments.tokenizer)
    kept = chosen(tokenizer, list(words(arguments.words)))
    lines = "".join(f"{tokenizer.id_to_token(token)}\n" for token in kept)
    arguments.output.write_text(HEADER + lines, encoding="utf-8")
    print(f"{arguments.output}: {len(kept)} tokens")


def with_all_merges(file: Path) -> Tokenizer:
    """The tokenizer of a file, with the first merge, which published files of Whisper lack: they write " to" in two."""
    content = json.loads(file.read_text(encoding="utf-8"))
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in content["model"]["merges"]]
    content["model"]["merges"] = merges if ["Ġ", "t"] in merges else [["Ġ", "t"], *merges]
    return Tokenizer.from_str(json.dumps(content))


def words(folder: Path) -> Iterator[str]:
    """Words and names of English."""
    for size in SIZES:
        for region in ("english", "american", "british"):
            for name in LISTS:
                file = folder / f"{region}-{name}.{size}"
                if file.exists():
                    yield from (word for word in file.read_text(encoding="latin-1").split() if word.isascii())


def chosen(tokenizer: Tokenizer, english: list[str]) -> list[int]:
    """Ids of the tokens that English words are written with, of pieces of Chinese, of single bytes, and of numbers and
    signs, ascending."""
    forms = [form for word in english for form in (f" {word}", f" {word.capitalize()}")]
    encodings = tokenizer.encode_batch(forms, add_special_tokens=False)
    kept = {token for encoding in encodings for token in encoding.ids if token < MOST}
    decode = byte_decoder()
    spelled = tokenizer.get_vocab(with_added_tokens=False)
    for name, token in spelled.items():
        if name == "<|endoftext|>":
            continue
        raw = bytes(decode[character] for character in name)
        latin = raw.isascii() and re.fullmatch(rb" ?[A-Za-z']+", raw)
        if len(raw) == 1 or (token < FIRST if latin else raw.isascii() or chinese(raw.lstrip(b" "))):
            kept.add(token)
    return sorted(kept)


def chinese(raw: bytes) -> bool:
    """Whether bytes may stand in Chinese text: whole characters, with a part of one at each end."""
    for skipped in range(3):
        if not all(0x80 <= byte < 0xC0 for byte in raw[:skipped]):
            return False
        for cut in range(3):
            body, tail = raw[skipped : len(raw) - cut], raw[max(skipped, len(raw) - cut) :]
            if tail and tail[0] not in (0xE2, 0xE3, *range(0xE4, 0xEA), 0xEF):
                continue
            try:
                text = body.decode()
            except UnicodeDecodeError:
                continue
            if all(
                "\u4e00" <= each <= "\u9fff" or "\uff00" <= each <= "\uff5e" or each in PUNCTUATION for each in text
            ):
                return True
    return False


if __name__ == "__main__":
    main()
