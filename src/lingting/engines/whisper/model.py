"""A Whisper model in CTranslate2: audio to states, states to hypotheses, hypotheses to times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from lingting.domain import SAMPLE_RATE, Language, Samples
from lingting.engines.whisper.features import log_mel
from lingting.engines.whisper.loading import load_model
from lingting.engines.whisper.silence import BEHIND, STATES_PER_SECOND, Features, Silence, States
from lingting.engines.whisper.trimming import trimmed
from lingting.engines.whisper.values import Decoded, DecodeRequest, Encoded, TextHypothesis
from lingting.engines.whisper.vocabulary import Vocabulary
from lingting.recognition.engine import CharacterTimes

_MAX_TEXT_TOKENS = 224


class WhisperModel:
    """A multilingual Whisper model that writes Chinese and English. Thread-safe.

    The model has `lanes` replicas that share their weights and compute on one thread each: measured on two cores,
    this decodes 1.6 times and encodes 1.2 times as much as one replica on two threads.
    """

    def __init__(self, folder: Path, lanes: int) -> None:
        """Load the model of a folder.

        Raises:
            ModelError: a file is missing or not a Whisper model.
        """
        self._vocabulary = Vocabulary(folder / "tokenizer.json")
        with trimmed(folder, self._vocabulary.kept) as smaller:
            self._model = load_model(smaller, lanes)
        self._silence = Silence(self._encoded, self._model.n_mels)

    def prompt(self, hot_words: Sequence[str]) -> tuple[int, ...]:
        """The tokens of hot words as text said before, as many whole words as fit, the first ones first."""
        return self._vocabulary.words(hot_words)

    def encode(self, samples: Samples, window: int, *, whole: bool = False) -> Encoded:
        """Encode at most `window` seconds of audio, followed by silence.

        Args:
            whole: encode all of the silence too, and not only what is near the speech.
        """
        seconds = min(len(samples) / SAMPLE_RATE, window)
        width = window if whole else min(window, math.ceil(seconds + BEHIND))
        features = log_mel(samples, width, self._model.n_mels)
        states = self._encoded(features)
        if width < window:
            states = np.concatenate([states, self._silence.behind(features, window)])
        return Encoded(window, seconds, states, width)

    def decode(self, requests: Sequence[DecodeRequest]) -> list[Decoded]:
        """Decode utterances of equal window, beam and prompt length together, in the order given."""
        states, view = _stack([request.encoded for request in requests])
        odds = self._odds(requests)
        languages = [_language(request, each) for request, each in zip(requests, odds, strict=True)]
        vocabulary = self._vocabulary
        prompts = [
            vocabulary.start(language, request.prompt) for request, language in zip(requests, languages, strict=True)
        ]
        beam = requests[0].beam
        budgets = [_token_budget(request.encoded.seconds) for request in requests]
        budget = max(budgets)
        results = self._model.generate(
            view,
            prompts,
            beam_size=beam,
            num_hypotheses=beam,
            # generation ends at min(max_length / 2, max_length - prompt)
            max_length=max(2 * budget, budget + len(prompts[0])),
            return_scores=True,
            return_no_speech_prob=True,
            max_initial_timestamp_index=50,
        )
        del states
        return [
            Decoded(language, self._hypotheses(result, budget), float(result.no_speech_prob), each)
            for language, result, budget, each in zip(languages, results, budgets, odds, strict=True)
        ]

    def align(self, items: Sequence[tuple[Encoded, Language, TextHypothesis]]) -> list[CharacterTimes]:
        """Find when each character was said, for utterances of equal window."""
        states, view = _stack([encoded for encoded, _, _ in items], own=True)
        frames = [max(2, round(encoded.seconds * 100)) for encoded, _, _ in items]
        # One start sequence serves a call: the language token hardly moves the attention that alignment reads.
        results = self._model.align(
            view,
            self._vocabulary.start(items[0][1], ()),
            [list(hypothesis.tokens) for _, _, hypothesis in items],
            frames,
            median_filter_width=7,
        )
        del states
        return [
            self._vocabulary.character_times(hypothesis, result, encoded.seconds)
            for (encoded, _, hypothesis), result in zip(items, results, strict=True)
        ]

    def _encoded(self, features: Features) -> States:
        states = self._model.encode(ctranslate2.StorageView.from_array(features), to_cpu=True)
        encoded: States = np.array(states)[0]
        return encoded

    def _odds(self, requests: Sequence[DecodeRequest]) -> list[float | None]:
        """Log odds of Chinese over English of those whose language was not asked for, as the model hears it."""
        unknown = [request for request in requests if not request.language]
        if not unknown:
            return [None] * len(requests)
        states, view = _stack([request.encoded for request in unknown], own=True)
        detected = iter(self._model.detect_language(view))
        del states
        return [None if request.language else _zh_over_en(dict(next(detected))) for request in requests]

    def _hypotheses(self, result: Any, budget: int) -> tuple[TextHypothesis, ...]:
        """Those of different text, each within the budget of its own audio, whatever the batch was given."""
        found: dict[str, TextHypothesis] = {}
        for ids, score in zip(result.sequences_ids, result.scores, strict=True):
            hypothesis = self._vocabulary.read(ids[:budget], float(score), truncated=len(ids) >= budget)
            found.setdefault(hypothesis.text, hypothesis)
        return tuple(found.values()) or (TextHypothesis("", (), 0.0, 0.0),)


def _zh_over_en(scores: dict[str, float]) -> float:
    return math.log(max(scores.get("<|zh|>", 0.0), 1e-9)) - math.log(max(scores.get("<|en|>", 0.0), 1e-9))


def _language(request: DecodeRequest, odds: float | None) -> Language:
    """The language asked for, or else the likelier one."""
    if odds is None:
        return request.language or "zh"
    return "zh" if odds + request.prior >= 0 else "en"


def _token_budget(seconds: float) -> int:
    """Tokens that speech of this length can need: rapid Mandarin is 7 characters a second, some of 2-3 tokens."""
    return min(_MAX_TEXT_TOKENS, 16 + int(12 * seconds))


def _stack(items: Sequence[Encoded], *, own: bool = False) -> tuple[NDArray[np.float32], Any]:
    """The batch as an array and as a view of it; the view borrows the array's memory, so keep both.

    Args:
        own: leave out the silence that is common to all of them.
    """
    frames = STATES_PER_SECOND * max(item.own if own else item.window for item in items)
    states = np.stack([item.states[:frames] for item in items])
    return states, ctranslate2.StorageView.from_array(states)
