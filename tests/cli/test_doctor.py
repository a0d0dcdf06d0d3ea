"""`lingting doctor`: what it finds on a well machine, and what it says about each thing that is wrong."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lingting.cli import checks
from lingting.operations.memory import available_memory
from lingting.remembered import remember_language_model
from lingting.settings import Settings
from tests.conftest import LINGTING, LiveServer, free_port


def doctor(data_dir: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    environment = {**os.environ, "LINGTING_DATA_DIR": str(data_dir), "NO_COLOR": "1", "COLUMNS": "80"}
    environment |= {"LINGTING_PORT": str(free_port())} | settings
    command = [str(LINGTING), "doctor", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.engine
def test_on_a_well_machine_nothing_is_wrong(model_dir: Path) -> None:
    shown = doctor(model_dir.parents[1], "--json")
    report = json.loads(shown.stdout)
    found = {finding["check"]: finding for finding in report["findings"]}
    assert list(found) == list(checks.CHECKS)
    assert [finding for finding in report["findings"] if finding["status"] == "wrong"] == []
    assert (shown.returncode, report["ok"]) == (0, True)
    assert "购买" in found["recognition"]["found"]
    assert "decoded in processes" in found["decoding"]["found"]


def test_without_a_model_it_says_which_command_installs_it(tmp_path: Path) -> None:
    shown = doctor(tmp_path)
    assert shown.returncode == 1
    assert shown.stderr == ""
    lines = shown.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "✗ model       the model whisper-base is not installed" in [line.rstrip() for line in lines]
    assert re.search(r"→ install it with: \S*lingting models pull whisper-base", " ".join(shown.stdout.split()))
    assert lines[-1].startswith("2 things are wrong")


def test_a_wrong_setting_is_a_finding(tmp_path: Path) -> None:
    shown = doctor(tmp_path, "--json", LINGTING_PORT="99999")
    report = json.loads(shown.stdout)
    assert shown.returncode == 1
    assert [finding["check"] for finding in report["findings"]] == ["settings"]
    assert "LINGTING_PORT" in report["findings"][0]["found"]


def test_a_port_of_another_program_is_wrong_and_one_of_lingting_is_not(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0)
        found = checks.port(Settings(data_dir=tmp_path, port=other.getsockname()[1]))
    assert found.status == "wrong"
    assert "already in use" in found.found
    assert "LINGTING_PORT" in found.advice
    assert checks.port(Settings(data_dir=tmp_path, port=free_port())).status == "ok"
    open_to_all = checks.port(Settings(data_dir=tmp_path, port=free_port(), host="0.0.0.0"))
    assert (open_to_all.status, "TLS" in open_to_all.advice) == ("warning", True)


@pytest.mark.engine
def test_a_port_that_lingting_has_is_fine(live_server: LiveServer, tmp_path: Path) -> None:
    found = checks.port(Settings(data_dir=tmp_path, port=int(live_server.url.rsplit(":", 1)[1])))
    assert (found.status, "a Lingting server answers" in found.found) == ("ok", True)


def test_a_damaged_database_is_wrong(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert "will be made" in checks.database(settings).found
    (tmp_path / "lingting.db").write_bytes(b"this is no database" * 1000)
    found = checks.database(settings)
    assert (found.status, "backup" in found.advice) == ("wrong", True)


def test_a_database_that_does_not_answer_is_wrong_and_shows_no_password(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://ada:secret@127.0.0.1:{free_port()}/lingting"
    found = checks.database(Settings(data_dir=tmp_path, database_url=url))
    assert found.status == "wrong"
    assert "secret" not in f"{found.found}{found.advice}"


def test_a_database_that_others_may_read_is_a_warning(tmp_path: Path) -> None:
    database = tmp_path / "lingting.db"
    database.touch()
    database.chmod(0o644)
    found = checks.data_folder(Settings(data_dir=tmp_path))
    assert (found.status, found.advice) == ("warning", f"chmod 600 {database}")
    database.chmod(0o600)
    assert checks.data_folder(Settings(data_dir=tmp_path)).status == "ok"


def test_tls_files_that_cannot_be_used_are_wrong(tmp_path: Path) -> None:
    for name in ("certificate.pem", "key.pem"):
        (tmp_path / name).write_text("not PEM")
    settings = Settings(
        data_dir=tmp_path, tls_certificate=tmp_path / "certificate.pem", tls_key=tmp_path / "key.pem", port=free_port()
    )
    findings = {finding.check: finding for finding in checks.examine(settings)}
    assert findings["TLS"].status == "wrong"
    assert "certificate.pem" in findings["TLS"].found


def test_memory_is_that_of_the_container_where_it_is_less(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4000000 kB\n")
    assert available_memory(tmp_path) == 4_096_000_000
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("1000000000\n")
    (group / "memory.current").write_text("400000000\n")
    assert available_memory(tmp_path) == 600_000_000
    (group / "memory.max").write_text("max\n")
    assert available_memory(tmp_path) == 4_096_000_000
    assert available_memory(tmp_path / "elsewhere") is None


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        ("sse2 avx2 avx512_vnni", "ok", "VNNI"),
        ("sse2 avx2", "ok", "without VNNI"),
        ("sse2", "warning", "without AVX2"),
    ],
)
def test_a_slow_processor_is_a_warning(
    flags: str, status: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    known = checks.processor_flags(tmp_path / "cpuinfo")
    monkeypatch.setattr(checks, "processor_flags", lambda: known)
    monkeypatch.setattr(checks.platform, "machine", lambda: "x86_64")
    found = checks.processor(Settings(data_dir=tmp_path))
    assert (found.status, words in found.found) == (status, True)


def test_it_names_the_language_model_of_the_second_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**settings: Any) -> checks.Finding:
        return checks.second_pass(Settings(data_dir=tmp_path, **settings))

    assert (found().status, found().found) == ("ok", "language model kenlm:zh_CN.lm")
    assert (found(language_model="compact").status, found(language_model="compact").found) == (
        "ok",
        "language model compact",
    )
    assert found(phonetics="off").status == "ok"
    assert found(phonetics="off").found.startswith("off")
    missing = found(language_model=tmp_path / "none.lm")
    assert missing.status == "wrong"
    assert "none.lm" in missing.found and "LINGTING_LANGUAGE_MODEL" in missing.advice
    monkeypatch.setitem(sys.modules, "kenlm", None)
    assert found().status == "warning"
    assert found().found.startswith("language model compact: ")
    assert "ufal-kenlm" in found().advice


def test_it_says_when_the_last_start_had_another_language_model(tmp_path: Path) -> None:
    remember_language_model(tmp_path, "compact")
    assert checks.second_pass(Settings(data_dir=tmp_path)).found.endswith("(the last start of the server used compact)")
    remember_language_model(tmp_path, "kenlm:zh_CN.lm")
    assert checks.second_pass(Settings(data_dir=tmp_path)).found == "language model kenlm:zh_CN.lm"


def test_it_names_a_better_model_of_the_catalogue_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 2_000_000_000)
    found = checks.better_model(Settings(data_dir=tmp_path))
    assert found.status == "ok"
    assert found.found.startswith("x-asr-480ms would be better than whisper-base")
    assert found.advice.endswith("lingting models pull x-asr-480ms; lingting models use x-asr-480ms")
    (tmp_path / "models" / "x-asr-480ms").mkdir(parents=True)
    assert "pull" not in checks.better_model(Settings(data_dir=tmp_path)).advice
    second = checks.better_model(Settings(data_dir=tmp_path, model="x-asr-480ms"))
    assert second.advice.endswith("LINGTING_FINAL_MODEL=x-asr-offline lingting serve")
    best = checks.better_model(Settings(data_dir=tmp_path, model="x-asr-480ms", final_model="x-asr-offline"))
    assert (best.advice, "no better model" in best.found) == ("", True)


def test_a_better_model_that_does_not_fit_into_the_memory_is_not_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "available_memory", lambda: 300_000_000)
    found = checks.better_model(Settings(data_dir=tmp_path))
    assert (found.status, found.advice) == ("ok", "")
    assert "more than is available" in found.found


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(settings: Settings) -> checks.Finding:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(checks, "CHECKS", {"first": broken, "disk": checks.disk})
    findings = list(checks.examine(Settings(data_dir=tmp_path)))
    assert (findings[0].check, findings[0].status) == ("first", "wrong")
    assert findings[1].check == "disk"
