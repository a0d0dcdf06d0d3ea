"""Fetching a model over a network that fails in every way: what is installed is right, or nothing is."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingting.errors import DownloadFailed, ModelError, UpstreamChanged
from lingting.models import Downloader, Mirrors, Model, install
from tests.api.test_server import make_certificate
from tests.models.small import (
    CONFIG,
    KEPT,
    PUBLISHED,
    WEIGHTS,
    Told,
    archived,
    bundle,
    downloaded,
    files_of,
    nothing_is_there,
    store,
)
from tests.models.upstream import Answer, Handler, Upstream, cut, redirect, serving, status, well, whole

BUNDLE = bundle(PUBLISHED)


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """A server that has the small model, as files and as an archive."""
    with serving() as server:
        server.files.update({"/small/model.bin": WEIGHTS, "/small/config.json": CONFIG, "/small/a.tar.bz2": BUNDLE})
        yield server


def downloader(upstream: Upstream, **options: float) -> Downloader:
    """One that takes files from the server, as from an operator's own mirror."""
    return Downloader(Mirrors(own=upstream.url), **options)


def pull(tmp_path: Path, upstream: Upstream, model: Model | None = None, **options: float) -> Path:
    return install(store(tmp_path, model or downloaded()), "small", downloader=downloader(upstream, **options))


# -- whole -------------------------------------------------------------------------------------------------------------


def test_files_are_downloaded_verified_and_installed(tmp_path: Path, upstream: Upstream) -> None:
    told = Told()
    target = store(tmp_path, downloaded())
    folder = install(target, "small", told, downloader=downloader(upstream))
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert target.verify("small") == target.path("small") == folder
    assert told.advanced == len(WEIGHTS) + len(CONFIG)
    assert [what for what, _, _ in told.begun] == [
        "config.json of small from 127.0.0.1",
        "model.bin of small from 127.0.0.1",
    ]


@pytest.mark.parametrize("compression", ["bz2", "gz", "xz", ""])
def test_an_archive_is_downloaded_and_what_the_loader_needs_is_unpacked(
    tmp_path: Path, upstream: Upstream, compression: str
) -> None:
    content = bundle(PUBLISHED, compression)
    upstream.files["/small/a.tar"] = content
    target = store(tmp_path, archived(content, "https://nowhere.invalid/a.tar"))
    folder = install(target, "small", downloader=downloader(upstream))
    assert files_of(folder) == KEPT
    assert (folder / "model.int8.onnx").read_bytes() == WEIGHTS
    assert target.verify("small") == folder
    assert not (target.work / "partial" / "small").exists(), "the archive is not kept"


def test_damage_to_an_unpacked_file_is_found_and_mended(tmp_path: Path, upstream: Upstream) -> None:
    target = store(tmp_path, archived(BUNDLE, "https://nowhere.invalid/a.tar.bz2"))
    folder = install(target, "small", downloader=downloader(upstream))
    (folder / "model.int8.onnx").write_bytes(WEIGHTS[:-1] + b"?")
    with pytest.raises(ModelError, match=r"digest of model\.int8\.onnx is wrong.*lingting models pull small"):
        target.verify("small")
    install(target, "small", downloader=downloader(upstream))
    target.verify("small")
    (folder / "tokens.txt").unlink()
    with pytest.raises(ModelError, match=r"tokens\.txt is missing"):
        target.path("small")


# -- broken off --------------------------------------------------------------------------------------------------------


def test_what_breaks_off_goes_on_where_it_stopped(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(100_000), cut(200_000), well]
    folder = pull(tmp_path, upstream)
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert upstream.ranges() == [None, None, "bytes=100000-", "bytes=300000-"]
    assert upstream.asked[-1][1]["If-Range"] == '"one"'


def test_a_server_without_ranges_sends_it_anew(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(100_000), whole]
    assert (pull(tmp_path, upstream) / "model.bin").read_bytes() == WEIGHTS


def test_a_server_that_always_breaks_off_at_the_same_place_is_given_up(tmp_path: Path, upstream: Upstream) -> None:
    def forgetful(handler: Handler, content: bytes) -> None:
        handler.headers.replace_header("Range", "") if "Range" in handler.headers else None
        cut(500_000)(handler, content)

    upstream.answers["/small/model.bin"] = [forgetful]
    with pytest.raises(DownloadFailed, match=r"broke off after 500000 of 1024000 bytes"):
        pull(tmp_path, upstream)
    assert len(upstream.asked) < 8


def test_416_for_the_rest_begins_anew(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(100_000), status(416), well]
    assert (pull(tmp_path, upstream) / "model.bin").read_bytes() == WEIGHTS
    assert upstream.ranges()[-1] is None


def test_another_part_than_was_asked_for_begins_anew(tmp_path: Path, upstream: Upstream) -> None:
    def elsewhere(handler: Handler, content: bytes) -> None:
        handler.reply(206, content[5:], Content_Range=f"bytes 5-{len(content) - 1}/{len(content)}")

    upstream.answers["/small/model.bin"] = [cut(100_000), elsewhere, well]
    assert (pull(tmp_path, upstream) / "model.bin").read_bytes() == WEIGHTS


def test_a_rest_that_does_not_fit_the_beginning_is_fetched_whole_once_more(tmp_path: Path, upstream: Upstream) -> None:
    def another(handler: Handler, content: bytes) -> None:
        well(handler, content[::-1])

    upstream.answers["/small/model.bin"] = [cut(100_000), another, well]
    assert (pull(tmp_path, upstream) / "model.bin").read_bytes() == WEIGHTS


def test_the_next_pull_goes_on_and_so_does_one_from_another_mirror(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(100_000), status(503)]
    with pytest.raises(DownloadFailed, match=r"answers 503.*nothing was installed; 0 MB of it are kept, and the same"):
        pull(tmp_path, upstream)
    assert nothing_is_there(store(tmp_path))
    with serving() as other:
        other.files.update(upstream.files)
        assert (pull(tmp_path, other) / "model.bin").read_bytes() == WEIGHTS
        assert other.ranges() == ["bytes=100000-"], "what had come, the small file too, is not fetched again"


def test_what_an_interrupted_download_left_can_be_removed(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(100_000), status(503)]
    target = store(tmp_path, downloaded())
    with pytest.raises(DownloadFailed):
        install(target, "small", downloader=downloader(upstream))
    target.remove("small")
    assert not target.partial("small").exists()
    with pytest.raises(ModelError, match="not installed"):
        target.remove("small")


def test_after_kill_9_in_the_middle_the_next_pull_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tests.models.small import downloaded, store\n"
        "from lingting.models import Downloader, Mirrors, Watch, install\n"
        "class Deadly(Watch):\n"
        "    done = 0\n"
        "    def advance(self, count):\n"
        "        self.done += count\n"
        "        if self.done > 400_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "client = Downloader(Mirrors(own=sys.argv[3]))\n"
        "install(store(Path(sys.argv[2]), downloaded()), 'small', Deadly(), downloader=client)\n"
    )
    root = Path(__file__).resolve().parents[2]
    killed = subprocess.run([sys.executable, "-c", script, str(root), str(tmp_path), upstream.url], check=False)
    assert killed.returncode == -signal.SIGKILL
    told = Told()
    folder = install(store(tmp_path, downloaded()), "small", told, downloader=downloader(upstream))
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert told.begun[-1][2] > 0, "some of it was there"


def test_a_server_that_stalls_is_left(tmp_path: Path, upstream: Upstream) -> None:
    def stall(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:1000])
        upstream.released.wait(60)

    upstream.answers["/small/model.bin"] = [stall]
    with pytest.raises(DownloadFailed, match="does not answer in time"):
        pull(tmp_path, upstream, timeout=0.2)


def test_a_server_that_drips_is_left(tmp_path: Path, upstream: Upstream) -> None:
    def drip(handler: Handler, content: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for place in range(len(content)):
            try:
                handler.wfile.write(content[place : place + 1])
            except OSError:
                return
            if upstream.released.wait(0.01):
                return

    upstream.answers["/small/model.bin"] = [drip]
    with pytest.raises(DownloadFailed, match="it stalled"):
        pull(tmp_path, upstream, stall=0.1)


# -- something else ----------------------------------------------------------------------------------------------------


def longer_than_it_says(handler: Handler, content: bytes) -> None:
    """No length, and a byte more at the end."""
    handler.reply(200, content + b"?", Content_Length="")
    handler.close_connection = True


def test_other_bytes_are_upstream_changed_and_install_nothing(tmp_path: Path, upstream: Upstream) -> None:
    upstream.files["/small/model.bin"] = WEIGHTS[::-1]
    target = store(tmp_path, downloaded())
    with pytest.raises(UpstreamChanged, match=r"file upstream has changed: .*/small/model\.bin is not the model\.bin"):
        install(target, "small", downloader=downloader(upstream))
    assert nothing_is_there(target)
    assert not any(path.stat().st_size == len(WEIGHTS) for path in target.work.rglob("*")), "they are not kept"


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda handler, content: handler.reply(200, content * 2), UpstreamChanged, "it has 2048000 bytes"),
        (lambda handler, content: handler.reply(200, content[:-1]), UpstreamChanged, "it has 1023999 bytes"),
        (longer_than_it_says, UpstreamChanged, "it is longer"),
        (
            lambda handler, content: handler.reply(200, b"<p>Log in</p>", Content_Type="text/html; charset=utf-8"),
            DownloadFailed,
            "a web page in place of the file",
        ),
        (lambda handler, content: handler.reply(200, content, Content_Encoding="gzip"), DownloadFailed, "compressed"),
        (lambda handler, content: handler.reply(206, content), DownloadFailed, "answers 206"),
        (status(404), DownloadFailed, "answers 404 Not Found"),
        (status(429), DownloadFailed, "answers 429"),
    ],
)
def test_an_answer_that_is_not_the_file_installs_nothing(
    tmp_path: Path, upstream: Upstream, answer: Answer, error: type[ModelError], message: str
) -> None:
    upstream.answers["/small/model.bin"] = [answer]
    with pytest.raises(error, match=message) as raised:
        pull(tmp_path, upstream)
    assert type(raised.value) is error
    assert "nothing was installed" in str(raised.value)
    assert nothing_is_there(store(tmp_path))


def test_a_rest_of_a_file_of_another_length_is_upstream_changed(tmp_path: Path, upstream: Upstream) -> None:
    def rest(handler: Handler, content: bytes) -> None:
        handler.reply(206, content[100_000:], Content_Range="bytes 100000-2047999/2048000")

    upstream.answers["/small/model.bin"] = [cut(100_000), rest]
    with pytest.raises(UpstreamChanged, match="it has 2048000 bytes"):
        pull(tmp_path, upstream)


def test_less_than_it_promised_is_not_installed(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [cut(10)]
    with pytest.raises(DownloadFailed, match="broke off after 30 of 1024000 bytes"):
        pull(tmp_path, upstream)
    assert nothing_is_there(store(tmp_path))


def test_an_archive_without_a_file_that_the_loader_needs_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    content = bundle({name: each for name, each in PUBLISHED.items() if name != "top/tokens.txt"})
    upstream.files["/small/a.tar.bz2"] = content
    with pytest.raises(ModelError, match=r"has no tokens\.txt, the tokens of small; nothing was installed"):
        pull(tmp_path, upstream, archived(content, "https://nowhere.invalid/a.tar.bz2"))
    assert nothing_is_there(store(tmp_path))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["cut", "whole", "other", "416", "503", "well"]), max_size=5), st.integers(0, 900_000))
def test_whatever_a_server_does_what_is_installed_is_right(
    tmp_path_factory: pytest.TempPathFactory, upstream: Upstream, script: list[str], place: int
) -> None:
    answers: dict[str, Answer] = {
        "cut": cut(place),
        "whole": whole,
        "other": lambda handler, content: well(handler, content[::-1]),
        "416": status(416),
        "503": status(503),
        "well": well,
    }
    upstream.answers["/small/model.bin"] = [answers[each] for each in script] or [well]
    target = store(tmp_path_factory.mktemp("property"), downloaded())
    try:
        install(target, "small", downloader=downloader(upstream))
    except ModelError:
        assert nothing_is_there(target)
        upstream.answers.clear()
        install(target, "small", downloader=downloader(upstream))
    assert (target.verify("small") / "model.bin").read_bytes() == WEIGHTS


# -- from where --------------------------------------------------------------------------------------------------------


def test_mirrors_are_tried_in_order_until_one_has_the_file(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/model.bin"] = [status(404)]
    with serving() as second, serving() as third:
        third.files.update({"/a/model.bin": WEIGHTS, "/a/config.json": CONFIG})
        second.files.update({"/b/model.bin": WEIGHTS[::-1]})
        mirrors = Mirrors(own=upstream.url, hugging_face=second.url, model_scope=third.url)
        model = downloaded("https://huggingface.co/b/", "https://modelscope.cn/a/")
        folder = install(store(tmp_path, model), "small", downloader=Downloader(mirrors))
        assert (folder / "model.bin").read_bytes() == WEIGHTS
        assert [path for path, _ in third.asked] == ["/a/model.bin"]


def test_a_preferred_host_comes_first_and_decides_between_archive_and_files() -> None:
    mirrors = Mirrors(prefer=("modelscope.cn",))
    urls = ["https://github.com/x/a", "https://www.modelscope.cn/a", "https://huggingface.co/a"]
    assert mirrors.urls("small", "a", urls)[0] == "https://www.modelscope.cn/a"
    assert Mirrors().urls("small", "a", urls) == urls
    assert mirrors.rank(["https://notmodelscope.cn/a"]) > mirrors.rank(urls)


def test_the_smaller_of_archive_and_files_comes_first_and_the_other_helps_out(
    tmp_path: Path, upstream: Upstream
) -> None:
    archive = archived(BUNDLE[:-30_000], "https://nowhere.invalid/a.tar.bz2").archive
    model = Model(
        name="small", engine="sense_voice", roles={"model": "model.bin"}, files=downloaded().files, archive=archive
    )
    assert model.bytes == archive.bytes < len(WEIGHTS)
    upstream.answers["/small/a.tar.bz2"] = [status(404)]
    assert files_of(pull(tmp_path, upstream, model)) == ["config.json", "model.bin"]
    assert upstream.asked[0][0] == "/small/a.tar.bz2"


@pytest.mark.parametrize(
    "address",
    ["http://example.invalid/", "file:///etc/", "ftp://127.0.0.1/", "https:/nonsense/", "data:,"],
)
def test_only_https_is_read_where_the_operator_named_nothing_else(tmp_path: Path, address: str) -> None:
    with pytest.raises(DownloadFailed, match=r"is not an https address|cannot download"):
        install(store(tmp_path, downloaded(address)), "small", downloader=Downloader(Mirrors()))
    assert nothing_is_there(store(tmp_path))


def test_a_redirect_from_https_to_http_or_to_a_file_is_refused(tmp_path: Path, upstream: Upstream) -> None:
    certificate = make_certificate(tmp_path, "mirror")
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with serving(certificate) as secure:
        for to in (f"{upstream.url}/small/config.json", "file:///etc/passwd", "ftp://127.0.0.1/x"):
            secure.answers["/config.json"] = [redirect(to)]
            client = Downloader(Mirrors(), context=context)
            with pytest.raises(DownloadFailed, match=r"redirects, but .* is not an https address|answers 302"):
                install(store(tmp_path, downloaded(secure.url + "/")), "small", downloader=client)
    assert upstream.asked == []


def test_a_redirect_to_another_host_over_https_is_followed(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, "mirror")
    context = ssl.create_default_context(cafile=str(certificate[0]))
    with serving(certificate) as first, serving(certificate) as second:
        second.files.update({"/cdn": WEIGHTS})
        first.files.update({"/config.json": CONFIG})
        first.answers["/model.bin"] = [redirect(f"{second.url}/cdn")]
        second.answers["/cdn"] = [cut(300_000), well]
        client = Downloader(Mirrors(), context=context)
        folder = install(store(tmp_path, downloaded(first.url + "/")), "small", downloader=client)
        assert (folder / "model.bin").read_bytes() == WEIGHTS
        assert second.ranges() == [None, "bytes=300000-"], "the range goes along"


def test_redirects_in_a_circle_end(tmp_path: Path, upstream: Upstream) -> None:
    upstream.answers["/small/config.json"] = [redirect(f"{upstream.url}/small/config.json")]
    with pytest.raises(DownloadFailed, match="answers 302"):
        pull(tmp_path, upstream)
    assert len(upstream.asked) < 20


def test_a_certificate_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with (
        serving(make_certificate(tmp_path, "stranger")) as secure,
        pytest.raises(DownloadFailed, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        install(store(tmp_path, downloaded(secure.url + "/")), "small", downloader=Downloader(Mirrors()))


def test_downloads_go_through_the_proxy_of_the_settings(tmp_path: Path) -> None:
    with serving() as proxy:
        for path, content in (("config.json", CONFIG), ("model.bin", WEIGHTS)):
            proxy.files[f"http://mirror.invalid/small/{path}"] = content
        mirrors = Mirrors(own="http://mirror.invalid", proxy=proxy.url)
        folder = install(store(tmp_path, downloaded()), "small", downloader=Downloader(mirrors))
        assert (folder / "model.bin").read_bytes() == WEIGHTS


def test_an_address_where_nobody_answers_installs_nothing(tmp_path: Path) -> None:
    client = Downloader(Mirrors(own="http://127.0.0.1:9"))
    with pytest.raises(DownloadFailed, match=r"cannot download .*Connection refused.*nothing was installed$"):
        install(store(tmp_path, downloaded()), "small", downloader=client)


# -- the disk, and others ----------------------------------------------------------------------------------------------


def test_disk_space_is_checked_for_the_archive_and_its_files_before_anything_is_asked(
    tmp_path: Path, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, (32 << 20) + len(BUNDLE) + len(WEIGHTS)))
    with pytest.raises(ModelError, match="not enough disk space for small"):
        pull(tmp_path, upstream, archived(BUNDLE, "https://nowhere.invalid/a.tar.bz2"))
    assert upstream.asked == []
    assert nothing_is_there(store(tmp_path))


def test_a_disk_that_fills_up_is_said_as_such_and_not_as_a_failed_download(tmp_path: Path, upstream: Upstream) -> None:
    script = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tests.models.small import downloaded, store\n"
        "from lingting.models import Downloader, Mirrors, install\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "install(store(Path(sys.argv[2]), downloaded()), 'small', downloader=Downloader(Mirrors(own=sys.argv[3])))\n"
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(
        [sys.executable, "-c", script, str(root), str(tmp_path), upstream.url],
        check=False,
        capture_output=True,
        text=True,
    )
    assert "ModelError: cannot install small in" in run.stderr
    assert "File too large; nothing was installed" in run.stderr
    assert nothing_is_there(store(tmp_path))


def test_of_two_pulls_at_once_one_waits_and_downloads_nothing(tmp_path: Path, upstream: Upstream) -> None:
    asked, waiting = threading.Event(), threading.Event()

    def slow(handler: Handler, content: bytes) -> None:
        asked.set()
        waiting.wait(30)
        well(handler, content)

    class Waiting(Told):
        def wait(self) -> None:
            waiting.set()

    upstream.answers["/small/model.bin"] = [slow]
    target = store(tmp_path, downloaded())
    first = threading.Thread(target=lambda: install(target, "small", downloader=downloader(upstream)))
    first.start()
    assert asked.wait(30)
    folder = install(target, "small", Waiting(), downloader=downloader(upstream))
    first.join(30)
    assert (folder / "model.bin").read_bytes() == WEIGHTS
    assert [path for path, _ in upstream.asked].count("/small/model.bin") == 1


# -- without a network -------------------------------------------------------------------------------------------------


def place(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("inside", ["", "small"])
def test_files_are_taken_from_a_folder(tmp_path: Path, inside: str) -> None:
    stick = place(tmp_path / "stick" / inside, {"model.bin": WEIGHTS, "config.json": CONFIG, "other": b""})
    target = store(tmp_path, downloaded())
    folder = install(target, "small", source=stick if not inside else stick.parent)
    assert files_of(folder) == ["config.json", "model.bin"]
    target.verify("small")


def test_an_archive_is_taken_as_a_file_of_any_name_or_from_a_folder(tmp_path: Path) -> None:
    model = archived(BUNDLE, "https://nowhere.invalid/a.tar.bz2")
    stick = place(tmp_path / "stick", {"a.tar.bz2": BUNDLE, "renamed": BUNDLE})
    for number, source in enumerate((stick, stick / "renamed")):
        target = store(tmp_path / str(number), model)
        assert files_of(install(target, "small", source=source)) == KEPT
        target.verify("small")
    assert (stick / "a.tar.bz2").exists()


def test_other_files_from_a_folder_install_nothing(tmp_path: Path) -> None:
    stick = place(tmp_path / "stick", {"model.bin": WEIGHTS[::-1], "config.json": CONFIG, "a.tar.bz2": BUNDLE[:-1]})
    target = store(tmp_path, downloaded())
    with pytest.raises(UpstreamChanged, match=r"stick/model\.bin is not the model\.bin that the catalogue .*SHA-256"):
        install(target, "small", source=stick)
    target = store(tmp_path, archived(BUNDLE, "https://nowhere.invalid/a.tar.bz2"))
    with pytest.raises(UpstreamChanged, match=r"a\.tar\.bz2 is not the a\.tar\.bz2 .*nothing was installed"):
        install(target, "small", source=stick)
    assert nothing_is_there(target)


def test_a_folder_without_the_model_says_what_belongs_there(tmp_path: Path) -> None:
    (tmp_path / "stick").mkdir()
    with pytest.raises(ModelError, match=r"all of config\.json, model\.bin, as they were published.*models show small"):
        install(store(tmp_path, downloaded()), "small", source=tmp_path / "stick")
