"""Whisper through CTranslate2, int8 on the CPU."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.engines.features import log_mel
from lingting.errors import ModelError
from lingting.recognition.engine import CharacterTimes, Decoded, DecodeRequest, Encoded, EngineHypothesis

WINDOWS = (20, 30)
"""Encoder windows in seconds; 30 s is what the model was trained on. An encoding costs in proportion to its window.

Measured on 63 Mandarin clips at two levels, beam 5, with the second pass by sound: a least window of 12 s gives 14.5 %
character errors, 16 s 14.3 %, 20 s 12.7 %, 30 s 13.4 %; without that pass 10 s gives 21.5 %, 12 s 18.2 %, 20 s 17.3 %.
"""

FAST_WINDOWS = (12, 16, *WINDOWS)
"""Windows for live finals when much waits."""

GUESS_WINDOWS = (5, 7, 9, *FAST_WINDOWS)
"""Windows for guesses at unfinished speech: for 3.2 s of audio, greedy, 5 s windows give 0.34 to 0.39 errors per
character and 12 s windows 0.23 to 0.45, for three times the encoding."""

_FRAME_SECONDS = 0.02
_MAX_TEXT_TOKENS = 224
_COMPUTE_NICENESS = 5
_LEAST_PROBABILITY = 1e-6
_AVX512 = frozenset({"avx512f", "avx512cd", "avx512vl", "avx512bw", "avx512dq"})


class WhisperEngine:
    """A multilingual Whisper model that writes Chinese and English.

    The model has `workers` replicas that share their weights and compute on one thread each: measured on two cores,
    this decodes 1.6 times and encodes 1.2 times as much as one replica on two threads.
    """

    windows = WINDOWS
    fast_windows = FAST_WINDOWS
    guess_windows = GUESS_WINDOWS

    def __init__(self, folder: Path, workers: int, name: str = "whisper-base") -> None:
        """Load the model of a folder.

        Raises:
            ModelError: a file is missing or not a Whisper model.
        """
        self.name = name
        self._model = _load_in_background_priority(folder, workers)
        self._vocabulary = _Vocabulary(folder / "tokenizer.json")

    def encode(self, samples: Samples, window: int) -> Encoded:
        features = log_mel(samples, window)
        states = self._model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
        return Encoded(window, min(len(samples) / SAMPLE_RATE, window), np.array(states)[0])

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        states, view = _stack([request.encoded for request in requests])
        languages = self._languages(requests, view)
        vocabulary = self._vocabulary
        prompts = [
            vocabulary.prompt(language, request.context) for request, language in zip(requests, languages, strict=True)
        ]
        beam = requests[0].beam
        budget = max(_token_budget(request.encoded.seconds) for request in requests)
        results = self._model.generate(
            view,
            prompts,
            beam_size=beam,
            num_hypotheses=beam,
            max_length=2 * budget,
            return_scores=True,
            return_no_speech_prob=True,
            max_initial_timestamp_index=50,
        )
        del states
        return [
            Decoded(language, self._hypotheses(result, budget), float(result.no_speech_prob))
            for language, result in zip(languages, results, strict=True)
        ]

    def align(self, items: Sequence[tuple[Encoded, Language, EngineHypothesis]]) -> list[CharacterTimes]:
        states, view = _stack([encoded for encoded, _, _ in items])
        frames = [max(2, round(encoded.seconds * 100)) for encoded, _, _ in items]
        # One start sequence serves a call: the language token hardly moves the attention that alignment reads.
        results = self._model.align(
            view,
            self._vocabulary.prompt(items[0][1], ""),
            [list(hypothesis.tokens) for _, _, hypothesis in items],
            frames,
            median_filter_width=7,
        )
        del states
        return [
            self._vocabulary.character_times(hypothesis, result, encoded.seconds)
            for (encoded, _, hypothesis), result in zip(items, results, strict=True)
        ]

    def _languages(self, requests: Sequence[DecodeRequest], view: Any) -> list[Language]:
        if all(request.language for request in requests):
            return [request.language or "zh" for request in requests]
        detected = self._model.detect_language(view)
        return [
            request.language or _zh_or_en(dict(scores), request.prior)
            for request, scores in zip(requests, detected, strict=True)
        ]

    def _hypotheses(self, result: Any, budget: int) -> tuple[EngineHypothesis, ...]:
        found: dict[str, EngineHypothesis] = {}
        for ids, score in zip(result.sequences_ids, result.scores, strict=True):
            hypothesis = self._vocabulary.read(ids, float(score), truncated=len(ids) >= budget)
            found.setdefault(hypothesis.text, hypothesis)
        return tuple(found.values())


def _zh_or_en(scores: dict[str, float], prior: float) -> Language:
    odds = np.log(max(scores.get("<|zh|>", 0.0), 1e-9)) - np.log(max(scores.get("<|en|>", 0.0), 1e-9))
    return "zh" if odds + prior >= 0 else "en"


def _token_budget(seconds: float) -> int:
    """Tokens that speech of this length can need: rapid Mandarin is 7 characters a second, some of 2-3 tokens."""
    return min(_MAX_TEXT_TOKENS, 16 + int(12 * seconds))


def _stack(items: Sequence[Encoded]) -> tuple[NDArray[np.float32], Any]:
    """The batch as an array and as a view of it; the view borrows the array's memory, so keep both."""
    states = np.stack([item.states for item in items])
    return states, ctranslate2.StorageView.from_array(states)


def _load_in_background_priority(folder: Path, workers: int) -> Any:
    """Load the model so that its threads yield to the threads that answer requests.

    On Linux a thread inherits its niceness from the thread that starts it, so the model is loaded in a nicer thread.
    """
    outcome: list[Any] = []
    _prefer_avx512()

    def load() -> None:
        try:
            if hasattr(os, "setpriority"):
                thread_id = threading.get_native_id()
                niceness = os.getpriority(os.PRIO_PROCESS, thread_id) + _COMPUTE_NICENESS
                os.setpriority(os.PRIO_PROCESS, thread_id, min(19, niceness))
            outcome.append(
                ctranslate2.models.Whisper(
                    str(folder), device="cpu", compute_type="int8", inter_threads=workers, intra_threads=1
                )
            )
        except (RuntimeError, ValueError, OSError) as error:
            outcome.append(ModelError(f"the model in {folder} cannot be loaded: {error}"))

    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
    if isinstance(outcome[0], ModelError):
        raise outcome[0]
    return outcome[0]


def _prefer_avx512() -> None:
    """Have the library use AVX-512 where the processor has it; by itself it does so only on Intel's.

    Measured on AMD: encoding takes 0.85 times the time. It reads the variable at its first use.
    """
    with suppress(OSError):
        flags = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore"), re.M)
        if flags and set(flags[1].split()) >= _AVX512:
            os.environ.setdefault("CT2_FORCE_CPU_ISA", "AVX512")


@dataclass(frozen=True, slots=True)
class _Special:
    end: int
    start: int
    transcribe: int
    previous: int
    first_time: int
    languages: dict[Language, int]


class _Vocabulary:
    """Whisper's byte-level tokens: prompts in, text and character positions out."""

    def __init__(self, file: Path) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise ModelError(f"the model's tokenizer {file} cannot be read: {error}") from error
        tokenizer = self._tokenizer

        def special(name: str) -> int:
            found = tokenizer.token_to_id(name)
            if found is None:
                raise ModelError(f"the model's tokenizer {file} has no {name}: it is not a multilingual Whisper")
            return int(found)

        self.special = _Special(
            end=special("<|endoftext|>"),
            start=special("<|startoftranscript|>"),
            transcribe=special("<|transcribe|>"),
            previous=special("<|startofprev|>"),
            first_time=special("<|notimestamps|>") + 1,
            languages={"zh": special("<|zh|>"), "en": special("<|en|>")},
        )
        decode = _byte_decoder()
        self._bytes = [
            bytes(decode[character] for character in tokenizer.id_to_token(token) or "")
            for token in range(self.special.end)
        ]

    def prompt(self, language: Language, context: str) -> list[int]:
        special = self.special
        start = [special.start, special.languages[language], special.transcribe]
        if not context:
            return start
        said = self._tokenizer.encode(" " + context.strip(), add_special_tokens=False).ids
        return [special.previous, *said[-_MAX_TEXT_TOKENS // 2 :], *start]

    def read(self, ids: Sequence[int], score: float, *, truncated: bool) -> EngineHypothesis:
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
        return EngineHypothesis(
            text=text,
            tokens=tuple(tokens),
            log_probability=score * max(1, len(ids)),
            average=score,
            borders=tuple(sorted(border for border in borders if 0 < border <= len(text))),
            truncated=truncated,
        )

    def character_times(self, hypothesis: EngineHypothesis, result: Any, seconds: float) -> CharacterTimes:
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


def _byte_decoder() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes, back to bytes (Radford et al. 2019, section 2.2)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    table = {chr(byte): byte for byte in printable}
    hidden = [byte for byte in range(256) if byte not in printable]
    table.update({chr(256 + index): byte for index, byte in enumerate(hidden)})
    return table
