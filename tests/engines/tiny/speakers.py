"""A tiny pair of models that tells speakers apart by the tones they speak in: what is loud is speech, and whose it is
the pitch decides. Both load in sherpa-onnx like the real ones (pyannote's segmentation, a WeSpeaker embedding)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.engines.tiny.graphs import FLOAT, Graph
from tests.engines.tiny.tones import BINS, frequency

_WINDOW, _FIELD, _SHIFT = 160_000, 991, 270
_SILENCE = 1e-4
"""Of the square of a tone's amplitude."""

_BINS = 80
VOICES = (("你", "好"), ("世", "界"))
"""The tokens of each speaker."""


def build(models: Path) -> None:
    """Write the models `segmentation` and `voices`."""
    _segmentation(models / "segmentation")
    _voices(models / "voices")


def _segmentation(folder: Path) -> None:
    """Frames of 17 ms: silence, or who speaks of those in a window; [N, 1, T] to [N, frames, 7]."""
    folder.mkdir(parents=True)
    time = np.arange(_FIELD) / 16_000
    waves = [
        wave(2 * np.pi * frequency(BINS[token]) * time) / _FIELD
        for tokens in VOICES
        for token in tokens
        for wave in (np.sin, np.cos)
    ]
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", 1, "T"])
    filters = graph.constant(np.array(waves, np.float32)[:, None, :])
    tones = graph.add("Conv", x, filters, kernel_shape=[_FIELD], strides=[_SHIFT])
    energy = graph.add("Transpose", graph.add("Mul", tones, tones), perm=[0, 2, 1])
    whose = np.zeros((len(waves), 7), np.float32)
    for number in range(len(VOICES)):
        whose[number * len(waves) // len(VOICES) : (number + 1) * len(waves) // len(VOICES), 1 + number] = 1 / _SILENCE
    never = np.array([0.0, -1.0, -1.0, *[-1e6] * 4], np.float32)
    scores = graph.add("Add", graph.add("MatMul", energy, graph.constant(whose)), graph.constant(never))
    graph.output(scores, FLOAT, ["N", "F", 7], "y")
    graph.save(
        folder / "model.onnx",
        model_type="pyannote-segmentation-3.0",
        num_speakers=3,
        powerset_max_classes=2,
        num_classes=7,
        sample_rate=16_000,
        window_size=_WINDOW,
        receptive_field_size=_FIELD,
        receptive_field_shift=_SHIFT,
    )
    _describe(folder, "segmentation")


def _voices(folder: Path) -> None:
    """How much of the sound is in each speaker's tones; features [N, T, 80] to [N, 2]."""
    folder.mkdir(parents=True)
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", "T", _BINS])
    weights = np.zeros((_BINS, len(VOICES)), np.float32)
    for number, tokens in enumerate(VOICES):
        for token in tokens:
            weights[BINS[token], number] = 1.0
    level = graph.add("ReduceMax", graph.add("MatMul", x, graph.constant(weights)), axes=[1], keepdims=0)
    graph.output(graph.add("Softmax", level, axis=-1), FLOAT, ["N", len(VOICES)], "embedding")
    graph.save(
        folder / "model.onnx",
        framework="wespeaker",
        language="Chinese",
        url="",
        comment="",
        sample_rate=16_000,
        output_dim=len(VOICES),
        normalize_samples=1,
        feature_normalize_type="",
    )
    _describe(folder, "speaker")


def _describe(folder: Path, kind: str) -> None:
    text = f'engine = "{kind}"\nroles = {{model = "model.onnx"}}\n'
    (folder / "model.toml").write_text(text, encoding="utf-8")
