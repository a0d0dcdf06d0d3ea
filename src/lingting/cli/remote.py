"""A Lingting server as the command uses it: recordings over `/v1/audio/transcriptions`, live audio as packets."""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import secrets
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from lingting.domain import Language, Sentence, Transcript, Word
from lingting.errors import LingtingError

KEY_VARIABLE = "LINGTING_API_KEY"
TRANSCRIPTIONS = "/v1/audio/transcriptions"
STREAM = "/open-apis/speech_to_text/v1/speech/stream_recognize"
CONFIRMED_HEADER = "X-Lingting-Confirmed"
_TRIES = 5
_LONGEST_PAUSE = 30.0
_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 3600.0
_CHUNK = 1 << 18
_LANGUAGES: dict[str, Language] = {"chinese": "zh", "english": "en"}


class ServerError(LingtingError):
    """The server cannot be reached, or refuses; the message says what to do."""


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
        self, path: Path, *, language: Language | None = None, hot_words: Sequence[str] = (), model: str = ""
    ) -> Transcript:
        """What is said in a file. While the server is busy or a limit is reached, it is tried again a few times.

        Raises:
            ServerError: the server cannot be reached or refuses the file.
            OSError: the file cannot be read.
        """
        fields = [("response_format", "verbose_json"), ("model", model), ("language", language or "")]
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
        raise ServerError(_refusal(status, body))

    def stream(self) -> PacketStream:
        """Begin to send live audio."""
        return PacketStream(self)

    def post(
        self, connection: http.client.HTTPConnection, path: str, body: dict[str, Any]
    ) -> tuple[dict[str, Any], Any]:
        """Send JSON, a second time when the connection breaks; the answer's JSON and its headers.

        Raises:
            ServerError: the server cannot be reached or refuses.
        """
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        for last in (False, True):
            try:
                connection.request("POST", self._prefix + path, json.dumps(body).encode(), headers)
                response = connection.getresponse()
                answer = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if last:
                    raise self._unreachable(error) from None
        content = _json(answer)
        if response.status != 200 or content.get("code") != 0:
            raise ServerError(_refusal(response.status, answer))
        return content, response.headers

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
        return ServerError(f"no answer from {self.url} ({reason}); is the server running there?")


class PacketStream:
    """Live audio over stream_recognize, as any Feishu client sends it. For one thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect(_ANSWER_SECONDS)
        self._id = secrets.token_hex(8)
        self._number = 0
        self._ended = False
        self.confirmed = ""
        self.guess = ""

    @property
    def text(self) -> str:
        """The whole text so far."""
        return self.confirmed + self.guess

    def accept(self, pcm: bytes) -> None:
        """Send one packet of 16 kHz 16-bit samples; afterwards the text is what its reply said.

        Raises:
            ServerError: the server cannot be reached or refuses.
        """
        self._send(pcm, 0 if self._number else 1)

    def finish(self) -> str:
        """The final text.

        Raises:
            ServerError: the server cannot be reached or refuses.
        """
        if not self._number:
            self._send(b"", 1)
        self._send(b"", 2)
        self._ended = True
        self._connection.close()
        return self.text

    def abort(self) -> None:
        """Drop the stream; harmless at any time."""
        if self._number and not self._ended:
            with suppress(LingtingError):
                self._send(b"", 3)
        self._ended = True
        self._connection.close()

    def _send(self, pcm: bytes, action: int) -> None:
        config = {"stream_id": self._id, "sequence_id": self._number, "action": action}
        body = {
            "speech": {"speech": base64.b64encode(pcm).decode()},
            "config": {**config, "format": "pcm", "engine_type": "16k_auto"},
        }
        self._number += 1
        answer, headers = self._server.post(self._connection, STREAM, body)
        text = answer["data"]["recognition_text"]
        known = headers.get(CONFIRMED_HEADER, "")
        confirmed = len(text) if action == 2 else int(known) if known.isdigit() else 0
        self.confirmed, self.guess = text[:confirmed], text[confirmed:]


def _transcript(body: bytes) -> Transcript:
    answer = _json(body)
    words = [(each["word"], each["start"], each["end"]) for each in answer.get("words", [])]
    sentences, used = [], 0
    for segment in answer.get("segments", []):
        found, used = _words(segment["text"], words, used, math.exp(min(0.0, segment.get("avg_logprob", 0.0))))
        language = _language(segment["text"])
        sentences.append(Sentence(segment["text"], segment["start"], segment["end"], tuple(found), language))
    whole = _LANGUAGES.get(answer.get("language", ""), "zh")
    return Transcript(answer["text"], answer["duration"], whole, tuple(sentences))


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


def _refusal(status: int, body: bytes) -> str:
    content = _json(body)
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


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _pause(retry_after: str | None) -> float:
    seconds = float(retry_after) if retry_after and retry_after.isdigit() else 1.0
    return min(seconds, _LONGEST_PAUSE)
