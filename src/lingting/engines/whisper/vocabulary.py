"""Whisper's tokens: prompts in, text and the times of its characters out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lingting.domain import Language
from lingting.engines.whisper.trimming import used_tokens
from lingting.engines.whisper.values import TextHypothesis
from lingting.errors import ModelError
from lingting.recognition.engine import CharacterTimes

_FRAME_SECONDS = 0.02
_TIMES = 1501
"""Tokens for times: each 0.02 s of 30 s."""
_LEAST_PROBABILITY = 1e-6
_MOST_PROMPT_TOKENS = 112
"""Tokens of hot words before an utterance: half of what the decoder may read and write of text."""


@dataclass(frozen=True, slots=True)
class _Special:
    end: int
    start: int
    transcribe: int
    previous: int
    first_time: int
    languages: dict[Language, int]


class Vocabulary:
    """Whisper's byte-level tokens: prompts in, text and character positions out.

    Attributes:
        kept: ids that the tokenizer gives to the tokens of the trimmed model, ascending. The model numbers them anew in
            that order, and only its numbers leave this class.
    """

    def __init__(self, file: Path) -> None:
        try:
            tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"the model's tokenizer {file} cannot be read: {error}") from error

        def special(name: str) -> int:
            found = tokenizer.token_to_id(name)
            if found is None:
                raise ModelError(f"the model's tokenizer {file} has no {name}: it is not a multilingual Whisper")
            return int(found)

        times = special("<|notimestamps|>") + 1
        end = special("<|endoftext|>")
        found = (tokenizer.token_to_id(token) for token in used_tokens())
        self.kept = [*sorted(token for token in found if token is not None), *range(end, times + _TIMES)]
        number = {token: number for number, token in enumerate(self.kept)}
        self.special = _Special(
            end=number[end],
            start=number[special("<|startoftranscript|>")],
            transcribe=number[special("<|transcribe|>")],
            previous=number[special("<|startofprev|>")],
            first_time=number[times],
            languages={"zh": number[special("<|zh|>")], "en": number[special("<|en|>")]},
        )
        decode = byte_decoder()
        self._bytes = [
            bytes(decode[character] for character in tokenizer.id_to_token(token) or "")
            for token in self.kept[: self.special.end]
        ]
        self._spelled = {raw: number for number, raw in enumerate(self._bytes)}
        self._longest = max(map(len, self._bytes))

    def words(self, words: Sequence[str]) -> tuple[int, ...]:
        """The tokens of a list of words, as many whole words as fit into a prompt, the first ones first."""
        tokens: list[int] = []
        for word in words:
            text = f", {word.strip()}" if tokens else f" {word.strip()}"
            more = self._numbers(text)
            if len(tokens) + len(more) > _MOST_PROMPT_TOKENS:
                break
            tokens += more
        return tuple(tokens)

    def _numbers(self, text: str) -> list[int]:
        """The model's numbers of a text's tokens, each the longest that goes on with it: a word that is one token is
        written so, and every other in pieces. The tokenizer cannot be asked: published ones write " to" in two tokens,
        and know tokens that the model has not."""
        raw = text.encode("utf-8", "ignore")
        numbers: list[int] = []
        while raw:
            length = next(n for n in range(min(len(raw), self._longest), 0, -1) if raw[:n] in self._spelled)
            numbers.append(self._spelled[raw[:length]])
            raw = raw[length:]
        return numbers

    def start(self, language: Language, said: Sequence[int]) -> list[int]:
        """What the decoder is given before it writes: tokens taken as said before, then language and task."""
        special = self.special
        start = [special.start, special.languages[language], special.transcribe]
        return [special.previous, *said, *start] if said else start

    def read(self, ids: Sequence[int], score: float, *, truncated: bool) -> TextHypothesis:
        """A hypothesis from generated ids; `score` is the mean log probability per token."""
        special = self.special
        tokens = [token for token in ids if token < special.end]
        raw = b""
        cuts: list[int] = []
        for token in ids:
            if token < special.end:
                raw += self._bytes[token]
            elif token >= special.first_time and raw:
                cuts.append(len(raw))
        lead = len(raw.decode("utf-8", "ignore")) - len(raw.decode("utf-8", "ignore").lstrip())
        text = raw.decode("utf-8", "ignore").strip()
        borders = {len(raw[:cut].decode("utf-8", "ignore").rstrip()) - lead for cut in cuts}
        return TextHypothesis(
            text=text,
            tokens=tuple(tokens),
            log_probability=score * max(1, len(ids)),
            average=score,
            borders=tuple(sorted(border for border in borders if 0 < border <= len(text))),
            truncated=truncated,
        )

    def character_times(self, hypothesis: TextHypothesis, result: Any, seconds: float) -> CharacterTimes:
        count = len(hypothesis.tokens)
        start = np.full(count + 1, np.float32(seconds))
        seen = -1
        for token, frame in result.alignments:
            if token != seen and token < count:
                start[token] = min(seconds, frame * _FRAME_SECONDS)
                seen = token
        np.minimum.accumulate(start[::-1], out=start[::-1])
        probabilities = np.zeros(count + 1, np.float32)
        given = np.asarray(result.text_token_probs, np.float32)[:count]
        probabilities[: len(given)] = given
        raw = b"".join(self._bytes[token] for token in hypothesis.tokens)
        ends = np.cumsum([len(self._bytes[token]) for token in hypothesis.tokens])
        lead = len(raw.decode("utf-8", "ignore")) - len(raw.decode("utf-8", "ignore").lstrip())
        positions = _character_bytes(raw)[lead : lead + len(hypothesis.text)]
        first = [int(np.searchsorted(ends, begin, side="right")) for begin, _ in positions]
        last = [int(np.searchsorted(ends, end - 1, side="right")) for _, end in positions]
        behind = [index + 1 for index in last]
        logs = np.concatenate(([0.0], np.cumsum(np.log(np.maximum(probabilities, _LEAST_PROBABILITY)))))
        probability = np.exp(logs[behind] - logs[first]).astype(np.float32)
        return CharacterTimes(start[first], start[behind], probability)


def _character_bytes(raw: bytes) -> list[tuple[int, int]]:
    """Byte ranges of the characters that `raw.decode("utf-8", "ignore")` keeps."""
    ranges = []
    position = 0
    while position < len(raw):
        for length in range(1, 5):
            try:
                raw[position : position + length].decode("utf-8")
            except UnicodeDecodeError:
                continue
            if position + length <= len(raw):
                ranges.append((position, position + length))
                position += length
                break
        else:
            position += 1
    return ranges


def byte_decoder() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes, back to bytes (Radford et al. 2019, section 2.2)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in printable}
    hidden = [byte for byte in range(256) if byte not in printable]
    table.update({chr(256 + index): byte for index, byte in enumerate(hidden)})
    return table
