"""A Lingting server as the command uses it: recordings over `/v1/audio/transcriptions`; live audio is in `packets`."""

from __future__ import annotations

import http.client
import json
import math
import os
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from lingting.domain import Language, Sentence, Transcript, Word
from lingting.errors import LingtingError

KEY_VARIABLE = "LINGTING_API_KEY"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
DIARIZING = "gpt-4o-transcribe-diarize"
"""OpenAI's name that asks for speakers, and here for nothing else."""
_TRIES = 5
_LONGEST_PAUSE = 30.0
_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 3600.0
_CHUNK = 1 << 18
_LANGUAGES: dict[str, Language] = {"chinese": "zh", "english": "en"}


class ServerError(LingtingError):
    """The server cannot be reached, or refuses; the message says what to do."""


class Unreachable(ServerError):
    """There is no answer from the server."""


class Server:
    """A server and a key for it. Every call opens a connection of its own, so calls may run in parallel.

    Args:
        url: `http://host:port` or `https://host:port`, with or without `/v1` at the end.
        key: an API key with the scopes of the interfaces that are used.
        insecure: take any certificate.

    Raises:
        ServerError: the URL or the key cannot be one.
    """

    def __init__(self, url: str, key: str | None, *, insecure: bool = False) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise ServerError(f"{url} is not the address of a server; it looks like http://127.0.0.1:8300")
        if not key:
            raise ServerError(f"a server needs an API key: --key or {KEY_VARIABLE}; `lingting keys create` makes one")
        if not key.isascii() or not key.isprintable():
            raise ServerError("the API key holds characters that no key has")
        self.url = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port = parts.hostname, port
        self._prefix = parts.path.rstrip("/").removesuffix("/v1")
        self._key = key
        self._tls: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._tls = ssl.create_default_context()
            if insecure:
                self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE

    def transcribe(
        self,
        path: Path,
        *,
        language: Language | None = None,
        hot_words: Sequence[str] = (),
        model: str = "",
        speakers: bool = False,
    ) -> Transcript:
        """What is said in a file, and by whom. While the server is busy or a limit is reached, it is tried again.

        Raises:
            ServerError: the server cannot be reached or refuses the file.
            OSError: the file cannot be read.
        """
        fields = [
            ("response_format", "verbose_json"),
            ("model", "gpt-4o-transcribe-diarize" if speakers else model),
            ("language", language or ""),
        ]
        fields += [("timestamp_granularities[]", each) for each in ("word", "segment")]
        fields += [("keywords[]", word) for word in hot_words]
        for attempt in range(1, _TRIES + 1):
            with path.open("rb") as file:
                status, headers, body = self._upload(fields, file, path.name)
            if status == 200:
                return _transcript(body)
            if status not in (429, 503) or attempt == _TRIES:
                break
            time.sleep(_pause(headers.get("Retry-After")))
        raise ServerError(refusal(status, body))

    def post(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any], headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Send JSON; status, headers and content of the answer, whatever they are.

        Raises:
            Unreachable: there is no answer.
        """
        ours = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            connection.request("POST", self._prefix + path, json.dumps(body).encode(), {**headers, **ours})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from None

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A connection that is not open yet."""
        if self._tls is not None:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._tls)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)

    def _upload(
        self, fields: list[tuple[str, str]], file: BinaryIO, filename: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        boundary = f"lingting-{secrets.token_hex(16)}"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
            if value
        ]
        safe = filename.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_").replace("?", "_")
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{safe}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        head, tail = "".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()
        size = os.fstat(file.fileno()).st_size
        headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head) + size + len(tail)),
        }

        def body() -> Iterator[bytes]:
            yield head
            while chunk := file.read(_CHUNK):
                yield chunk
            yield tail

        with closing(self.connect(_CONNECT_SECONDS)) as connection:
            broken: OSError | None = None
            try:
                connection.connect()
                if connection.sock is not None:
                    connection.sock.settimeout(_ANSWER_SECONDS)
                try:
                    connection.request("POST", self._prefix + TRANSCRIPTIONS, body(), headers)
                except (BrokenPipeError, ConnectionResetError) as error:
                    broken = error  # a server that refuses early has answered all the same
                response = connection.getresponse()
                return response.status, response.headers, response.read()
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(broken or error) from None

    def _unreachable(self, error: Exception) -> ServerError:
        if isinstance(error, ssl.SSLCertVerificationError):
            return ServerError(
                f"the certificate of {self.url} is not trusted ({error.verify_message}); --insecure takes it"
            )
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Unreachable(f"no answer from {self.url} ({reason}); is the server running there?")


def _transcript(body: bytes) -> Transcript:
    answer = json_of(body)
    words = [(each["word"], each["start"], each["end"]) for each in answer.get("words", [])]
    sentences, used = [], 0
    for segment in answer.get("segments", []):
        found, used = _words(segment["text"], words, used, math.exp(min(0.0, segment.get("avg_logprob", 0.0))))
        language = _language(segment["text"])
        sentences.append(
            Sentence(
                segment["text"], segment["start"], segment["end"], tuple(found), language, segment.get("speaker", "")
            )
        )
    whole = _LANGUAGES.get(answer.get("language", ""), "zh")
    warning = "; ".join(answer.get("warnings", [])) or None
    return Transcript(answer["text"], answer["duration"], whole, tuple(sentences), warning)


def _words(
    text: str, words: Sequence[tuple[str, float, float]], first: int, probability: float
) -> tuple[list[Word], int]:
    """The words of a sentence with the punctuation that stands behind them; the interface leaves that out."""
    found: list[tuple[int, float, float]] = []
    position = 0
    while first < len(words):
        word, start, end = words[first]
        at = text.find(word, position)
        if at < 0:
            break
        found.append((at, start, end))
        position, first = at + len(word), first + 1
    borders = [0, *(at for at, _, _ in found[1:]), len(text)]
    return [
        Word(text[borders[index] : borders[index + 1]].strip(), start, end, probability)
        for index, (_, start, end) in enumerate(found)
    ], first


def _language(text: str) -> Language:
    return "zh" if any("\u3400" <= character <= "\u9fff" for character in text) else "en"


def refusal(status: int, body: bytes) -> str:
    """What an answer that is not a success says, and what to do."""
    content = json_of(body)
    error = content.get("error")
    message = str(error.get("message") or "") if isinstance(error, dict) else ""
    match status:
        case 401:
            return "the server does not know this API key; `lingting keys create` makes one there"
        case 200 | 400 | 403 | 404 | 413 | 415 | 500 if message:
            return message
        case 429 | 503:
            return f"the server is busy or a limit is reached: {message or status}; try again later"
    return message or f"the server answered with status {status}; is it a Lingting server?"


def json_of(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object; empty for any other."""
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _pause(retry_after: str | None) -> float:
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
    return min(seconds, _LONGEST_PAUSE)
