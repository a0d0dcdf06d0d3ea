"""The samples under examples/ and the commands of the documents, run against a real server."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lingting import samples
from tests.clients.test_node_sdk import program  # noqa: F401  (a fixture)
from tests.conftest import LiveServer
from tests.docs import sdk_outlines
from tests.recordings import CACHE
from tests.requirements import require_program

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
SHOWN_URL = "http://127.0.0.1:8300"

_BLOCK = re.compile(r"^<!-- run(?:: (?P<expected>.+?))? -->\n+```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A block of a page that is marked with `<!-- run -->`, or with `<!-- run: TEXT -->` where TEXT is printed."""

    language: str
    code: str
    expected: str


def blocks(page: Path) -> list[Block]:
    """The marked blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [Block(found["language"], found["code"], found["expected"] or "") for found in _BLOCK.finditer(text)]


def english_pages() -> list[Path]:
    """The pages with marked blocks, without the Chinese ones, which show the same blocks."""
    return [page for page in sorted(DOCS.rglob("*.md")) if "zh" not in page.parts and blocks(page)]


def environment(server: LiveServer) -> dict[str, str]:
    """What the pages tell their reader to set."""
    given = {"URL": server.url, "KEY": server.key, "APP_ID": server.app_id, "APP_SECRET": server.app_secret}
    tools = Path(sys.executable).parent
    return {**os.environ, **given, "LINGTING_DATA_DIR": str(server.data_dir), "PATH": f"{tools}:{os.environ['PATH']}"}


def words(text: str) -> str:
    """Text without punctuation and spaces."""
    return re.sub(r"[\W_]", "", text)


def run(server: LiveServer, *command: str | Path, cwd: Path | None = None) -> str:
    """What a program prints that is to succeed."""
    done = subprocess.run(
        command, env=environment(server), cwd=cwd, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.engine
@pytest.mark.parametrize("page", english_pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_the_commands_of_a_page_work_as_printed(page: Path, live_server: LiveServer, tmp_path: Path) -> None:
    require_program("curl")
    (tmp_path / "data").symlink_to(live_server.data_dir)
    marked = blocks(page)
    for number, block in enumerate(marked):
        if block.language == "python":
            (tmp_path / f"{number}.py").write_text(block.code.replace(SHOWN_URL, live_server.url), encoding="utf-8")
    code = [block.code if block.language == "sh" else f"python {number}.py\n" for number, block in enumerate(marked)]
    script = "set -eu\n" + "".join(f"{part}\necho\necho '=== {n}'\n" for n, part in enumerate(code))
    (tmp_path / "page.sh").write_text(script.replace(SHOWN_URL, live_server.url), encoding="utf-8")
    printed = re.split(r"^=== \d+$", run(live_server, "sh", "page.sh", cwd=tmp_path), flags=re.M)
    for block, output in zip(marked, printed, strict=False):
        assert words(block.expected) in words(output), f"{block.code}\nprinted\n{output}"


@pytest.mark.parametrize("page", english_pages(), ids=lambda page: str(page.relative_to(DOCS)))
def test_the_chinese_page_shows_the_same_commands(page: Path) -> None:
    chinese = DOCS / "zh" / page.relative_to(DOCS)
    if not chinese.exists():
        assert "contributor" in page.parts, f"{chinese} is missing"
        return

    def plain(block: Block) -> tuple[str, str]:
        return re.sub(r"(^|\s)# .*", "", block.code), block.expected

    assert [plain(block) for block in blocks(page)] == [plain(block) for block in blocks(chinese)]


def sample(server: LiveServer, name: str) -> Path:
    return server.data_dir / "sample" / name


@pytest.mark.engine
@pytest.mark.parametrize("name", ["file_recognize", "stream_recognize", "flash", "transcribe_openai"])
def test_a_python_sample_prints_what_is_said(name: str, live_server: LiveServer) -> None:
    audio = sample(live_server, "sample.pcm" if name.endswith("recognize") else "sample.wav")
    assert samples.TEXT in words(run(live_server, sys.executable, EXAMPLES / "python" / f"{name}.py", audio))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["file_recognize", "stream_recognize", "flash", "transcribe_openai"])
def test_a_curl_sample_prints_what_is_said(name: str, live_server: LiveServer) -> None:
    require_program("curl")
    audio = sample(live_server, "sample.pcm" if name.endswith("recognize") else "sample.wav")
    assert samples.TEXT in words(run(live_server, "sh", EXAMPLES / "curl" / f"{name}.sh", audio))


@pytest.mark.engine
@pytest.mark.parametrize("name", ["file_recognize", "stream_recognize", "flash"])
def test_a_node_sample_prints_what_is_said(
    name: str,
    live_server: LiveServer,
    program: Path,  # noqa: F811
) -> None:
    shutil.copy(EXAMPLES / "node" / f"{name}.mjs", program.parent)
    audio = sample(live_server, "sample.pcm" if name.endswith("recognize") else "sample.wav")
    assert samples.TEXT in words(run(live_server, "node", program.parent / f"{name}.mjs", audio))


def go(folder: Path) -> dict[str, str]:
    """What Go needs to build without a network, in a cache of its own."""
    cache = {"GOCACHE": str(CACHE / "go"), "GOPATH": str(folder / "gopath"), "HOME": str(folder)}
    return {**os.environ, **cache, "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "on"}


def compiled(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_go_sample_of_the_sdk_compiles(tmp_path: Path) -> None:
    require_program("go")
    module = sdk_outlines.write_go(tmp_path / "sdk")
    (tmp_path / "go.mod").write_text(module, encoding="utf-8")
    shutil.copy(EXAMPLES / "go" / "main.go", tmp_path)
    compiled("go", "build", "-o", tmp_path / "sample", ".", cwd=tmp_path, env=go(tmp_path))


def test_the_java_sample_of_the_sdk_compiles(tmp_path: Path) -> None:
    require_program("javac")
    sdk_outlines.write_java(tmp_path / "sdk")
    source = EXAMPLES / "java" / "FileRecognize.java"
    compiled("javac", "-Werror", "-sourcepath", tmp_path / "sdk", "-d", tmp_path, source, cwd=tmp_path)


@pytest.mark.engine
def test_the_go_sample_without_an_sdk_prints_what_is_said(live_server: LiveServer, tmp_path: Path) -> None:
    require_program("go")
    built = tmp_path / "flash"
    compiled("go", "build", "-o", built, EXAMPLES / "go" / "flash" / "main.go", cwd=tmp_path, env=go(tmp_path))
    assert samples.TEXT in words(run(live_server, built, sample(live_server, "sample.wav")))


@pytest.mark.engine
def test_the_java_sample_without_an_sdk_prints_what_is_said(live_server: LiveServer) -> None:
    require_program("java")
    audio = sample(live_server, "sample.wav")
    assert samples.TEXT in words(run(live_server, "java", EXAMPLES / "java" / "Flash.java", audio))


SCRIPTED = [
    *(("sh", f"curl/{name}.sh") for name in ("file_recognize", "stream_recognize", "flash", "transcribe_openai")),
    *(("python", f"python/{path.name}") for path in sorted((EXAMPLES / "python").glob("*.py"))),
    ("node", "node/flash.mjs"),
]


@pytest.mark.parametrize(("runner", "name"), SCRIPTED, ids=[name for _, name in SCRIPTED])
def test_a_sample_says_what_it_needs_and_sends_nothing_of_an_empty_file(
    runner: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tried(*arguments: str | Path, **given: str) -> str:
        command = [runner, str(EXAMPLES / name), *map(str, arguments)]
        # port 9 answers nobody: what would be sent fails in other words
        known = {"PATH": os.environ["PATH"], "URL": "http://127.0.0.1:9", **given}
        if runner == "python":
            return complaint(command[1:], known)
        done = subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode != 0
        return done.stderr

    def complaint(argv: list[str], environment: dict[str, str]) -> str:
        """What a Python program that gives up prints; here, because to import the SDK takes seconds each time."""
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", argv)
            patch.setattr(os, "environ", environment)
            runpy.run_path(argv[0], run_name="__main__")
        assert isinstance(ended.value.code, str)
        return ended.value.code

    if runner != "python":
        require_program(runner)
    (tmp_path / "empty.pcm").touch()
    needed = ("APP_ID", "APP_SECRET") if "lark_oapi" in (EXAMPLES / name).read_text(encoding="utf-8") else ("KEY",)
    usage = tried(**dict.fromkeys(needed, "x"))
    assert "usage" in usage.lower()
    assert all(each in usage for each in needed)
    assert "nothing was sent" in tried(tmp_path / "empty.pcm", **dict.fromkeys(needed, "x"))


@pytest.mark.engine
def test_a_refusal_is_one_line_and_a_failure(live_server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "odd.pcm").write_bytes(b"a")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "python" / "file_recognize.py", tmp_path / "odd.pcm"],
        env=environment(live_server), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1040101 invalid param: speech.speech: 1 bytes are not whole 16-bit samples" in done.stderr
