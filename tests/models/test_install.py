"""Installing a model: whole or not at all, whatever goes wrong."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lingting.errors import ModelError
from lingting.models import Store, Watch, catalogue, install
from tests.models.small import CONFIG, WEIGHTS, Told, nothing_is_there, packaged, store


@pytest.fixture(autouse=True)
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The two installed packages that carry the model."""
    root = tmp_path / "packages"
    for part, content in (("part1", WEIGHTS[:500_000]), ("part2", WEIGHTS[500_000:])):
        data = root / f"small_{part}" / "data"
        data.mkdir(parents=True)
        (data.parent / "__init__.py").touch()
        (data / f"model.bin.{part}").write_bytes(content)
    (root / "small_part1" / "data" / "config.json").write_bytes(CONFIG)
    monkeypatch.syspath_prepend(root)
    return root


def test_the_parts_are_joined_and_verified(tmp_path: Path) -> None:
    target = store(tmp_path)
    folder = install(target, "small")
    assert folder == tmp_path / "models" / "small" == target.path("small") == target.verify("small")
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert target.installed() == ["small"]
    assert {entry.name for entry in target.root.iterdir()} == {".store", "small"}


def test_progress_counts_every_byte_once(tmp_path: Path) -> None:
    told = Told()
    install(store(tmp_path), "small", told)
    assert told.begun == [("installing small", packaged().bytes, 0)]
    assert told.advanced == packaged().bytes


def test_a_model_that_is_whole_is_left_alone(tmp_path: Path) -> None:
    target = store(tmp_path)
    before = (install(target, "small") / "model.bin").stat()
    after = (install(target, "small") / "model.bin").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_damaged_model_is_named_and_mended(tmp_path: Path) -> None:
    target = store(tmp_path)
    (install(target, "small") / "model.bin").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(ModelError, match=r"digest of model\.bin is wrong.*lingting models pull small"):
        target.verify("small")
    install(target, "small")
    target.verify("small")
    assert {entry.name for entry in target.root.iterdir()} == {".store", "small"}


def test_a_truncated_model_is_noticed_without_reading_it(tmp_path: Path) -> None:
    target = store(tmp_path)
    (install(target, "small") / "model.bin").write_bytes(WEIGHTS[:-1])
    with pytest.raises(ModelError, match=r"model\.bin is missing or has the wrong size"):
        target.path("small")


def test_a_missing_part_names_the_package_that_mends_it(tmp_path: Path, packages: Path) -> None:
    shutil.rmtree(packages / "small_part2")
    target = store(tmp_path)
    with pytest.raises(ModelError, match=r"package small-part2 is not installed.*pip install .* small-part2"):
        install(target, "small")
    assert nothing_is_there(target)


def test_a_missing_file_of_a_part_names_it(tmp_path: Path, packages: Path) -> None:
    (packages / "small_part2" / "data" / "model.bin.part2").unlink()
    with pytest.raises(ModelError, match=r"data/model\.bin\.part2 is missing"):
        install(store(tmp_path), "small")


@pytest.mark.parametrize("content", [b"shorter", WEIGHTS, b"?" * (len(WEIGHTS) - 500_000)])
def test_a_part_with_other_content_is_refused(tmp_path: Path, packages: Path, content: bytes) -> None:
    (packages / "small_part2" / "data" / "model.bin.part2").write_bytes(content)
    target = store(tmp_path)
    with pytest.raises(ModelError, match=r"digest of model\.bin of small is wrong.*nothing was installed"):
        install(target, "small")
    assert nothing_is_there(target)


def test_too_little_disk_space_is_noticed_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    target = store(tmp_path)
    with pytest.raises(ModelError, match=r"not enough disk space .* 35 MB are needed, 0 MB are free"):
        install(target, "small")
    assert nothing_is_there(target)


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path) -> None:
    class Full(Watch):
        def advance(self, count: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    target = store(tmp_path)
    with pytest.raises(ModelError, match="No space left on device; nothing was installed"):
        install(target, "small", Full())
    assert nothing_is_there(target)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file stands where the folder should be")
    with pytest.raises(ModelError, match=f"cannot install small in {tmp_path / 'models'}: Not a directory"):
        install(store(tmp_path), "small")


@contextmanager
def not_as_root() -> Iterator[None]:
    """Give up root's rights for the block: root may write anywhere."""
    if (user := os.geteuid()) == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_read_only_folder_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        target = store(Path(folder))
        target.root.mkdir(mode=0o555)
        with not_as_root(), pytest.raises(ModelError, match="Permission denied; nothing was installed"):
            install(target, "small")
        assert list(target.root.iterdir()) == []


def test_an_interruption_leaves_nothing_behind(tmp_path: Path) -> None:
    class Interrupting(Watch):
        def advance(self, count: int) -> None:
            raise KeyboardInterrupt

    target = store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        install(target, "small", Interrupting())
    assert nothing_is_there(target)


def test_what_a_killed_process_left_is_cleared_and_does_not_block(tmp_path: Path, packages: Path) -> None:
    target = store(tmp_path)
    script = (
        "import os, signal, sys; sys.path[:0] = sys.argv[1:3]\n"
        "from pathlib import Path\n"
        "from tests.models.small import store\n"
        "from lingting.models import Watch, install\n"
        "class Deadly(Watch):\n"
        "    def advance(self, count): os.kill(os.getpid(), signal.SIGKILL)\n"
        "install(store(Path(sys.argv[3])), 'small', Deadly())\n"
    )
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", script, str(root), str(packages), str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not target.installed()
    assert (target.work / "new" / "small").exists()
    install(target, "small")
    assert {entry.name for entry in target.root.iterdir()} == {".store", "small"}


def test_of_two_at_once_one_waits_and_both_succeed(tmp_path: Path) -> None:
    target = store(tmp_path)
    halfway, go_on, waiting = threading.Event(), threading.Event(), threading.Event()
    folders: list[Path] = []

    class Pausing(Watch):
        def advance(self, count: int) -> None:
            halfway.set()
            go_on.wait(30)

    class Waiting(Watch):
        def wait(self) -> None:
            waiting.set()
            go_on.set()

    def first() -> None:
        folders.append(install(target, "small", Pausing()))

    def second() -> None:
        folders.append(install(target, "small", Waiting()))

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert halfway.wait(30)
    threads[1].start()
    assert waiting.wait(30)
    for thread in threads:
        thread.join(30)
    assert folders == [target.path("small")] * 2


def test_the_embedded_model_is_byte_for_byte_the_published_one(model_dir: Path) -> None:
    verified = Store(model_dir.parent, catalogue()).verify("whisper-base")
    weights = next(file for file in catalogue().find("whisper-base").files if file.path == "model.bin")
    assert weights.sha256 == "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    assert (verified / "model.bin").stat().st_size == 145_217_532
