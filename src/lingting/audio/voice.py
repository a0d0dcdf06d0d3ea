"""How likely it is that a voice speaks, for each 32 ms of audio: the Silero model, streaming state included.

The model is Silero VAD 6.2.3 (MIT, see SILERO_LICENSE), https://github.com/snakers4/silero-vad, in its sequence form:
rows of 64 samples of context and 512 new ones, many in one call.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lingting.audio.onnx import runtime
from lingting.domain import Samples
from lingting.errors import ModelError

FRAME = 512
"""Samples of one frame: 32 ms at 16 kHz."""

Probabilities: TypeAlias = NDArray[np.float32]
"""Shape (frames,), float32 in [0, 1]; frame i covers samples [i * FRAME, (i + 1) * FRAME)."""

_MODEL = Path(__file__).with_name("silero_vad_16k_sequence.onnx")
_CONTEXT = 64
_FRAMES_PER_CALL = 512  # keeps the working memory of a two-hour file at a few megabytes
_session: Any = None
_session_lock = threading.Lock()


def _zeros(*shape: int) -> NDArray[np.float32]:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


_NO_MEMORY, _NO_CONTEXT, _NO_SAMPLES = _zeros(1, 1, 128), _zeros(_CONTEXT), _zeros(0)


@dataclass(frozen=True, slots=True, eq=False)
class VoiceState:
    """What the model remembers of one stream, 5 kB at most; a new one is the state before the first sample.

    Attributes:
        h: hidden state, float32 (1, 1, 128).
        c: cell state, float32 (1, 1, 128).
        context: the last samples that were judged, float32 (64,).
        remainder: samples that do not fill a frame yet, float32 (fewer than 512,).
    """

    h: NDArray[np.float32] = field(default_factory=lambda: _NO_MEMORY)
    c: NDArray[np.float32] = field(default_factory=lambda: _NO_MEMORY)
    context: NDArray[np.float32] = field(default_factory=lambda: _NO_CONTEXT)
    remainder: NDArray[np.float32] = field(default_factory=lambda: _NO_SAMPLES)


class VoiceDetector:
    """Judges frames of audio. Any thread may call it; all detectors of a process share one model of 1 MB."""

    def probabilities(self, samples: Samples, state: VoiceState | None = None) -> tuple[Probabilities, VoiceState]:
        """Judge the frames that `samples` complete after those of `state`; 0.05 ms each.

        Returns:
            One probability per completed frame, and the state to pass with the next samples.

        Raises:
            ModelError: the model file is missing or damaged.
        """
        state = state or VoiceState()
        audio = np.concatenate((state.context, state.remainder, samples.astype(np.float32, copy=False)))
        frames = (audio.size - _CONTEXT) // FRAME
        probabilities = np.empty(frames, np.float32)
        h, c = state.h, state.c
        if frames:
            rows = np.lib.stride_tricks.sliding_window_view(audio, _CONTEXT + FRAME)[::FRAME]
            for start in range(0, frames, _FRAMES_PER_CALL):
                batch = np.ascontiguousarray(rows[start : start + _FRAMES_PER_CALL])
                judged, h, c = _model().run(None, {"input": batch, "h": h, "c": c})
                probabilities[start : start + len(batch)] = judged
        done = frames * FRAME
        context, remainder = audio[done : done + _CONTEXT].copy(), audio[done + _CONTEXT :].copy()
        return probabilities, VoiceState(h, c, context, remainder)

    def judge(self, samples: Samples) -> Probabilities:
        """Judge a whole recording; the last frame is filled with zeros, so ceil(samples / 512) probabilities come back.

        Raises:
            ModelError: the model file is missing or damaged.
        """
        probabilities, state = self.probabilities(samples)
        if state.remainder.size:
            last, _ = self.probabilities(np.zeros(FRAME - state.remainder.size, np.float32), state)
            probabilities = np.concatenate((probabilities, last))
        return probabilities


def _model() -> Any:
    global _session  # noqa: PLW0603
    if _session is None:
        with _session_lock:
            if _session is None:
                _session = _load()
    return _session


def _load() -> Any:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(_MODEL), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(
            f"the voice activity model {_MODEL.name} cannot be loaded ({error}); reinstall the lingting package"
        ) from error
