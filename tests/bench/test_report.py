"""A whole run of the benchmark on next to nothing: its report has what the documentation names."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import targets
from bench.__main__ import main
from bench.page import render
from bench.tables import show
from tests.recordings import recording

ROOT = Path(__file__).resolve().parents[2]
RANKS = {"count", "p50", "p95", "max"}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Path:
    source = recording("asr_example")
    speech = tmp_path_factory.mktemp("speech")
    (speech / "zh").mkdir()
    (speech / "zh" / "one.wav").write_bytes(source.path.read_bytes())
    row = f"zh/one.wav\tzh\t{source.seconds}\t{source.reference}"
    (speech / "manifest.tsv").write_text(f"path\tlanguage\tseconds\treference\n{row}\n", encoding="utf-8")
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINGTING_SPEECH_DIR", str(speech))
        small = ["--sets", "zh", "--callers", "1", "--streams", "1", "--seconds", "1"]
        only = "errors,compute,callers,streams,silence,access"
        done = bench("--quick", "--only", only, *small, "--out", str(folder))
    assert done.returncode == 0, done.stderr
    (folder / "printed.txt").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def report(folder: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    return loaded


@pytest.mark.engine
@pytest.mark.slow
def test_the_report_has_every_section_that_was_asked_for(report: dict[str, Any]) -> None:
    sections = {"oneshot", "compute_ratio", "callers", "confirmed", "streams", "silence", "access", "targets"}
    assert sections <= report.keys()
    assert report["clips"] == {"zh": {"clips": 1, "seconds": pytest.approx(4.2, abs=0.1)}}
    assert report["oneshot"]["zh"].keys() == {"lingting", "default", "greedy"}
    assert report["compute_ratio"]["default"].keys() == {"cpu", "wall"}
    assert report["callers"]["throughput_ratio"].keys() == {"default", "greedy"}


@pytest.mark.engine
@pytest.mark.slow
def test_streams_that_were_played_gave_the_figures_of_streams(report: dict[str, Any]) -> None:
    (run,) = report["streams"]
    assert run["streams"] == 1
    assert run["played"] >= 1
    assert run["failures"] == []
    for figure in ("first_text_s", "reply_s", "final_s", "lag_s"):
        assert run[figure].keys() == RANKS
        assert run[figure]["count"] >= 1
    assert run["reference_units"] % 13 == 0
    assert run["peak_memory_mb"] > 50


@pytest.mark.engine
@pytest.mark.slow
def test_what_must_never_happen_did_not(report: dict[str, Any]) -> None:
    assert report["confirmed"]["characters"] > 0
    assert report["confirmed"]["changed"] == 0
    assert report["silence"]["characters"] == 0


@pytest.mark.engine
@pytest.mark.slow
def test_the_page_shows_plots_and_targets_and_needs_no_network(folder: Path, report: dict[str, Any]) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == page.count("<figcaption>") >= 8
    for target in report["targets"]:
        assert target["reach"] in page
    assert not re.search(r'(?:src|href)="https?:|@import|url\(http|<script|<link', page)


@pytest.mark.engine
@pytest.mark.slow
def test_the_ids_of_the_plots_of_a_page_differ(folder: Path) -> None:
    ids = re.findall(r' id="([^"]+)"', (folder / "report.html").read_text(encoding="utf-8"))
    assert len(ids) == len(set(ids)) > 0


@pytest.mark.engine
@pytest.mark.slow
def test_from_one_recording_nothing_is_judged(folder: Path, report: dict[str, Any]) -> None:
    for shown in ("printed.txt", "report.html"):
        text = (folder / shown).read_text(encoding="utf-8").split("All figures")[0]
        assert "reached" not in text
        assert text.count("not judged") >= len(report["targets"])
        assert "1 recordings are too few to judge anything by" in text


def test_of_many_recordings_every_target_is_reached_or_not() -> None:
    report = small_report() | {"clips": {"zh": {"clips": 63, "seconds": 300.0}}}
    report["machine"]["load"] = 3.0
    page, out = render(report), io.StringIO()
    show(report, Console(file=out, width=150, color_system=None))
    for text in (page, out.getvalue()):
        assert "reached" in text
        assert "not judged" not in text
        assert "busy when the run began (load 3.0, 2 cores)" in text
    assert "<td>zh</td><td>63</td><td>300 s</td>" in page
    report["machine"]["load"] = 0.2
    assert "busy" not in render(report)


@pytest.mark.engine
@pytest.mark.slow
def test_every_field_of_the_report_is_documented(report: dict[str, Any]) -> None:
    documented = set(re.findall(r"`([a-z0-9_]+)`", (ROOT / "docs" / "benchmark.md").read_text(encoding="utf-8")))
    assert report.keys() - documented == set()
    assert report["streams"][0].keys() - documented == set()


def test_a_target_is_reached_at_its_number_and_missed_beyond_it() -> None:
    def throughput(ratio: float) -> list[dict[str, Any]]:
        return targets.judge({"callers": {"callers": 8, "throughput_ratio": {"default": ratio}}})

    assert [each["reached"] for each in (*throughput(3.5), *throughput(3.49))] == [True, False]


def small_report() -> dict[str, Any]:
    report: dict[str, Any] = {
        "made": "2026-01-01T00:00:00+00:00", "model": "whisper-base", "language_model": "compact", "took_seconds": 1.0,
        "versions": {"lingting": "0", "faster-whisper": "0"},
        "machine": {"cores": 2, "architecture": "x86_64", "python": "3.11"},
        "callers": {"callers": 8, "throughput_ratio": {"default": 4.0}},
    }  # fmt: skip
    report["targets"] = targets.judge(report)
    return report


def test_a_report_of_one_section_has_a_page_too() -> None:
    report = small_report()
    page = render(report)
    assert page.count("<svg") == 1
    assert "at least 3.5" in page
    report["named"] = {"model": "sense-voice", "callers": {"callers": 8, "throughput_ratio": {"default": 9.25}}}
    page = render(report)
    assert "The same with sense-voice, live and final" in page
    assert "9.25 times" in page


def test_a_model_that_is_not_installed_is_named_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LINGTING_DATA_DIR", str(tmp_path))
    assert main(["--quick", "--model", "nobody"]) == 1
    assert "there is no model 'nobody'" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--only", "speed"], "unknown: speed"), (["--streams", "0"], "whole numbers"), (["--sets", "fr"], "unknown: fr")],
)
def test_what_cannot_be_measured_is_refused_in_words(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
