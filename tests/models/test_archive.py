"""Unpacking: the wanted files come out, and nothing else gets anywhere."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lingting.errors import ModelError
from lingting.models.archive import Limits, Unpacked, unpack
from tests.models.small import bundle, files_of

WANTED = {"model.onnx", "tokens.txt", "tokenizer"}
GOOD = {
    "top/model.onnx": b"weights",
    "top/tokens.txt": b"a 0",
    "top/tokenizer/vocab.json": b"{}",
    "top/LICENSE.txt": b"free",
    "top/test_wavs/0.wav": b"sound",
    "elsewhere/model.onnx": b"another",
}
KEPT = ["LICENSE.txt", "model.onnx", "tokenizer/vocab.json", "tokens.txt"]


def zipped(files: dict[str, bytes], mode: int = 0) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content, zipfile.ZIP_DEFLATED)
    return output.getvalue()


def members(*added: tarfile.TarInfo, content: bytes = b"") -> bytes:
    """A tar with those members, the files among them with that content."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for member in added:
            archive.addfile(member, io.BytesIO(content))
    return output.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


def unpacked(tmp_path: Path, content: bytes, **options: Limits) -> list[Unpacked]:
    (tmp_path / "archive").write_bytes(content)
    (tmp_path / "target").mkdir(exist_ok=True)
    return unpack(tmp_path / "archive", "top", WANTED, tmp_path / "target", **options)


def nothing_escaped(tmp_path: Path) -> bool:
    return {path.name for path in tmp_path.iterdir()} <= {"archive", "target"}


@pytest.mark.parametrize(
    "content", [bundle(GOOD), bundle(GOOD, "gz"), bundle(GOOD, "xz"), bundle(GOOD, ""), zipped(GOOD)]
)
def test_the_wanted_files_and_the_licence_come_out_with_their_digests(tmp_path: Path, content: bytes) -> None:
    done = unpacked(tmp_path, content)
    assert files_of(tmp_path / "target") == KEPT == sorted(each.path for each in done)
    for each in done:
        written = (tmp_path / "target" / each.path).read_bytes()
        assert (each.bytes, each.sha256) == (len(written), hashlib.sha256(written).hexdigest())
        assert written == GOOD[f"top/{each.path}"]


@pytest.mark.parametrize("name", ["../evil", "top/../../evil", "/tmp/evil", "top/tokenizer/../../../evil", "..\\evil"])
@pytest.mark.parametrize("make", [bundle, zipped])
def test_a_path_that_leads_outside_is_refused(
    tmp_path: Path, name: str, make: Callable[[dict[str, bytes]], bytes]
) -> None:
    with pytest.raises(ModelError, match="leads outside; nothing was installed"):
        unpacked(tmp_path, make({"top/model.onnx": b"weights", name: b"evil"}))
    assert nothing_escaped(tmp_path)


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (member("top/model.onnx", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (member("top/model.onnx", tarfile.LNKTYPE, "/etc/passwd"), "a link"),
        (member("top/tokenizer", tarfile.SYMTYPE, "/tmp"), "a link"),
        (member("top/model.onnx", tarfile.CHRTYPE), "neither a file nor a folder"),
        (member("top/model.onnx", tarfile.BLKTYPE), "neither a file nor a folder"),
        (member("top/model.onnx", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
)
def test_links_and_devices_in_place_of_files_are_refused(tmp_path: Path, odd: tarfile.TarInfo, message: str) -> None:
    with pytest.raises(ModelError, match=f"{odd.name} is {message}"):
        unpacked(tmp_path, members(odd, member("top/tokenizer/x", size=4), content=b"evil"))
    assert nothing_escaped(tmp_path)
    assert files_of(tmp_path / "target") == []


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a link"):
        unpacked(tmp_path, zipped({"top/model.onnx": b"/etc/passwd"}, stat.S_IFLNK | 0o777))


def test_a_link_that_nobody_wants_is_left_in_the_archive(tmp_path: Path) -> None:
    content = members(
        member("top/test_wavs/latest.wav", tarfile.SYMTYPE, "0.wav"), member("top/model.onnx", size=1), content=b"w"
    )
    assert [each.path for each in unpacked(tmp_path, content)] == ["model.onnx"]


@pytest.mark.parametrize("compression", ["bz2", "gz", "xz"])
def test_a_bomb_is_refused_by_its_ratio_wherever_it_is_hidden(tmp_path: Path, compression: str) -> None:
    zeros = bytes(20_000_000)
    for name in ("top/model.onnx", "top/not-wanted"):
        with pytest.raises(ModelError, match=r"it unpacks to more than [12] MB"):
            unpacked(tmp_path, bundle({name: zeros}, compression))
    with pytest.raises(ModelError, match=r"it unpacks to more than [12] MB"):
        unpacked(tmp_path, zipped({"top/model.onnx": zeros}))


def test_a_bomb_in_the_name_of_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it unpacks to more than [12] MB"):
        unpacked(tmp_path, bundle({"top/" + "x" * 20_000_000: b""}))


def test_limits_on_entries_and_bytes_hold(tmp_path: Path) -> None:
    many = bundle({f"top/{number}": b"" for number in range(20)})
    with pytest.raises(ModelError, match="more than 10 entries"):
        unpacked(tmp_path, many, limits=Limits(entries=10))
    with pytest.raises(ModelError, match="unpacks to more than 0 MB"):
        unpacked(tmp_path, bundle({"top/model.onnx": b"x" * 100_000}, ""), limits=Limits(bytes=50_000))


def test_a_zip_that_lies_about_a_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"top/model.onnx": b"x" * 1000}))
    entry = content.index(b"PK\x01\x02")
    content[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    with pytest.raises(ModelError, match=r"damaged|as long as it says"):
        unpacked(tmp_path, bytes(content))


def test_a_zip_whose_directory_points_elsewhere_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"top/model.onnx": b"x" * 1000}))
    end = content.index(b"PK\x05\x06")
    content[end + 16 : end + 20] = (int.from_bytes(content[end + 16 : end + 20], "little") + 50).to_bytes(4, "little")
    with pytest.raises(ModelError, match="it is damaged"):
        unpacked(tmp_path, bytes(content))


def test_the_same_file_twice_is_refused(tmp_path: Path) -> None:
    content = members(member("top/model.onnx", size=1), member("top/model.onnx", size=1), content=b"w")
    with pytest.raises(ModelError, match="is in it twice"):
        unpacked(tmp_path, content)


@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100, bundle(GOOD)[:-40], zipped(GOOD)[:-40]])
def test_what_is_no_whole_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ModelError, match="cannot be unpacked"):
        unpacked(tmp_path, content)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([bundle(GOOD), bundle(GOOD, ""), bundle(GOOD, "gz"), zipped(GOOD)]),
    st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_whatever_is_changed_in_an_archive_it_is_unpacked_inside_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    changed = bytearray(content)
    for place, value in changes:
        changed[place % len(changed)] = value
    try:
        unpacked(folder, bytes(changed))
    except ModelError as error:
        assert "nothing was installed" in str(error)
    assert nothing_escaped(folder)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.sampled_from("./\\ab\0"), min_size=1, max_size=12), min_size=1, max_size=5))
def test_whatever_files_are_called_they_stay_inside(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    content = members(*(member("top/tokenizer/" + name, size=4) for name in names), content=b"evil")
    try:
        for each in unpacked(folder, content):
            assert (folder / "target" / each.path).read_bytes() == b"evil"
    except ModelError:
        pass
    assert nothing_escaped(folder)
