from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import ctranslate2
import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor
from tokenizers import Tokenizer

from lingting.domain import SAMPLE_RATE
from lingting.engines.whisper import loading
from lingting.engines.whisper.features import log_mel
from lingting.engines.whisper.model import WhisperModel
from lingting.engines.whisper.silence import Features, States
from lingting.engines.whisper.values import DecodeRequest
from lingting.errors import ModelError
from lingting.text import normalise
from tests.recordings import recording

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def model(model_dir: Path) -> WhisperModel:
    return WhisperModel(model_dir, 1)


@pytest.mark.parametrize("seconds", [0.01, 1.0, 4.2, 11.99, 12.0, 15.0])
def test_features_are_those_that_whisper_was_trained_on(seconds: float) -> None:
    samples = recording("two_cities").samples[: int(seconds * SAMPLE_RATE)]
    window = 12
    padded = np.zeros(window * SAMPLE_RATE, np.float32)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    for mels in (80, 128):
        expected = FeatureExtractor(feature_size=mels)(padded, padding=200)[:, : window * 100]
        assert log_mel(samples, window, mels).shape == (1, mels, window * 100)
        np.testing.assert_allclose(log_mel(samples, window, mels)[0], expected, atol=2e-4)


@pytest.mark.parametrize(("name", "language"), [("asr_example", "zh"), ("beckett", "en")])
def test_speech_is_written_in_its_own_language(model: WhisperModel, name: str, language: str) -> None:
    spoken = recording(name)
    (decoded,) = model.decode([DecodeRequest(model.encode(spoken.samples, 12))])
    assert decoded.language == language
    assert normalise(spoken.phrases[0]) in normalise(decoded.hypotheses[0].text)
    scores = [hypothesis.log_probability for hypothesis in decoded.hypotheses]
    assert len({hypothesis.text for hypothesis in decoded.hypotheses}) == len(scores)
    assert all(score < 0 for score in scores)


@pytest.mark.parametrize("loudness", [1.0, 0.02])
def test_short_speech_costs_the_encoder_no_more_than_its_length_whatever_the_window(
    model: WhisperModel, monkeypatch: pytest.MonkeyPatch, loudness: float
) -> None:
    spoken = recording("asr_example")
    samples = spoken.samples * np.float32(loudness)
    model.encode(samples, 20)  # silence of this level is encoded now
    encode, seconds = model._encoded, []

    def counted(features: Features) -> States:
        seconds.append(features.shape[2] / 100)
        return encode(features)

    monkeypatch.setattr(model, "_encoded", counted)
    encoded = model.encode(samples, 20)
    assert seconds == [6.0]
    assert encoded.states.shape[0] == 1000
    (decoded,) = model.decode([DecodeRequest(encoded)])
    assert normalise(spoken.phrases[0]) in normalise(decoded.hypotheses[0].text)


def test_the_silence_behind_speech_is_as_if_it_were_encoded_with_it(model: WhisperModel) -> None:
    samples = recording("asr_example").samples
    short, whole = (model.encode(samples, 20, whole=whole).states[6 * 50 :] for whole in (False, True))
    other = model.encode(recording("beckett").samples, 20, whole=True).states[: 6 * 50]
    assert np.corrcoef(short.ravel(), whole.ravel())[0, 1] > 0.8 > np.corrcoef(other.ravel(), whole[:300].ravel())[0, 1]


def test_a_forced_language_and_what_was_known_before_decide(model: WhisperModel) -> None:
    encoded = model.encode(recording("beckett").samples, 12)
    forced, known = model.decode([DecodeRequest(encoded, language="zh"), DecodeRequest(encoded, prior=50.0)])
    assert (forced.language, known.language) == ("zh", "zh")


def test_a_batch_gives_what_each_gives_alone(model: WhisperModel) -> None:
    requests = [DecodeRequest(model.encode(recording(name).samples, 12)) for name in ("asr_example", "beckett")]
    together = [decoded.hypotheses[0].text for decoded in model.decode(requests)]
    alone = [model.decode([request])[0].hypotheses[0].text for request in requests]
    assert together == alone


@pytest.mark.parametrize("name", ["asr_example", "beckett"])
def test_every_character_of_every_hypothesis_has_a_time_inside_the_audio(model: WhisperModel, name: str) -> None:
    encoded = model.encode(recording(name).samples, 12)
    (decoded,) = model.decode([DecodeRequest(encoded)])
    for hypothesis in decoded.hypotheses:
        (times,) = model.align([(encoded, decoded.language, hypothesis)])
        assert len(times.start) == len(times.end) == len(times.probability) == len(hypothesis.text)
        assert np.all(np.diff(times.start) >= 0)
        assert np.all(times.start <= times.end)
        assert times.end[-1] <= encoded.seconds + 1e-6
        assert all(0 < border <= len(hypothesis.text) for border in hypothesis.borders)


def test_a_context_is_taken_as_said_before(model: WhisperModel) -> None:
    encoded = model.encode(recording("beckett").samples, 12)
    (decoded,) = model.decode([DecodeRequest(encoded, prompt=model.prompt(["Samuel Beckett", "Worstward Ho"]))])
    assert "fail better" in decoded.hypotheses[0].text.lower()


def test_a_folder_that_is_no_model_is_a_model_error(tmp_path: Path, model_dir: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        WhisperModel(tmp_path, 1)
    for file in model_dir.iterdir():
        (tmp_path / file.name).symlink_to(file)
    (tmp_path / "tokenizer.json").unlink()
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(ModelError, match="tokenizer"):
        WhisperModel(tmp_path, 1)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("model.bin", b""),
        ("model.bin", b"\x05\0\0\0" + b"\0" * 100),
        ("model.bin", b"\x06\0\0\0" + b"\xff" * 100),
        ("config.json", b"[}"),
        ("config.json", b"{"),
        ("vocabulary.txt", b"too\nfew\n"),
    ],
)
def test_a_file_of_another_kind_is_a_model_error(tmp_path: Path, model_dir: Path, file: str, content: bytes) -> None:
    for each in model_dir.iterdir():
        (tmp_path / each.name).symlink_to(each)
    (tmp_path / file).unlink()
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ModelError, match="cannot be loaded"):
        WhisperModel(tmp_path, 1)


def test_fewer_tokens_change_nothing_but_what_can_be_written(model: WhisperModel, model_dir: Path) -> None:
    whole = ctranslate2.models.Whisper(str(model_dir), compute_type="int8", intra_threads=1)
    vocabulary = model._vocabulary
    assert len(vocabulary.kept) < whole_size(model_dir) / 2
    encoded = model.encode(recording("asr_example").samples, 12)
    (decoded,) = model.decode([DecodeRequest(encoded)])
    tokens = decoded.hypotheses[0].tokens
    states = ctranslate2.StorageView.from_array(encoded.states[None])
    start = vocabulary.start("zh", ())
    old = [vocabulary.kept[token] for token in tokens]
    (expected,) = whole.align(states, [vocabulary.kept[token] for token in start], [old], [500])
    (found,) = model._model.align(states, start, [list(tokens)], [500])
    assert Tokenizer.from_file(str(model_dir / "tokenizer.json")).decode(old) == decoded.hypotheses[0].text
    np.testing.assert_allclose(found.text_token_probs, expected.text_token_probs, atol=0.1)
    for languages in (whole.detect_language(states)[0], model._model.detect_language(states)[0]):
        assert languages[0][0] == "<|zh|>"
        assert len(languages) == 99


def whole_size(folder: Path) -> int:
    return len((folder / "vocabulary.txt").read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("word", ["Kubernetes", "to the", "Zürich", "<|startofprev|>", "한국", "紫霞仙子"])
def test_a_hot_word_whose_tokens_the_model_has_not_is_spelled_in_pieces(model: WhisperModel, word: str) -> None:
    prompt = model.prompt([word])
    spelled = b"".join(model._vocabulary._bytes[token] for token in prompt)
    assert spelled.decode() == f" {word}"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f avx512cd avx512vl avx512bw avx512dq avx512_vnni", "AVX512"),
        ("fpu sse2 avx2 avx512f", None),
        ("fpu sse2 avx2", None),
    ],
)
def test_avx512_is_asked_for_where_the_processor_has_all_of_it(
    monkeypatch: pytest.MonkeyPatch, flags: str, expected: str | None
) -> None:
    monkeypatch.setattr(loading, "os", SimpleNamespace(environ={}))
    monkeypatch.setattr(loading.Path, "read_text", lambda *_, **__: f"processor\t: 0\nflags\t\t: {flags}\nbugs\t: \n")
    loading.prefer_avx512()
    assert loading.os.environ.get("CT2_FORCE_CPU_ISA") == expected
