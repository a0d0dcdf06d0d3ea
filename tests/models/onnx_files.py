"""Files of sherpa-onnx models as far as they say what they are: metadata, inputs and outputs, and no weights.

What each kind says is as the library reads it; models that it can load too are in `tests/engines/tiny`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

Shape = Sequence[int | str]
Roles = dict[str, str]

TOKENS = "<blk> 0\n</s> 1\n你 2\n好 3\n"
SIZE = "4"
_ZIPFORMER = {
    "model_type": "zipformer2",
    "encoder_dims": "16",
    "query_head_dims": "4",
    "value_head_dims": "4",
    "num_heads": "1",
    "num_encoder_layers": "1",
    "cnn_module_kernels": "3",
    "left_context_len": "2",
    "T": "45",
    "decode_chunk_len": "32",
}
_LFR = {
    "lfr_window_size": "7",
    "lfr_window_shift": "6",
    "neg_mean": ",".join(["0"] * 560),
    "inv_stddev": ",".join(["1"] * 560),
    "vocab_size": SIZE,
}
_LANGUAGES = {f"lang_{name}": str(number) for number, name in enumerate(("auto", "zh", "en", "yue", "ja", "ko"))}
_CMVN = {"cmvn_mean": ",".join(["0"] * 80), "cmvn_inv_stddev": ",".join(["1"] * 80)}
_STATES: list[Shape] = [["N"]] * 8


def write(path: Path, inputs: Sequence[Shape] = (), outputs: Sequence[Shape] = (), **metadata: str) -> None:
    """An .onnx file with those tensors and metadata, and a graph that does nothing."""
    values = [
        [
            helper.make_tensor_value_info(f"{side}{place}", TensorProto.FLOAT, shape)
            for place, shape in enumerate(shapes)
        ]
        for side, shapes in (("x", inputs), ("y", outputs))
    ]
    model = helper.make_model(helper.make_graph([], "g", *values))
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    path.write_bytes(model.SerializeToString())


def change(path: Path, **metadata: str | None) -> None:
    """Change metadata of an .onnx file; None takes a key away."""
    model = onnx.load(str(path))
    kept = {entry.key: entry.value for entry in model.metadata_props} | metadata
    del model.metadata_props[:]
    for key, value in kept.items():
        if value is not None:
            model.metadata_props.add(key=key, value=value)
    onnx.save(model, str(path))


def build(kind: str, folder: Path) -> Roles:
    """Write the files of a kind into a new folder."""
    folder.mkdir(parents=True)
    roles: Roles = {}
    for role, (inputs, outputs, metadata) in KINDS[kind].items():
        roles[role] = f"{role}.onnx"
        write(folder / roles[role], inputs, outputs, **metadata)
    if kind == "qwen3_asr":
        roles["tokenizer"] = "tokenizer"
        (folder / "tokenizer").mkdir()
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            (folder / "tokenizer" / name).write_text("{}")
    else:
        roles["tokens"] = "tokens.txt"
        (folder / "tokens.txt").write_text(TOKENS, encoding="utf-8")
    return roles


_File = tuple[list[Shape], list[Shape], dict[str, str]]
_X: Shape = ["N", 45, 80]
_DECODER: _File = ([["N", 2]], [["N", 16]], {"vocab_size": SIZE, "context_size": "2"})
_JOINER: _File = ([["N", 16], ["N", 16]], [["N", 4]], {})

KINDS: dict[str, dict[str, _File]] = {
    "transducer-streaming": {
        "encoder": ([_X, *_STATES], [["N", 8, 16], *_STATES], _ZIPFORMER),
        "decoder": _DECODER,
        "joiner": _JOINER,
    },
    "ctc-streaming": {
        "model": (
            [_X, *_STATES],
            [["N", 8, 4], *_STATES],
            {key: value for key, value in _ZIPFORMER.items() if key != "model_type"},
        )
    },
    "paraformer-streaming": {
        "encoder": (
            [["N", "T", 560]],
            [["N", "T", 512]],
            {**_LFR, "encoder_output_size": "512", "decoder_num_blocks": "16", "decoder_kernel_size": "11"},
        ),
        "decoder": ([["N"]], [["N"]], {}),
    },
    "transducer": {
        "encoder": ([["N", "T", 80], ["N"]], [["N", "T", 16], ["N"]], {}),
        "decoder": _DECODER,
        "joiner": _JOINER,
    },
    "sense_voice": {
        "model": (
            [["N", "T", 560], ["N"], ["N"], ["N"]],
            [["N", "T", 4]],
            {**_LFR, **_LANGUAGES, "normalize_samples": "0", "with_itn": "14", "without_itn": "15"},
        )
    },
    "paraformer": {"model": ([["N", "T", 560], ["N"]], [["N", "L", 4], ["N"]], _LFR)},
    "fire_red_ctc": {
        "model": ([["N", "T", 80], ["N"]], [["N", "U", 4], ["N"]], {"model_type": "fire-red-asr-2-ctc", **_CMVN})
    },
    "fire_red_aed": {
        "encoder": (
            [["N", "T", 80], ["N"]],
            [["N"]],
            {
                **_CMVN,
                **{"num_decoder_layers": "16", "num_head": "20", "head_dim": "64"},
                **{"sos": "3", "eos": "4", "max_len": "448"},
            },
        ),
        "decoder": ([["N"]], [["N"]], {}),
    },
    "qwen3_asr": {
        "conv_frontend": ([["N"]], [["N"]], {}),
        "encoder": ([["N"]] * 2, [["N"]], {}),
        "decoder": ([["N"]] * 8, [["N"]] * 5, {}),
    },
}
