"""What the documents and the files of deploy/ say is so: settings, commands, samples, configurations."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from lingting.cli import COMMANDS, app
from lingting.settings import NOT_SETTINGS, PREFIX, Settings
from scripts import settings_table

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
GROUPS = {"apps", "keys", "tenants", "models", "tokens"}
KNOWN = {PREFIX + name.upper() for name in Settings.model_fields} | NOT_SETTINGS


def written() -> list[Path]:
    """Everything that people read or copy."""
    files = [ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    return files + [path for folder in (DEPLOY, ROOT / "examples") for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"LINGTING_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    assert named <= KNOWN


@pytest.mark.parametrize("path", written(), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_named_exists(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    command = get_command(app)
    for mark, line in re.findall(r"(^|`|bin/| )lingting ((?:[a-z][a-z-]* ?)+)", text, re.MULTILINE):
        name, *rest = line.split()
        if name not in COMMANDS:
            assert mark == " ", f"lingting {name}"  # only prose goes on with another word
            continue
        if name in GROUPS and rest:
            _, loaded, _ = command.resolve_command(None, [name])  # type: ignore[attr-defined]
            assert rest[0] in loaded.commands, f"lingting {name} {rest[0]}"


def test_the_table_of_settings_is_complete_in_both_languages() -> None:
    for chinese in (False, True):
        table = settings_table.table(chinese=chinese)
        assert re.findall(r"^\| `LINGTING_(\w+)`", table, re.MULTILINE) == [n.upper() for n in Settings.model_fields]
    assert set(settings_table.CHINESE) <= set(Settings.model_fields), "a setting is gone, its Chinese words are not"
    assert "每个物理核心" in settings_table.table(chinese=True)


def test_every_page_for_callers_and_operators_is_there_in_chinese() -> None:
    for folder in ("caller", "operator"):
        english = {path.name for path in (ROOT / "docs" / folder).glob("*.md")}
        assert english <= {path.name for path in (ROOT / "docs" / "zh" / folder).glob("*.md")}


def test_every_sample_is_shown_on_a_page() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    for sample in (ROOT / "examples").rglob("*"):
        if sample.is_file() and sample.suffix in {".py", ".mjs", ".sh", ".go", ".java"}:
            assert f'--8<-- "{sample.relative_to(ROOT)}"' in pages


def test_the_compose_file_builds_the_image_and_serves_this_machine_only() -> None:
    service = yaml.safe_load((DEPLOY / "docker" / "compose.yaml").read_text(encoding="utf-8"))["services"]["lingting"]
    folder = (DEPLOY / "docker" / service["build"]["context"]).resolve()
    assert (folder / service["build"]["dockerfile"]).is_file()
    assert service["ports"] == ["127.0.0.1:8300:8300"]


def test_the_image_copies_only_what_there_is() -> None:
    lines = (DEPLOY / "docker" / "Dockerfile").read_text(encoding="utf-8").splitlines()
    allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
                assert f"!{source}" in allowed, f"{source} is kept out of the build"


def test_the_unit_starts_what_the_page_installs() -> None:
    unit = (DEPLOY / "systemd" / "lingting.service").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "operator" / "install.md").read_text(encoding="utf-8")
    for needed in ("/opt/lingting/bin/lingting", "/var/lib/lingting", "/etc/lingting.env"):
        assert needed in unit
        assert needed in page


@pytest.mark.parametrize("script", sorted((ROOT / "examples" / "curl").glob("*.sh")), ids=lambda path: path.name)
def test_a_shell_sample_is_executable_and_valid(script: Path) -> None:
    assert script.stat().st_mode & 0o111
    subprocess.run(["/bin/sh", "-n", script], check=True)
