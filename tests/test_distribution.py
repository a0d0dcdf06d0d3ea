"""The wheel and the source distribution: what they hold, and that they work where nothing else of the checkout is."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel, built from the source distribution, and that."""
    folder = tmp_path_factory.mktemp("dist")
    hatch = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*hatch, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / source.name.removesuffix(".tar.gz")
    subprocess.run([*hatch, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel, source


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_package(built: tuple[Path, Path]) -> None:
    package = ROOT / "src"
    wanted = {
        str(path.relative_to(package))
        for path in (package / "lingting").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(built[0]) as wheel:
        assert wanted <= set(wheel.namelist())


@pytest.mark.slow
def test_the_source_distribution_is_small_and_has_no_pictures(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"pyproject.toml", "LICENSE", "README.md", "THIRD_PARTY_NOTICES.md"} <= set(names)
    assert not [name for name in names if name.endswith(".png")]


@pytest.mark.slow
def test_the_wheel_installs_beside_its_dependencies_and_runs(built: tuple[Path, Path], tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(built[0])], check=True)
    # the dependencies are lent; lingting itself must come from the wheel
    site = next((tmp_path / "venv" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    where = "import lingting; print(lingting.__file__)"
    found = subprocess.run([python, "-c", where], env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(site))
    command = [str(tmp_path / "venv" / "bin" / "lingting"), "models", "list"]
    environment["LINGTING_DATA_DIR"] = str(tmp_path / "data")
    shown = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "whisper-base" in shown.stdout
