"""What is installed, and the words that say what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from lingting.errors import ModelError
from lingting.models import Store


def test_an_absent_model_names_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="lingting models pull whisper-base"):
        Store.at(tmp_path / "absent").path("whisper-base")


def test_an_unknown_model_points_at_the_list(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model 'whisper-huge'.*lingting models list"):
        Store.at(tmp_path).path("whisper-huge")


@pytest.mark.parametrize("name", ["..", "../secrets", "/etc", "", ".hidden", "a/b", "a\0b"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot be the name of a model"):
        Store.at(tmp_path).path(name)


def test_a_model_of_ones_own_is_found_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "model.bin").write_bytes(b"12345")
    store = Store.at(tmp_path)
    assert store.path("ours") == tmp_path / "ours"
    assert store.installed() == ["ours"]
    assert store.size("ours") == 5


def test_there_is_nothing_to_verify_a_model_of_ones_own_with(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    with pytest.raises(ModelError, match=r"no digest to compare it with.*lingting models check ours"):
        Store.at(tmp_path).verify("ours")


def test_a_model_is_removed_once(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    store = Store.at(tmp_path)
    store.remove("ours")
    assert store.installed() == []
    with pytest.raises(ModelError, match="not installed"):
        store.remove("ours")


def test_a_model_that_a_server_holds_cannot_be_removed_until_it_lets_go(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    store = Store.at(tmp_path)
    with store.hold("ours") as folder, store.hold("ours"):
        assert folder == tmp_path / "ours"
        with pytest.raises(ModelError, match="in use by a running server"):
            store.remove("ours")
        assert store.installed() == ["ours"]
    store.remove("ours")


def test_a_hold_ends_with_its_process(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lingting.models import Store\n"
        "with Store.at(Path(sys.argv[1])).hold('ours'):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ModelError, match="in use by a running server"):
            Store.at(tmp_path).remove("ours")
        holder.kill()
        holder.wait()
    Store.at(tmp_path).remove("ours")


def test_of_a_linked_model_only_the_link_is_removed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.bin").touch()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "ours").symlink_to(tmp_path / "elsewhere")
    store = Store.at(tmp_path / "models")
    store.remove("ours")
    assert store.installed() == []
    assert (tmp_path / "elsewhere" / "model.bin").exists()


def write_onnx(path: Path, **metadata: str) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value]))
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize(
    ("files", "engine", "roles"),
    [
        ({"model.bin": None, "config.json": None}, "whisper-ctranslate2", {}),
        (
            {"encoder.onnx": {"decode_chunk_len": "32"}, "decoder.onnx": {}, "joiner.onnx": {}, "tokens.txt": None},
            "transducer-streaming",
            {"tokens": "tokens.txt", "encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx"},
        ),
        (
            {
                "encoder-1.int8.onnx": {},
                "encoder-1.onnx": {},
                "decoder.onnx": {},
                "joiner.onnx": {},
                "tokens.txt": None,
            },
            "transducer",
            {
                "tokens": "tokens.txt",
                "encoder": "encoder-1.int8.onnx",
                "decoder": "decoder.onnx",
                "joiner": "joiner.onnx",
            },
        ),
        ({"model.onnx": {"lfr_window_size": "7", "with_itn": "14"}, "tokens.txt": None}, "sense_voice", None),
        ({"model.onnx": {"lfr_window_size": "7"}, "tokens.txt": None}, "paraformer", None),
        ({"model.onnx": {"model_type": "fire-red-asr-2-ctc"}, "tokens.txt": None}, "fire_red_ctc", None),
        ({"model.onnx": {"decode_chunk_len": "32"}, "tokens.txt": None}, "ctc-streaming", None),
        (
            {"encoder.onnx": {"num_decoder_layers": "1", "sos": "1"}, "decoder.onnx": {}, "tokens.txt": None},
            "fire_red_aed",
            None,
        ),
        (
            {"encoder.onnx": {"encoder_output_size": "1"}, "decoder.onnx": {}, "tokens.txt": None},
            "paraformer-streaming",
            None,
        ),
    ],
)
def test_a_model_of_ones_own_is_told_by_its_files(
    tmp_path: Path, files: dict[str, dict[str, str] | None], engine: str, roles: dict[str, str] | None
) -> None:
    (tmp_path / "ours").mkdir()
    for name, metadata in files.items():
        if metadata is None:
            (tmp_path / "ours" / name).touch()
        else:
            write_onnx(tmp_path / "ours" / name, **metadata)
    model = Store.at(tmp_path).describe("ours")
    assert (model.name, model.engine) == ("ours", engine)
    assert roles is None or model.roles == roles


def test_a_model_of_ones_own_says_in_a_file_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "weights.onnx").touch()
    description = tmp_path / "ours" / "model.toml"
    description.write_text('engine = "sense_voice"\nroles = {model = "weights.onnx"}\noptions = {use_itn = true}\n')
    model = Store.at(tmp_path).describe("ours")
    assert (model.engine, model.roles, model.options) == ("sense_voice", {"model": "weights.onnx"}, {"use_itn": True})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("engine = ", "model.toml cannot be used"),
        ("languages = ['zh']", "model.toml cannot be used: .*engine"),
        ("engine = 'x'\narchive = {}", "unknown key 'archive'"),
        ("engine = 'x'\nroles = {model = '../secret'}", "names ../secret as the model, which is not in the folder"),
        ("engine = 'x'\nroles = {model = 'absent'}", "names absent as the model"),
    ],
)
def test_a_wrong_description_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "secret").touch()
    (tmp_path / "ours" / "model.toml").write_text(text)
    with pytest.raises(ModelError, match=message):
        Store.at(tmp_path).describe("ours")


def test_files_that_say_nothing_ask_for_a_description(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "weights").touch()
    with pytest.raises(ModelError, match=r"write a model\.toml into it"):
        Store.at(tmp_path).describe("ours")


def test_an_unpacked_model_without_a_record_cannot_be_verified(tmp_path: Path) -> None:
    """Somebody put the files there by hand: they may be right, and nobody can say so."""
    model = Store.at(tmp_path).catalogue.find("sense-voice-yue")
    (tmp_path / model.name).mkdir()
    store = Store.at(tmp_path)
    with pytest.raises(ModelError, match=r"model\.int8\.onnx is missing"):
        store.path(model.name)
    for path in model.roles.values():
        (tmp_path / model.name / path).touch()
    store.path(model.name)
    with pytest.raises(ModelError, match="nothing is known of the digests of sense-voice-yue"):
        store.verify(model.name)
