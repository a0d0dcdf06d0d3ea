"""Tiny models that sherpa-onnx loads and decodes, one of each kind, built in a moment and without training.

Each writes the tokens whose tones it hears (`tones.py`) and has the metadata, inputs, outputs and states of the real
kind: a streaming model has a chunk of 32 frames and 13 of look-ahead, and a transducer's states decide whether a tone
that goes on over a chunk's border is one token or two.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.engines.tiny.graphs import FLOAT, INT32, INT64, Graph
from tests.engines.tiny.tones import BINS, BLANK, TOKENS

_V = len(TOKENS)
_BINS = 80
_STACKED = 7
_SHIFT = 6
_CHUNK = 32
_FRAMES = _CHUNK + 13
_UNSCALED = 2 * math.log(32768)
"""Added to every log-mel energy of a model whose samples are not brought to [-1, 1]."""
TAGS = ("<|zh|>", "<|en|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>", "<|woitn|>")

Roles = dict[str, str]
"""The files of a model by what they are for, as a loader takes them."""


def build(kind: str, folder: Path) -> Roles:
    """Write the tiny model of a kind, a name of `engines/sherpa/loaders.py`, into a new folder."""
    folder.mkdir(parents=True)
    return KINDS[kind](folder)


# -- what they share ---------------------------------------------------------------------------------------------------


def _classifier(graph: Graph, frames: str, *, scaled: bool = True, stack: int = 1, extra: int = 0) -> str:
    """Scores [N, U, V + extra] of frames [N, U, 80 * stack]."""
    weights = np.zeros((_BINS, _V + extra), np.float32)
    bias = np.full(_V + extra, -100.0, np.float32)
    for token, band in BINS.items():
        weights[band, TOKENS.index(token)] = 1.0
        bias[TOKENS.index(token)] = 0.6 if token == "圆" else 0.0
    bias[BLANK] = -4.0 + (0.0 if scaled else _UNSCALED)
    product = graph.add("MatMul", frames, graph.constant(np.tile(weights, (stack, 1)) / stack))
    return str(graph.add("Add", product, graph.constant(bias)))


def _by_four(graph: Graph, x: str) -> str:
    """The mean of each four frames: [N, T, 80] to [N, T // 4, 80]."""
    length = graph.add("Gather", graph.add("Shape", x), graph.integers(1), axis=0)
    units = graph.add("Div", length, graph.integers(4))
    whole = graph.add("Mul", units, graph.integers(4))
    kept = graph.add("Slice", x, graph.integers(0), whole, graph.integers(1))
    shape = graph.add("Concat", graph.integers(0), units, graph.integers(4, _BINS), axis=0)
    return str(graph.add("ReduceMean", graph.add("Reshape", kept, shape), axes=[2], keepdims=0))


def _one_hot(graph: Graph, places: str, depth: int) -> str:
    return str(graph.add("OneHot", places, graph.constant(depth, np.int64), graph.constant([0.0, 1.0]), axis=-1))


def _onset(graph: Graph, scores: str, before: str) -> tuple[str, str]:
    """Scores in which only the first frame of each class counts, and the one-hot classes [N, U, V].

    `before` is the class of the frame before the first, one-hot, [N, 1, V]; zeros where there is none.
    """
    classes = _one_hot(graph, graph.add("ArgMax", scores, axis=-1, keepdims=0), _V)
    earlier = graph.add("Slice", classes, graph.integers(0), graph.integers(-1), graph.integers(1))
    shifted = graph.add("Concat", before, earlier, axis=1)
    same = graph.add("ReduceSum", graph.add("Mul", classes, shifted), graph.integers(2), keepdims=1)
    to_blank = graph.constant(60.0 * np.eye(_V, dtype=np.float32)[BLANK])
    return str(graph.add("Add", scores, graph.add("Mul", same, to_blank))), classes


def spell_with_pieces(folder: Path) -> str:
    """Give a model the vocabulary of X-ASR, whose every Han character opens a word, and a SentencePiece model for it.

    Returns:
        The file of the pieces.
    """
    pieces = [token if token[0] in "<▁" or token == "LLO" else "▁" + token for token in TOKENS]
    _tokens(folder, tuple(pieces))
    fields = b""
    for number, piece in enumerate(pieces):
        text = piece.encode()
        content = b"\x0a" + bytes([len(text)]) + text + b"\x15" + struct.pack("<f", -float(number))
        fields += b"\x0a" + bytes([len(content)]) + content
    (folder / "bpe.model").write_bytes(fields)
    return "bpe.model"


def _tokens(folder: Path, tokens: tuple[str, ...] = TOKENS) -> str:
    lines = "".join(f"{token} {number}\n" for number, token in enumerate(tokens))
    (folder / "tokens.txt").write_text(lines, encoding="utf-8")
    return "tokens.txt"


# -- streaming ---------------------------------------------------------------------------------------------------------

_WIDTH = 16
_STATES: tuple[tuple[str, list[int | str]], ...] = (
    ("key", [2, "N", 4]),
    ("nonlin", [1, "N", 2, 12]),
    ("val1", [2, "N", 4]),
    ("val2", [2, "N", 4]),
    ("conv1", ["N", _WIDTH, 1]),
    ("conv2", ["N", _WIDTH, 1]),
    ("embed", ["N", 128, 3, 19]),
)
_ZIPFORMER = {
    "encoder_dims": [_WIDTH],
    "query_head_dims": [4],
    "value_head_dims": [4],
    "num_heads": [1],
    "num_encoder_layers": [1],
    "cnn_module_kernels": [3],
    "left_context_len": [2],
    "T": _FRAMES,
    "decode_chunk_len": _CHUNK,
}


def _zipformer(path: Path, *, transducer: bool) -> None:
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", _FRAMES, _BINS])
    states = {name: graph.input(name, FLOAT, shape) for name, shape in _STATES}
    processed = graph.input("processed_lens", INT64, ["N"])
    chunk = graph.add("Slice", x, graph.integers(0), graph.integers(_CHUNK), graph.integers(1))
    scores = _classifier(graph, _by_four(graph, chunk))
    after = dict(states)
    if transducer:
        before = graph.add("Transpose", states["conv1"], perm=[0, 2, 1])
        scores, classes = _onset(graph, scores, before)
        last = graph.add("Slice", classes, graph.integers(-1), graph.integers(_CHUNK), graph.integers(1))
        after["conv1"] = graph.add("Transpose", last, perm=[0, 2, 1])
    else:
        scores = graph.add("LogSoftmax", scores, axis=-1)
    graph.output(scores, FLOAT, ["N", _CHUNK // 4, _V], "scores")
    for name, shape in _STATES:
        graph.output(after[name], FLOAT, shape, f"new_{name}")
    graph.output(graph.add("Add", processed, graph.integers(_CHUNK // 4)), INT64, ["N"], "new_processed_lens")
    graph.save(path, model_type="zipformer2", **_ZIPFORMER)


def _decoder_and_joiner(folder: Path) -> None:
    graph = Graph()
    y = graph.input("y", INT64, ["N", 2])
    last = graph.add("Gather", y, graph.constant(1, np.int64), axis=1)
    table = graph.constant(np.zeros((_V, _V), np.float32))
    graph.output(graph.add("Gather", table, last, axis=0), FLOAT, ["N", _V], "decoder_out")
    graph.save(folder / "decoder.onnx", vocab_size=_V, context_size=2)
    graph = Graph()
    encoder = graph.input("encoder_out", FLOAT, ["N", _V])
    decoder = graph.input("decoder_out", FLOAT, ["N", _V])
    graph.output(graph.add("Add", encoder, decoder), FLOAT, ["N", _V], "logit")
    graph.save(folder / "joiner.onnx")


_TRANSDUCER = {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx"}


def _streaming_transducer(folder: Path) -> Roles:
    _zipformer(folder / "encoder.onnx", transducer=True)
    _decoder_and_joiner(folder)
    return {**_TRANSDUCER, "tokens": _tokens(folder)}


def _streaming_ctc(folder: Path) -> Roles:
    _zipformer(folder / "model.onnx", transducer=False)
    return {"model": "model.onnx", "tokens": _tokens(folder)}


# -- offline -----------------------------------------------------------------------------------------------------------


def _transducer(folder: Path) -> Roles:
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", "T", _BINS])
    lengths = graph.input("x_lens", INT64, ["N"])
    scores = _classifier(graph, _by_four(graph, x))
    first = graph.add("Slice", scores, graph.integers(0), graph.integers(1), graph.integers(1))
    scores, _ = _onset(graph, scores, graph.add("Mul", first, graph.constant(0.0)))
    graph.output(scores, FLOAT, ["N", "U", _V], "encoder_out")
    graph.output(graph.add("Div", lengths, graph.integers(4)), INT64, ["N"], "encoder_out_lens")
    graph.save(folder / "encoder.onnx")
    _decoder_and_joiner(folder)
    return {**_TRANSDUCER, "tokens": _tokens(folder)}


def _fire_red_ctc(folder: Path) -> Roles:
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", "T", _BINS])
    lengths = graph.input("lens", INT64, ["N"])
    scores = _classifier(graph, _by_four(graph, x), scaled=False)
    graph.output(graph.add("LogSoftmax", scores, axis=-1), FLOAT, ["N", "U", _V], "logits")
    graph.output(graph.add("Div", lengths, graph.integers(4)), INT64, ["N"], "out_lens")
    graph.save(
        folder / "model.onnx",
        model_type="fire-red-asr-2-ctc",
        cmvn_mean=[0.0] * _BINS,
        cmvn_inv_stddev=[1.0] * _BINS,
        subsampling_factor=4,
    )
    return {"model": "model.onnx", "tokens": _tokens(folder)}


_STACKING = {
    "lfr_window_size": _STACKED,
    "lfr_window_shift": _SHIFT,
    "neg_mean": [0.0] * (_BINS * _STACKED),
    "inv_stddev": [1.0] * (_BINS * _STACKED),
}


def _sense_voice(folder: Path) -> Roles:
    """With digits and punctuation asked for, it writes a comma in the last frame of all, so that this can be seen."""
    graph = Graph()
    x = graph.input("x", FLOAT, ["N", "T", _BINS * _STACKED])
    lengths = graph.input("x_length", INT32, ["N"])
    language = graph.input("language", INT32, ["N"])
    norm = graph.input("text_norm", INT32, ["N"])
    size = _V + len(TAGS)
    scores = _classifier(graph, x, scaled=False, stack=_STACKED, extra=len(TAGS))

    def chosen(value: str, wanted: int, yes: int, no: int) -> str:
        equal = graph.add("Equal", value, graph.constant(wanted, np.int32))
        return str(graph.add("Where", equal, graph.constant(yes, np.int64), graph.constant(no, np.int64)))

    def column(ids: str) -> str:
        return str(graph.add("Unsqueeze", ids, graph.integers(1)))

    zeros = graph.add("Mul", graph.add("Cast", norm, to=INT64), graph.constant(0, np.int64))
    tags = [
        chosen(language, 4, _V + 1, _V),
        graph.add("Add", zeros, graph.constant(_V + 2, np.int64)),
        graph.add("Add", zeros, graph.constant(_V + 3, np.int64)),
        chosen(norm, 14, _V + 4, _V + 5),
    ]
    rows = _one_hot(graph, graph.add("Concat", *map(column, tags), axis=1), size)
    rows = graph.add("Mul", rows, graph.constant(50.0))
    frames = graph.add("Gather", graph.add("Shape", x), graph.constant(1, np.int64), axis=0)
    last = graph.add("Sub", graph.add("Cast", lengths, to=INT64), graph.constant(1, np.int64))
    place = graph.add("OneHot", last, frames, graph.constant([0.0, 1.0]), axis=-1)
    with_itn = graph.add("Cast", graph.add("Equal", norm, graph.constant(14, np.int32)), to=FLOAT)
    place = graph.add("Mul", place, column(with_itn))
    comma = graph.constant(500.0 * np.eye(size, dtype=np.float32)[TOKENS.index("，")])
    added = graph.add("Mul", graph.add("Unsqueeze", place, graph.integers(2)), comma)
    logits = graph.add("Concat", rows, graph.add("Add", scores, added), axis=1)
    graph.output(logits, FLOAT, ["N", "U", size], "logits")
    graph.save(
        folder / "model.onnx",
        vocab_size=size,
        normalize_samples=0,
        with_itn=14,
        without_itn=15,
        lang_auto=0,
        lang_zh=3,
        lang_en=4,
        lang_yue=7,
        lang_ja=11,
        lang_ko=12,
        **_STACKING,
    )
    return {"model": "model.onnx", "tokens": _tokens(folder, (*TOKENS, *TAGS))}


_PARAFORMER_TOKENS = tuple(
    {"▁HE": "he@@", "LLO": "llo", "▁WORLD": "world", "<sos/eos>": "</s>"}.get(token, token) for token in TOKENS
)
_END = _PARAFORMER_TOKENS.index("</s>")


def _paraformer(folder: Path) -> Roles:
    graph = Graph()
    x = graph.input("speech", FLOAT, ["N", "T", _BINS * _STACKED])
    lengths = graph.input("speech_lengths", INT32, ["N"])
    scores = _classifier(graph, x, scaled=False, stack=_STACKED)
    classes = graph.add("ArgMax", scores, axis=-1, keepdims=0)
    first = graph.add("Slice", classes, graph.integers(0), graph.integers(1), graph.integers(1))
    nothing = graph.add("Mul", first, graph.constant(0, np.int64))
    earlier = graph.add("Slice", classes, graph.integers(0), graph.integers(-1), graph.integers(1))
    changed = graph.add("Not", graph.add("Equal", classes, graph.add("Concat", nothing, earlier, axis=1)))
    spoken = graph.add("Not", graph.add("Equal", classes, graph.constant(BLANK, np.int64)))
    frames = graph.add("Gather", graph.add("Shape", x), graph.constant(1, np.int64), axis=0)
    zero, one = graph.constant(0, np.int64), graph.constant(1, np.int64)
    places = graph.add("Range", zero, frames, one)
    within = graph.add("Less", places, graph.add("Unsqueeze", graph.add("Cast", lengths, to=INT64), graph.integers(1)))
    fired = graph.add("Cast", graph.add("And", graph.add("And", changed, spoken), within), to=INT64)
    counts = graph.add("ReduceSum", fired, graph.integers(1), keepdims=0)
    most = graph.add("ReduceMax", counts, keepdims=1)
    key = graph.add("Sub", graph.add("Mul", fired, graph.constant(100_000, np.int64)), places)
    keys, order = graph.add("TopK", key, most, outputs=2, axis=1)
    found = graph.add("GatherElements", classes, order, axis=1)
    missing = graph.add("Less", keys, graph.constant(1, np.int64))
    written = graph.add("Where", missing, graph.constant(_END, np.int64), found)
    graph.output(_one_hot(graph, written, _V), FLOAT, ["N", "L", _V], "logits")
    graph.output(graph.add("Cast", counts, to=INT32), INT32, ["N"], "token_num")
    shape = graph.add("Concat", graph.integers(0), graph.integers(-1), axis=0)
    thirds = graph.add("Unsqueeze", graph.add("Cast", fired, to=FLOAT), graph.integers(2))
    spread = graph.add("Pad", thirds, graph.integers(0, 0, 0, 0, 0, 2))
    peaks = graph.add("Pad", graph.add("Reshape", spread, shape), graph.integers(0, 0, 0, 1), graph.constant(1.0))
    graph.output(peaks, FLOAT, ["N", "P"], "us_alphas")
    graph.output(peaks, FLOAT, ["N", "P"], "us_cif_peak")
    graph.save(folder / "model.onnx", vocab_size=_V, **_STACKING)
    return {"model": "model.onnx", "tokens": _tokens(folder, _PARAFORMER_TOKENS)}


def build_punctuation(folder: Path) -> None:
    """A punctuation model that writes ， behind 好, 。 behind 界 and ？ behind world."""
    folder.mkdir(parents=True)
    tokens = ("<unk>", "你", "好", "世", "界", "hello", "world")
    marks = np.zeros((len(tokens), 6), np.float32)
    marks[:, 1] = 1.0
    for token, mark in (("好", 2), ("界", 3), ("world", 4)):
        marks[tokens.index(token), mark] = 5.0
    graph = Graph()
    x = graph.input("inputs", INT32, ["N", "T"])
    graph.input("text_lengths", INT32, ["N"])
    graph.output(graph.add("Gather", graph.constant(marks), x, axis=0), FLOAT, ["N", "T", 6], "logits")
    graph.save(
        folder / "model.onnx",
        tokens="|".join(tokens),
        punctuations="<unk>|_|，|。|？|、",
        vocab_size=len(tokens),
        unk_symbol="<unk>",
        model_type="ct-transformer",
    )
    (folder / "model.toml").write_text('engine = "punctuation"\nroles = {model = "model.onnx"}\n', encoding="utf-8")


KINDS: dict[str, Callable[[Path], Roles]] = {
    "transducer-streaming": _streaming_transducer,
    "ctc-streaming": _streaming_ctc,
    "transducer": _transducer,
    "sense_voice": _sense_voice,
    "paraformer": _paraformer,
    "fire_red_ctc": _fire_red_ctc,
}
