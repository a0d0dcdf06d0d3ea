"""`lingting models` as a person types it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from lingting import settings_file
from lingting.errors import SettingsError
from lingting.models import Store, catalogue
from tests.cli.test_command import lingting
from tests.conftest import LINGTING
from tests.models import onnx_files


@pytest.fixture
def data_dir(tmp_path: Path, model_dir: Path) -> Path:
    """A data folder with Whisper base."""
    folder = tmp_path / "models" / "whisper-base"
    folder.mkdir(parents=True)  # of its own: servers of other tests hold the shared one
    for file in model_dir.iterdir():
        (folder / file.name).symlink_to(file)
    return tmp_path


def test_the_list_says_what_is_in_use_installed_embedded_and_to_download(data_dir: Path) -> None:
    (data_dir / "models" / "ours").mkdir()
    rows = {row["name"]: row for row in json.loads(lingting("models", "list", "--json", data_dir=data_dir).stdout)}
    assert set(rows) == {*catalogue().models, "ours"}
    assert (rows["whisper-base"]["used"], rows["whisper-base"]["installed"]) == (True, True)
    assert (rows["x-asr-480ms"]["installed"], rows["x-asr-480ms"]["live"]) == (False, True)
    lines = lingting("models", "list", data_dir=data_dir).stdout.splitlines()
    states = {line.split()[0]: line[24:34].strip() for line in lines}
    assert states["whisper-base"] == "in use"
    assert states["ours"] == "installed"
    assert states["x-asr-480ms"] == "download"


def test_show_tells_people_where_every_file_is_and_what_it_must_be(tmp_path: Path) -> None:
    shown = lingting("models", "show", "x-asr-480ms", data_dir=tmp_path).stdout
    assert re.search(r"no: \S*lingting models pull x-asr-480ms", " ".join(shown.split()))
    assert "Apache-2.0" in shown
    assert "WenetSpeech net/meeting 7.46/9.11" in shown
    assert "SHA-256 fa5f63d618e5a01526e275a358bb7772e403f84808a4769fba52cffd8160bf74" in shown
    mirrored = lingting(
        "models",
        "show",
        "whisper-tiny",
        "--json",
        data_dir=tmp_path,
        LINGTING_HUGGING_FACE_URL="https://hf.example.com",
        LINGTING_DOWNLOAD_URL="http://mirror.example.com/models/",
    )
    weights = next(each for each in json.loads(mirrored.stdout)["downloads"] if each["file"] == "model.bin")
    assert weights["urls"] == [
        "http://mirror.example.com/models/whisper-tiny/model.bin",
        "https://hf.example.com/Systran/faster-whisper-tiny/resolve/d90ca5fe260221311c53c58e660288d3deb8d356/model.bin",
    ]


def test_show_tells_what_a_folder_of_ones_own_is(tmp_path: Path) -> None:
    (tmp_path / "models" / "ours").mkdir(parents=True)
    (tmp_path / "models" / "ours" / "model.toml").write_text('engine = "sense_voice"')
    row = json.loads(lingting("models", "show", "ours", "--json", data_dir=tmp_path).stdout)
    assert (row["installed"], row["engine"], row["downloads"]) == (True, "sense_voice", [])
    assert "lingting models list" in lingting("models", "show", "absent", data_dir=tmp_path).stderr


def test_a_model_is_pulled_from_a_folder_without_a_network(tmp_path: Path, model_dir: Path) -> None:
    shown = lingting("models", "pull", "whisper-base", "--from", str(model_dir), data_dir=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr.startswith("copying whisper-base: 148 MB\n")
    assert (tmp_path / "models" / "whisper-base" / "model.bin").stat().st_size == 145_217_532


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "whisper-tiny", "--from", "absent"], "absent does not exist; --from takes a file or folder"),
        (["pull", "whisper-tiny", "--from", "."], "does not hold the files of whisper-tiny: all of config.json"),
        (["use", "whisper-tiny"], "lingting models pull whisper-tiny"),
        (["check", "whisper-tiny"], "lingting models pull whisper-tiny"),
        (["use", "whisper-huge"], "no model 'whisper-huge'"),
        (["show", "whisper-huge"], "unknown model 'whisper-huge'"),
    ],
)
def test_what_cannot_be_done_is_one_line_with_the_remedy(tmp_path: Path, arguments: list[str], message: str) -> None:
    shown = lingting("models", *arguments, data_dir=tmp_path)
    assert shown.returncode == 1
    assert message in shown.stderr
    assert shown.stderr.count("\n") == 1


def test_without_a_network_a_pull_says_how_to_do_without(tmp_path: Path) -> None:
    settings = {"LINGTING_DOWNLOAD_PROXY": "http://127.0.0.1:9"}
    shown = lingting("models", "pull", "whisper-tiny", data_dir=tmp_path, **settings)
    assert shown.returncode == 1
    assert "nothing was installed" in shown.stderr
    assert re.search(r"Without a network: \S*lingting models pull whisper-tiny --from FOLDER", shown.stderr)


def test_removing_asks_and_does_nothing_without_an_answer(data_dir: Path) -> None:
    shown = lingting("models", "remove", "whisper-base", data_dir=data_dir)
    assert shown.returncode == 1
    assert "say it with --yes" in shown.stderr
    assert (data_dir / "models" / "whisper-base").exists()


def test_on_a_terminal_removing_asks_a_person(data_dir: Path) -> None:
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir)}
    for answer, left in ((b"n\n", True), (b"y\n", False)):
        master, slave = os.openpty()
        with subprocess.Popen(
            [str(LINGTING), "models", "remove", "whisper-base"],
            env=environment,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            os.write(master, answer)
            _, said = process.communicate(timeout=60)
        os.close(master)
        os.close(slave)
        assert b"Delete whisper-base, the model that the settings name" in said
        assert (data_dir / "models" / "whisper-base").exists() == left


def test_a_model_that_a_server_holds_is_not_removed(data_dir: Path) -> None:
    with Store.at(data_dir / "models").hold("whisper-base"):
        shown = lingting("models", "remove", "whisper-base", "--yes", data_dir=data_dir)
    assert shown.returncode == 1
    assert "in use by a running server" in shown.stderr


def test_using_a_model_changes_one_line_of_the_settings_and_is_in_force(data_dir: Path) -> None:
    (data_dir / "models" / "ours").mkdir()
    shutil.copy(data_dir / "models" / "whisper-base" / "config.json", data_dir / "models" / "ours")
    (data_dir / "models" / "ours" / "model.bin").touch()
    file = data_dir / "lingting.toml"
    file.write_text('# ours\nport = 8301  # behind nginx\n\nmodel = "whisper-base" # for now\nlanguage = "zh"\n')
    shown = lingting("models", "use", "ours", data_dir=data_dir)
    assert shown.returncode == 0, shown.stderr
    assert file.read_text() == '# ours\nport = 8301  # behind nginx\n\nmodel = "ours" # for now\nlanguage = "zh"\n'
    rows = json.loads(lingting("models", "list", "--json", data_dir=data_dir).stdout)
    assert [row["name"] for row in rows if row["used"]] == ["ours"]
    warned = lingting("models", "use", "whisper-base", "--json", data_dir=data_dir, LINGTING_MODEL="ours")
    assert "LINGTING_MODEL=ours in the environment stands above" in warned.stderr
    assert json.loads(warned.stdout)["file"] == str(file)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'model = "m"\n'),
        ("port = 1", 'port = 1\nmodel = "m"\n'),
        ("model='a'#b\n", 'model = "m"#b\n'),
        ("  model = 'a'\n", '  model = "m"\n'),
        ('models = 1\nmodel=  "a"\r\n', 'models = 1\nmodel = "m"\r\n'),
        ("port = 1\n[table]\nmodel = 'a'\n", "port = 1\nmodel = \"m\"\n[table]\nmodel = 'a'\n"),
    ],
)
def test_a_setting_is_written_where_it_stands_or_behind_the_others(before: str, after: str) -> None:
    changed = settings_file.changed(before, "model", "m")
    assert changed == after
    assert tomllib.loads(changed)["model"] == "m"


def test_a_setting_that_stands_over_several_lines_is_left_to_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINGTING_CONFIG", str(tmp_path / "own.toml"))
    for text in ('model = """\nwhisper-base"""\n', 'trusted = """\nmodel = "a"\n"""\nmodel = "b"\n'):
        (tmp_path / "own.toml").write_text(text)
        with pytest.raises(SettingsError, match=r"own\.toml"):
            settings_file.write("model", "ours")
        assert (tmp_path / "own.toml").read_text() == text


@pytest.mark.engine
def test_check_hears_a_recording_and_says_in_one_line_that_all_is_well(data_dir: Path) -> None:
    shown = lingting("models", "check", "whisper-base", data_dir=data_dir)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[-1] == "whisper-base: all is well"
    assert "购买" in shown.stdout
    result = json.loads(lingting("models", "check", "whisper-base", "--json", data_dir=data_dir).stdout)
    assert result["problem"] is None
    assert result["errors"] < 0.35
    assert 0 < result["seconds"] < result["audio_seconds"]
    assert 100 < result["memory_mb"] < 2000


def test_what_files_of_ones_own_lack_is_said_before_they_are_loaded_or_used(tmp_path: Path) -> None:
    onnx_files.build("sense_voice", tmp_path / "models" / "ours")
    onnx_files.change(tmp_path / "models" / "ours" / "model.onnx", with_itn="", lang_zh=None)
    (tmp_path / "models" / "ours" / "model.toml").write_text(
        'engine = "sense_voice"\nroles = {model = "model.onnx", tokens = "tokens.txt"}'
    )
    for command in ("check", "use"):
        shown = lingting("models", command, "ours", data_dir=tmp_path)
        assert shown.returncode == 1
        assert "its metadata have no with_itn, lang_zh" in shown.stderr
        assert shown.stderr.count("\n") == 1
    assert not (tmp_path / "lingting.toml").exists()


def test_check_of_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "ours"
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt"):
        (folder / name).write_bytes(b"{}")
    shown = lingting("models", "check", "ours", data_dir=tmp_path)
    assert shown.returncode == 1
    assert "ours" in shown.stderr
    assert shown.stderr.count("\n") == 1
