"""Looks at the files of a sherpa-onnx model before the library does, which ends the process over many mistakes.

Only what the files say of themselves is read, never the weights, so it takes milliseconds. What each kind must say was
read in the library's source; it is the reason for an exit or a fault there where it is missing or wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lingting.errors import ModelError
from lingting.models import onnx_metadata
from lingting.models.catalogue import Model
from lingting.models.onnx_metadata import Header

_MELS = 80
_VECTORS = ("encoder_dims", "num_encoder_layers", "cnn_module_kernels", "left_context_len")
_ZIPFORMERS: Mapping[str, tuple[str, ...]] = {
    "zipformer2": (*_VECTORS, "query_head_dims", "value_head_dims", "num_heads"),
    "zipformer": (*_VECTORS, "attention_dims"),
}
_STATES_OF_A_LAYER = 6
_LFR = ("lfr_window_size", "lfr_window_shift", "neg_mean", "inv_stddev")
_SENSE_VOICE = ("with_itn", "without_itn", "lang_auto", "lang_zh", "lang_en", "lang_yue", "lang_ja", "lang_ko")
_BLANKS = ("<blk>", "<eps>", "<blank>")


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of a model: what each says of itself, by role, and the tokens in order."""

    folder: Path
    roles: Mapping[str, str]
    headers: Mapping[str, Header]
    tokens: tuple[str, ...]

    def wrong(self, role: str, what: str) -> ModelError:
        return ModelError(
            f"{self.folder / self.roles[role]} is not what the {role} of this kind of model must be: {what}"
        )

    def require(self, role: str, *keys: str) -> dict[str, str]:
        """The metadata of a file, with those keys in it."""
        metadata = self.headers[role].metadata
        missing = [key for key in keys if not metadata.get(key, "").strip()]
        if missing:
            raise self.wrong(role, f"its metadata have no {', '.join(missing)}")
        return metadata

    def number(self, role: str, key: str) -> int:
        """A positive whole number among the metadata of a file."""
        text = self.require(role, key)[key]
        try:
            value = int(text)
        except ValueError:
            raise self.wrong(role, f"{key} is {text!r}, not a number") from None
        if value < 1:
            raise self.wrong(role, f"{key} is {value}")
        return value

    def numbers(self, role: str, key: str, kind: Callable[[str], float] = float) -> list[float]:
        """Numbers with commas between them among the metadata of a file."""
        try:
            return [kind(text) for text in self.require(role, key)[key].split(",")]
        except ValueError:
            raise self.wrong(role, f"{key} is not a list of numbers") from None

    def count(self, role: str, *, inputs: int | None = None, outputs: int | None = None) -> None:
        """How many tensors go in and come out."""
        header = self.headers[role]
        for what, found, wanted in (("inputs", header.inputs, inputs), ("outputs", header.outputs, outputs)):
            if wanted is not None and len(found) != wanted:
                raise self.wrong(role, f"it has {len(found)} {what}, not {wanted}")

    def vocabulary(self, role: str, size: int) -> None:
        """As many tokens as the model writes numbers."""
        if len(self.tokens) < size:
            raise self.wrong("tokens", f"it has {len(self.tokens)} tokens, and the {role} writes {size}")

    def blank(self) -> None:
        """A token for nothing, which CTC needs."""
        if not set(_BLANKS) & set(self.tokens):
            raise self.wrong("tokens", f"none of {', '.join(_BLANKS)} is in it")


def examine(model: Model, folder: Path) -> None:
    """Look at the files of a model of the operator's own.

    Args:
        model: what it is said to be; kinds that are not known here are left to the library.
        folder: where its files are.

    Raises:
        ModelError: a file is missing, is damaged, or is not what the loader of this kind needs.
    """
    if model.engine not in _KINDS:
        return
    needed, check = _KINDS[model.engine]
    for role in needed:
        if role not in model.roles:
            raise ModelError(f"{folder} names no file for {role!r}, which a model of the kind {model.engine} needs")
    headers = {role: onnx_metadata.read(folder / path) for role, path in model.roles.items() if path.endswith(".onnx")}
    absent = [role for role in needed if role not in headers and role not in ("tokens", "tokenizer")]
    if absent:
        raise ModelError(f"{folder / model.roles[absent[0]]}, the {absent[0]}, is not an .onnx file")
    tokens = read_tokens(folder / model.roles["tokens"]) if "tokens" in needed else ()
    check(_Files(folder, model.roles, headers, tokens))


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a tokens.txt in order: a token and its number a line, numbered from 0.

    Raises:
        ModelError: it is something else.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        # the library splits at ASCII spaces only, and other kinds of space are tokens
        pairs = [re.split(r"[ \t\r\f\v]+", line.strip(" \t\r\f\v")) for line in lines if line.strip(" \t\r\f\v")]
        found = {int(pair[1]): pair[0] for pair in pairs if len(pair) == 2}
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not a list of tokens: {error}") from error
    odd = next((number for number, pair in enumerate(pairs, 1) if len(pair) != 2), None)
    if odd:
        raise ModelError(f"{path} is not a list of tokens: line {odd} is not a token and its number")
    if not found or sorted(found) != list(range(len(pairs))):
        raise ModelError(f"{path} is not a list of tokens: the numbers do not run from 0 to {len(pairs) - 1}")
    return tuple(found[number] for number in range(len(pairs)))


def _zipformer(files: _Files, role: str) -> None:
    kind = files.require(role, "model_type")["model_type"] if role == "encoder" else "zipformer2"
    if kind not in _ZIPFORMERS:
        return  # an older family, which is rare; the trial tells
    frames = files.number(role, "T")
    if files.number(role, "decode_chunk_len") > frames:
        raise files.wrong(role, "decode_chunk_len is more than T")
    lengths = {key: len(files.numbers(role, key, int)) for key in _ZIPFORMERS[kind]}
    if len(set(lengths.values())) != 1:
        raise files.wrong(role, f"the lists in its metadata differ in length: {lengths}")
    if kind == "zipformer2":
        layers = int(sum(files.numbers(role, "num_encoder_layers", int)))
        states = _STATES_OF_A_LAYER * layers + 2
        files.count(role, inputs=1 + states, outputs=1 + states)
    inputs = files.headers[role].inputs
    shape = (inputs[0].shape if inputs else None) or ()
    for place, wanted in ((1, frames), (2, _MELS)):
        if len(shape) > place and shape[place] not in (None, wanted):
            raise files.wrong(role, f"it takes {shape[place]} where its metadata say {wanted}")


def _decoder_and_joiner(files: _Files) -> None:
    files.count("decoder", inputs=1, outputs=1)
    files.count("joiner", inputs=2, outputs=1)
    files.number("decoder", "context_size")
    size = files.number("decoder", "vocab_size")
    files.vocabulary("decoder", size)
    made = (files.headers["decoder"].outputs[0].shape or (None,))[-1]
    taken = (files.headers["joiner"].inputs[1].shape or (None,))[-1]
    if None not in (made, taken) and made != taken:
        raise files.wrong("joiner", f"it takes {taken} numbers of the decoder, which gives {made}")
    written = (files.headers["joiner"].outputs[0].shape or (None,))[-1]
    if written not in (None, size):
        raise files.wrong("joiner", f"it writes {written} tokens, and the decoder knows {size}")


def _streaming_transducer(files: _Files) -> None:
    _zipformer(files, "encoder")
    _decoder_and_joiner(files)


def _streaming_ctc(files: _Files) -> None:
    _zipformer(files, "model")
    files.blank()


def _transducer(files: _Files) -> None:
    files.count("encoder", inputs=2, outputs=2)
    _decoder_and_joiner(files)


def _lfr(files: _Files, role: str) -> None:
    """Frames in stacks, each number of a stack with a mean and a deviation."""
    files.require(role, *_LFR)
    files.number(role, "lfr_window_shift")
    width = files.number(role, "lfr_window_size") * _MELS
    _normalisation(files, role, ("neg_mean", "inv_stddev"), width)


def _normalisation(files: _Files, role: str, keys: tuple[str, str], width: int) -> None:
    for key in keys:
        if (length := len(files.numbers(role, key))) != width:
            raise files.wrong(role, f"{key} has {length} numbers, not {width}")


def _sense_voice(files: _Files) -> None:
    files.require("model", "vocab_size", "normalize_samples", *_SENSE_VOICE)
    _lfr(files, "model")
    files.count("model", inputs=4, outputs=1)
    files.vocabulary("model", files.number("model", "vocab_size"))


def _paraformer(files: _Files) -> None:
    _lfr(files, "model")
    files.count("model", inputs=2)
    files.vocabulary("model", files.number("model", "vocab_size"))
    _ends(files)


def _ends(files: _Files) -> None:
    if "</s>" not in files.tokens:
        raise files.wrong("tokens", "</s>, which ends an utterance, is not in it")


def _streaming_paraformer(files: _Files) -> None:
    _lfr(files, "encoder")
    for key in ("encoder_output_size", "decoder_num_blocks", "decoder_kernel_size"):
        files.number("encoder", key)
    files.vocabulary("encoder", files.number("encoder", "vocab_size"))
    _ends(files)


def _fire_red_ctc(files: _Files) -> None:
    metadata = files.require("model", "model_type")
    if metadata["model_type"] != "fire-red-asr-2-ctc":
        raise files.wrong("model", f"its model_type is {metadata['model_type']}")
    _normalisation(files, "model", ("cmvn_mean", "cmvn_inv_stddev"), _MELS)
    files.count("model", inputs=2, outputs=2)
    files.blank()


def _fire_red_aed(files: _Files) -> None:
    for key in ("num_decoder_layers", "num_head", "head_dim", "max_len"):
        files.number("encoder", key)
    files.require("encoder", "sos", "eos")
    _normalisation(files, "encoder", ("cmvn_mean", "cmvn_inv_stddev"), _MELS)


def _qwen3(files: _Files) -> None:
    files.count("conv_frontend", inputs=1, outputs=1)
    files.count("encoder", inputs=2, outputs=1)
    decoder = files.headers["decoder"]
    caches = len(decoder.outputs) - 1
    if caches < 2 or caches % 2 or len(decoder.inputs) != caches + 4:
        raise files.wrong("decoder", f"it has {len(decoder.inputs)} inputs and {len(decoder.outputs)} outputs")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        if not (files.folder / files.roles["tokenizer"] / name).is_file():
            raise files.wrong("tokenizer", f"{name} is missing")


_TRANSDUCER = ("tokens", "encoder", "decoder", "joiner")
_ONE_MODEL = ("tokens", "model")
_TWO_MODELS = ("tokens", "encoder", "decoder")


def _punctuation(files: _Files) -> None:
    files.require("model", "tokens", "punctuations", "unk_symbol")
    files.number("model", "vocab_size")


_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[_Files], None]]] = {
    "transducer-streaming": (_TRANSDUCER, _streaming_transducer),
    "ctc-streaming": (_ONE_MODEL, _streaming_ctc),
    "paraformer-streaming": (_TWO_MODELS, _streaming_paraformer),
    "transducer": (_TRANSDUCER, _transducer),
    "sense_voice": (_ONE_MODEL, _sense_voice),
    "paraformer": (_ONE_MODEL, _paraformer),
    "fire_red_ctc": (_ONE_MODEL, _fire_red_ctc),
    "fire_red_aed": (_TWO_MODELS, _fire_red_aed),
    "qwen3_asr": (("conv_frontend", "encoder", "decoder", "tokenizer"), _qwen3),
    "punctuation": (("model",), _punctuation),
    "funasr_nano": (("encoder_adaptor", "llm", "embedding", "tokenizer"), lambda files: None),
}
