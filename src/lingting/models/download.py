"""Fetches a file whose size and digest are known: from the first address that sends it, going on where it broke off."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from lingting.errors import DownloadFailed, UpstreamChanged
from lingting.models.mirrors import Mirrors
from lingting.models.watch import SILENT, Watch

_CHUNK = 1 << 18
_PROGRESS = 1 << 16
_FAILURES = 3
_SLOWEST_BYTES = 10_000
_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to fetch.

    Attributes:
        name: what it is called in messages.
        urls: where it may be had, in the order to try.
        bytes, sha256: what it must be.
    """

    name: str
    urls: Sequence[str]
    bytes: int
    sha256: str


class Downloader:
    """Fetches files over https, with a time limit on everything.

    Attributes:
        mirrors: the operator's word on where downloads come from.
        timeout: seconds that a connection or a read may take.
        stall: seconds within which at least 10 kB must come.
        context: which certificates are trusted; those of the system when None.
    """

    def __init__(
        self, mirrors: Mirrors, timeout: float = 30.0, stall: float = 60.0, context: ssl.SSLContext | None = None
    ) -> None:
        self.mirrors = mirrors
        self.timeout = timeout
        self.stall = stall
        proxies = {"http": mirrors.proxy, "https": mirrors.proxy} if mirrors.proxy else None
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(proxies),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
            _SafeRedirects(mirrors),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            self._opener.add_handler(handler)

    def fetch(self, wanted: Wanted, target: Path, watch: Watch = SILENT) -> None:
        """Write the file to `target`, which may hold its beginning from an earlier attempt.

        An address that fails or sends something else makes way for the next. What has come so far stays in `target`
        when none of them sends all of it, so that the next call goes on from there.

        Raises:
            UpstreamChanged: something else lies at an address; what came of it is deleted.
            DownloadFailed: no address sent the file.
            OSError: `target` cannot be written.
        """
        changed: UpstreamChanged | None = None
        failed: list[str] = []
        for url in wanted.urls:
            try:
                self.mirrors.require_safe(url)
                self._fetch_from(url, wanted, target, watch)
                return
            except UpstreamChanged as error:
                changed = changed or error
            except DownloadFailed as error:
                failed.append(str(error))
        if changed:
            raise changed
        kept = target.stat().st_size if target.exists() else 0
        rest = f"; {kept / 1e6:.0f} MB of it are kept, and the same command goes on from there" if kept else ""
        raise DownloadFailed(
            f"cannot download {wanted.name}: {'; '.join(failed) or 'it has no address'}; nothing was installed{rest}"
        )

    def _fetch_from(self, url: str, wanted: Wanted, target: Path, watch: Watch) -> None:
        failures, furthest = 0, 0
        while True:
            attempt = _Attempt(url, wanted, target)
            watch.begin(f"{wanted.name} from {urlsplit(url).hostname}", wanted.bytes, attempt.offset)
            try:
                if attempt.offset < wanted.bytes:
                    self._receive(attempt, watch)
            except _Broken as error:
                reached = attempt.offset + attempt.received
                failures = 0 if reached >= furthest + _PROGRESS else failures + 1
                furthest = max(furthest, reached)
                if failures == _FAILURES:
                    raise DownloadFailed(f"{url}: {error}") from error
                continue
            if attempt.digest == wanted.sha256:
                _source(target).unlink(missing_ok=True)
                return
            _forget(target)
            if not attempt.resumed:
                raise _changed(url, wanted, "its digest differs")

    def _receive(self, attempt: _Attempt, watch: Watch) -> None:
        request = urllib.request.Request(attempt.url, headers=attempt.headers())  # noqa: S310
        try:
            response = self._opener.open(request, timeout=self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and attempt.resumed:
                    _forget(attempt.target)
                    raise _Broken("it could not go on where it had stopped") from error
                raise DownloadFailed(f"{attempt.url} answers {error.code} {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DownloadFailed(f"{attempt.url}: {_reason(error)}") from error
        if response is None:
            raise DownloadFailed(f"{attempt.url} cannot be opened")
        with response, attempt.open(response) as output:
            began, at_begin = time.monotonic(), 0
            while chunk := _read(response):
                attempt.add(chunk)
                output.write(chunk)
                watch.advance(len(chunk))
                if time.monotonic() - began > self.stall:
                    if attempt.received - at_begin < _SLOWEST_BYTES:
                        raise _Broken("it stalled")
                    began, at_begin = time.monotonic(), attempt.received
            output.flush()
            os.fsync(output.fileno())
        if attempt.offset + attempt.received < attempt.wanted.bytes:
            raise _Broken(f"it broke off after {attempt.offset + attempt.received} of {attempt.wanted.bytes} bytes")


class _Attempt:
    """One request for a file, or for the rest of it."""

    def __init__(self, url: str, wanted: Wanted, target: Path) -> None:
        self.url = url
        self.wanted = wanted
        self.target = target
        self.received = 0
        self._hash = hashlib.sha256()
        self.offset = self._read_what_is_there()
        self.resumed = self.offset > 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def headers(self) -> dict[str, str]:
        """Of the request: for the rest of the file, if the beginning is there and upstream is still the same."""
        headers = {"User-Agent": "lingting", "Accept-Encoding": "identity"}
        if not self.resumed:
            return headers
        headers["Range"] = f"bytes={self.offset}-"
        try:
            source = json.loads(_source(self.target).read_text(encoding="utf-8"))
            if source["url"] == self.url and source["validator"]:
                headers["If-Range"] = str(source["validator"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # the digest decides in the end; only a request that could have been spared is lost
        return headers

    def open(self, response: Any) -> IO[bytes]:
        """The file, where the answer's bytes belong into it.

        Raises:
            UpstreamChanged: the answer's length says that it is another file.
            DownloadFailed: it is no answer to what was asked.
        """
        headers: Message = response.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise DownloadFailed(f"{self.url} comes compressed")
        if headers.get_content_type() in ("text/html", "multipart/byteranges"):
            raise DownloadFailed(
                f"{self.url} answers with a web page in place of the file; a proxy or a login may be in between"
            )
        if response.status == http.HTTPStatus.PARTIAL_CONTENT and self.resumed:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
            if span and span[2] not in ("*", str(self.wanted.bytes)):
                raise _changed(self.url, self.wanted, f"it has {span[2]} bytes")
            if not span or int(span[1]) != self.offset:
                _forget(self.target)
                raise _Broken("it sends another part than was asked for")
        elif response.status == http.HTTPStatus.OK:
            length = headers.get("Content-Length", "")
            if length.isdecimal() and int(length) != self.wanted.bytes:
                raise _changed(self.url, self.wanted, f"it has {length} bytes")
            self.offset, self.resumed, self._hash = 0, False, hashlib.sha256()
        else:
            raise DownloadFailed(f"{self.url} answers {response.status}")
        validator = headers.get("ETag", "")
        if not validator or validator.startswith("W/"):
            validator = headers.get("Last-Modified", "")
        _source(self.target).write_text(json.dumps({"url": self.url, "validator": validator}), encoding="utf-8")
        return self.target.open("ab" if self.resumed else "wb")

    def add(self, chunk: bytes) -> None:
        """Count a piece of the answer.

        Raises:
            UpstreamChanged: there is more than the file has.
        """
        self.received += len(chunk)
        if self.offset + self.received > self.wanted.bytes:
            _forget(self.target)
            raise _changed(self.url, self.wanted, "it is longer")
        self._hash.update(chunk)

    def _read_what_is_there(self) -> int:
        try:
            with self.target.open("rb") as source:
                while chunk := source.read(_CHUNK):
                    self._hash.update(chunk)
                length = source.tell()
        except FileNotFoundError:
            return 0
        if length <= self.wanted.bytes:
            return length
        _forget(self.target)
        self._hash = hashlib.sha256()
        return 0


class _Broken(Exception):
    """The connection failed on the way; another attempt may go on."""


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows few redirects, and only to addresses that are as safe as the first one."""

    max_redirections = _REDIRECTS

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors

    def redirect_request(  # noqa: PLR0917
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        try:
            self._mirrors.require_safe(newurl)
        except DownloadFailed as error:
            fp.close()
            raise DownloadFailed(f"{req.full_url} redirects, but {error}") from None
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read1(_CHUNK))
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(_reason(error)) from error


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return "it does not answer in time"
    return str(getattr(reason, "strerror", None) or reason or type(reason).__name__)


def _source(target: Path) -> Path:
    """Beside what has come: from where, and which version of it."""
    return target.with_name(target.name + ".from")


def _forget(target: Path) -> None:
    target.unlink(missing_ok=True)
    _source(target).unlink(missing_ok=True)


def _changed(url: str, wanted: Wanted, how: str) -> UpstreamChanged:
    return UpstreamChanged(
        f"the file upstream has changed: {url} is not the {wanted.name} that the catalogue of this version names "
        f"({how}); nothing was installed. A newer version of Lingting may know it"
    )
