"""Looking at a model's files before the library does: what it would end the process over is refused in words."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingting.errors import ModelError
from lingting.models import Model, Store, headers, own
from lingting.models.vetting import vet
from tests.models import onnx_files
from tests.models.onnx_files import change

KINDS = sorted(onnx_files.KINDS)
NEEDED = {
    "transducer-streaming": {
        "encoder": [
            *("model_type", "encoder_dims", "query_head_dims", "value_head_dims", "num_heads", "num_encoder_layers"),
            *("cnn_module_kernels", "left_context_len", "T", "decode_chunk_len"),
        ],
        "decoder": ["vocab_size", "context_size"],
    },
    "ctc-streaming": {"model": ["encoder_dims", "num_encoder_layers", "left_context_len", "T", "decode_chunk_len"]},
    "transducer": {"decoder": ["vocab_size", "context_size"]},
    "sense_voice": {
        "model": ["vocab_size", "lfr_window_size", "normalize_samples", "with_itn", "lang_zh", "neg_mean", "inv_stddev"]
    },
    "paraformer": {"model": ["vocab_size", "lfr_window_size", "lfr_window_shift", "neg_mean", "inv_stddev"]},
    "fire_red_ctc": {"model": ["model_type", "cmvn_mean", "cmvn_inv_stddev"]},
    "fire_red_aed": {"encoder": ["num_head", "head_dim", "eos", "max_len", "cmvn_mean", "cmvn_inv_stddev"]},
    "paraformer-streaming": {"encoder": ["decoder_num_blocks", "decoder_kernel_size", "vocab_size", "neg_mean"]},
}


def build(tmp_path: Path, kind: str) -> tuple[Model, Path]:
    """A model of that kind, as far as its files say what it is."""
    folder = tmp_path / "ours"
    return Model(name="ours", engine=kind, roles=onnx_files.build(kind, folder)), folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_of_each_kind_is_told_by_its_files_and_found_good(tmp_path: Path, kind: str) -> None:
    model, folder = build(tmp_path, kind)
    headers.examine(model, folder)
    described = own.describe(folder)
    assert described.engine == kind
    assert described.roles == model.roles


@pytest.mark.parametrize(
    ("kind", "role", "key"),
    [(kind, role, key) for kind, roles in NEEDED.items() for role, keys in roles.items() for key in keys],
)
def test_a_key_that_the_library_exits_over_is_named(tmp_path: Path, kind: str, role: str, key: str) -> None:
    model, folder = build(tmp_path, kind)
    change(folder / model.roles[role], **{key: None})
    with pytest.raises(ModelError, match=rf"{model.roles[role]} is not what the {role} .*have no {key}"):
        headers.examine(model, folder)


@pytest.mark.parametrize(
    ("kind", "role", "metadata", "message"),
    [
        ("transducer-streaming", "encoder", {"num_encoder_layers": "2"}, "it has 9 inputs, not 15"),
        (
            "transducer-streaming",
            "encoder",
            {"num_encoder_layers": "1,1"},
            "the lists in its metadata differ in length",
        ),
        (
            "transducer-streaming",
            "encoder",
            {"num_encoder_layers": "many"},
            "num_encoder_layers is not a list of numbers",
        ),
        ("transducer-streaming", "encoder", {"T": "61"}, "it takes 45 where its metadata say 61"),
        ("transducer-streaming", "encoder", {"T": "-1"}, "T is -1"),
        ("transducer-streaming", "decoder", {"vocab_size": "x"}, "vocab_size is 'x', not a number"),
        ("transducer-streaming", "decoder", {"vocab_size": "5"}, "it has 4 tokens, and the decoder writes 5"),
        ("sense_voice", "model", {"neg_mean": "0,0,0"}, "neg_mean has 3 numbers, not 560"),
        ("fire_red_ctc", "model", {"cmvn_mean": "0"}, "cmvn_mean has 1 numbers, not 80"),
        ("fire_red_ctc", "model", {"model_type": "other"}, "its model_type is other"),
    ],
)
def test_metadata_that_do_not_fit_the_graph_are_named(
    tmp_path: Path, kind: str, role: str, metadata: dict[str, str], message: str
) -> None:
    model, folder = build(tmp_path, kind)
    change(folder / model.roles[role], **metadata)
    with pytest.raises(ModelError, match=message):
        headers.examine(model, folder)


def test_files_that_were_swapped_are_noticed(tmp_path: Path) -> None:
    model, folder = build(tmp_path, "transducer-streaming")
    swapped = Model(
        name="ours",
        engine=model.engine,
        roles={**model.roles, "decoder": model.roles["joiner"], "joiner": model.roles["decoder"]},
    )
    with pytest.raises(ModelError, match="not what the decoder"):
        headers.examine(swapped, folder)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("qwen3_asr", "fire_red_aed")])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a list of tokens"),
        ("one two three\n", "line 1 is not a token and its number"),
        ("a 0\nb 2\n", "the numbers do not run from 0 to 1"),
        ("a zero\n", "not a list of tokens"),
        ("\xff\xfe", "not a list of tokens"),
        ("a 0\n", "it has 1 tokens|none of <blk>|</s>"),
    ],
)
def test_a_wrong_list_of_tokens_is_refused(tmp_path: Path, kind: str, text: str, message: str) -> None:
    model, folder = build(tmp_path, kind)
    (folder / model.roles["tokens"]).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match=message):
        headers.examine(model, folder)


def test_a_language_model_that_lacks_tensors_or_its_tokenizer_is_refused(tmp_path: Path) -> None:
    model, folder = build(tmp_path, "qwen3_asr")
    (folder / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(ModelError, match=r"merges\.txt is missing"):
        headers.examine(model, folder)
    onnx_files.write(folder / "decoder.onnx", [["N"]] * 8, [["N"]] * 4)
    with pytest.raises(ModelError, match="it has 8 inputs and 4 outputs"):
        headers.examine(model, folder)


def test_tokens_are_split_where_the_library_splits_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens.txt"
    path.write_text("<blk> 0\n\u3000 1\n\u2028 2\n\xa0 3\n", encoding="utf-8")
    assert headers.read_tokens(path) == ("<blk>", "\u3000", "\u2028", "\xa0")


def test_a_role_without_a_file_is_named(tmp_path: Path) -> None:
    model, folder = build(tmp_path, "sense_voice")
    with pytest.raises(ModelError, match="names no file for 'model'"):
        headers.examine(Model(name="ours", engine="sense_voice", roles={"tokens": "tokens.txt"}), folder)
    with pytest.raises(ModelError, match=r"the model, is not an \.onnx file"):
        headers.examine(Model(name="ours", engine=model.engine, roles={**model.roles, "model": "tokens.txt"}), folder)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KINDS), st.data())
def test_whatever_is_changed_in_a_file_it_is_found_good_or_refused(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    model, folder = build(tmp_path_factory.mktemp("fuzz"), kind)
    files = [role for role, path in model.roles.items() if (folder / path).is_file()]
    role = data.draw(st.sampled_from(files))
    content = bytearray((folder / model.roles[role]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / model.roles[role]).write_bytes(content)
    with suppress(ModelError):
        headers.examine(model, folder)


def test_a_folder_of_ones_own_is_looked_at_before_it_is_loaded(tmp_path: Path) -> None:
    _, folder = build(tmp_path, "sense_voice")
    store = Store.at(tmp_path)
    change(folder / "model.onnx", neg_mean="0")
    with pytest.raises(ModelError, match="neg_mean has 1 numbers, not 560"):
        vet(store, "ours")
    with pytest.raises(ModelError, match="lingting models pull sense-voice"):
        vet(store, "sense-voice")
