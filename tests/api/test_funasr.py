"""FunASR's runtime on the wire: what its official clients send, and the replies that each of them waits for."""

from __future__ import annotations

import io
import json
import ssl
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from lingting.errors import Overloaded
from tests.api.serving import Running, serving
from tests.api.sockets import Peer, hush, peer, voice
from tests.conftest import free_port

FIRST = {
    "mode": "2pass",
    "chunk_size": [5, 10, 5],
    "chunk_interval": 10,
    "encoder_chunk_look_back": 4,
    "decoder_chunk_look_back": 0,
    "audio_fs": 16000,
    "wav_name": "demo",
    "wav_format": "pcm",
    "is_speaking": True,
    "hotwords": "",
    "itn": True,
}
"""What `funasr_wss_client.py` sends first."""


@contextmanager
def opened(server: Running, **named: Any) -> Iterator[Peer]:
    with peer(server, "/", key=server.new_key(), subprotocols=["binary"], **named) as connection:
        yield connection


def send(connection: Peer, sound: bytes, piece: int = 1920, **first: Any) -> None:
    """An input up to its end, in the pieces of the official client."""
    connection.say({**FIRST, **first})
    for start in range(0, len(sound), piece):
        connection.say(sound[start : start + piece])


def until_final(connection: Peer) -> list[dict[str, Any]]:
    heard = [connection.hear()]
    while not heard[-1]["is_final"]:
        heard.append(connection.hear())
    return heard


def test_a_client_that_waits_for_its_text_is_not_taken_for_gone(server: Running) -> None:
    service = server.service
    before = service.settings
    service.settings = before.model_copy(update={"stream_idle_seconds": 0.2})
    server.call(service.finals.clear)
    try:
        with opened(server) as connection:
            send(connection, voice(0.5), mode="offline")
            connection.say({"is_speaking": False})
            with pytest.raises(TimeoutError):
                connection.connection.recv(timeout=0.6)
            server.call(service.finals.set)
            assert until_final(connection)[-1]["text"] == "今天我们开。"
    finally:
        service.settings = before
        server.call(service.finals.set)


def test_two_passes_give_growing_text_then_whole_sentences(server: Running) -> None:
    with opened(server) as connection:
        assert connection.connection.subprotocol == "binary"
        send(connection, voice(1.0) + hush(1.0) + voice(0.5))
        connection.say({"is_speaking": False, "is_end": True})
        heard = until_final(connection)
    for message in heard:
        assert (message["wav_name"], type(message["text"])) == ("demo", str)
        assert message["is_final"] is (message is heard[-1])
    first = [message["mode"] for message in heard].index("2pass-offline")
    assert first > 1
    assert "今天我们开会讨论下一。".startswith("".join(message["text"] for message in heard[:first]))
    assert heard[first]["text"] == "今天我们开会讨论下一。"
    assert heard[-1]["text"] == "今天我们开。"
    assert (heard[-1]["mode"], heard[-1]["is_end"]) == ("2pass-offline", True)
    offline = "".join(message["text"] for message in heard if message["mode"] == "2pass-offline")
    assert offline == "今天我们开会讨论下一。今天我们开。"


def test_chinese_sentences_have_times_that_every_client_can_walk(server: Running) -> None:
    with opened(server) as connection:
        send(connection, hush(0.5) + voice(0.3) + hush(1.0))
        message = next(m for m in iter(connection.hear, None) if m["mode"] == "2pass-offline")
    assert json.loads(message["timestamp"]) == [[500, 600], [600, 700], [700, 800]]
    assert message["stamp_sents"] == [
        {
            "text_seg": "今 天 我", "punc": "。", "start": 500, "end": 800,
            "ts_list": [[500, 600], [600, 700], [700, 800]],
        }
    ]  # fmt: skip


def test_english_brings_its_own_space_and_no_times(server: Running) -> None:
    with opened(server) as connection:
        send(connection, voice(0.5) + hush(1.0) + voice(0.5) + hush(1.0), svs_lang="en")
        connection.say({"is_speaking": False})
        heard = until_final(connection)
    offline = [message for message in heard if message["mode"] == "2pass-offline"]
    assert "".join(m["text"] for m in offline) == "the quick brown fox jumps. the quick brown fox jumps."
    assert not any("timestamp" in message for message in heard)


def test_online_gives_only_pieces_that_join_to_the_text(server: Running) -> None:
    with opened(server) as connection:
        send(connection, voice(1.0) + hush(1.0), mode="online")
        connection.say({"is_speaking": False})
        heard = until_final(connection)
    assert {message["mode"] for message in heard} == {"2pass-online"}
    assert "".join(message["text"] for message in heard) == "今天我们开会讨论下一。"
    assert heard[-1]["text"] == ""


def test_offline_gives_exactly_one_message(server: Running) -> None:
    with opened(server) as connection:
        send(connection, voice(1.0) + hush(1.0) + voice(0.5), mode="offline")
        connection.say({"is_speaking": False, "is_end": True})
        message = connection.hear()
        assert (message["mode"], message["is_final"], message["is_end"]) == ("offline", True, True)
        assert message["text"] == "今天我们开会讨论下一。今天我们开。"
        assert len(json.loads(message["timestamp"])) == 15
        with pytest.raises(TimeoutError):
            connection.connection.recv(timeout=0.2)


def test_inputs_follow_one_another_on_one_connection(server: Running) -> None:
    with opened(server) as connection:
        for name in ("one", "two", "three"):
            send(connection, voice(0.5), mode="offline", wav_name=name)
            connection.say({"is_speaking": False})
        heard = [connection.hear() for _ in range(3)]
    assert [message["wav_name"] for message in heard] == ["one", "two", "three"]
    assert {message["text"] for message in heard} == {"今天我们开。"}


def test_silence_ends_with_an_empty_final_message(server: Running) -> None:
    with opened(server) as connection:
        send(connection, hush(1.0))
        connection.say({"is_speaking": False})
        connection.say({"is_speaking": False})  # one client says it twice
        assert until_final(connection) == [{"mode": "2pass-offline", "text": "", "wav_name": "demo", "is_final": True}]
        send(connection, b"")
        connection.say({"is_speaking": False})
        assert until_final(connection)[-1]["text"] == ""


def wav(samples: bytes, rate: int) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return out.getvalue()


def test_a_wav_file_that_is_called_pcm_is_read_by_its_header(server: Running) -> None:
    """The HTML page sends files so, in pieces of 960 bytes."""
    with opened(server) as connection:
        send(connection, wav(voice(1.0, 8000), 8000), 960, mode="offline")
        connection.say({"is_speaking": False})
        assert connection.hear()["text"] == "今天我们开会讨论下一。"


def test_other_files_are_decoded_whole(server: Running) -> None:
    with opened(server) as connection:
        send(connection, b"RIFF" + voice(1.0), wav_format="others", mode="offline")
        connection.say({"is_speaking": False})
        assert connection.hear()["text"] == "今天我们开会讨论下一。"
        send(connection, b"no sound at all", wav_format="mp3", mode="offline")
        connection.say({"is_speaking": False})
        failed = connection.hear()
        assert (failed["text"], failed["is_final"]) == ("", True)
        assert failed["error"]


def test_another_rate_is_resampled(server: Running) -> None:
    with opened(server) as connection:
        send(connection, voice(1.0, 44_100), audio_fs=44_100, mode="offline")
        connection.say({"is_speaking": False})
        assert connection.hear()["text"] == "今天我们开会讨论下一。"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ('{"阿里巴巴":20,"Lingting":30}', ("阿里巴巴", "Lingting")),
        ("阿里巴巴,Lingting", ("阿里巴巴", "Lingting")),
        ("阿里巴巴 Lingting", ("阿里巴巴", "Lingting")),
        ("阿里巴巴 20\nNew York 10", ("阿里巴巴", "New York")),
        ("", ()),
        (None, ()),
    ],
)
def test_hot_words_are_taken_in_every_spelling(server: Running, written: Any, words: tuple[str, ...]) -> None:
    with opened(server) as connection:
        send(connection, voice(0.5), hotwords=written, itn=False)
        connection.say({"is_speaking": False})
        until_final(connection)
    options = server.service.live[-1].options
    assert (options.hot_words, options.convert_numbers) == (words, False)


@pytest.mark.parametrize("frame", ["not json", "[]", "5", '{"mode": 5, "audio_fs": "x", "hotwords": [], "itn": 3}'])
def test_wrong_text_frames_change_nothing(server: Running, frame: str) -> None:
    with opened(server) as connection:
        connection.say(frame)
        send(connection, voice(0.5))
        connection.say(frame)
        connection.say({"is_speaking": False})
        assert until_final(connection)[-1]["text"] == "今天我们开。"


def test_failures_are_told_in_the_last_message(server: Running) -> None:
    server.service.open_error = Overloaded("too much is waiting")
    with opened(server) as connection:
        connection.say(FIRST)
        connection.say(voice(0.5))
        assert connection.rest() == [
            {"mode": "2pass", "text": "", "wav_name": "demo", "is_final": True, "error": "too much is waiting"}
        ]
        assert connection.closed[0] == 1013


def test_the_key_of_xiaozhi_is_understood(server: Running) -> None:
    with peer(server, "/", headers={"Authorization": f"Bearer; {server.new_key()}"}) as connection:
        connection.say({**FIRST, "mode": "offline"})
        connection.say(voice(1.0))
        connection.say({"is_speaking": False})
        assert connection.hear()["text"] == "今天我们开会讨论下一。"


def test_without_a_key_nobody_gets_in_unless_the_operator_says_so(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given(**settings: str) -> None:
        monkeypatch.setattr(server.service, "settings", server.service.settings.model_copy(update=settings))

    def status(**named: Any) -> int:
        with pytest.raises(InvalidStatus) as refused, peer(server, "/", **named):
            pass
        return refused.value.response.status_code

    assert status() == 401
    given(keyless_key=server.new_key())
    with peer(server, "/") as connection:
        send(connection, voice(0.5))
        connection.say({"is_speaking": False})
        assert until_final(connection)
    assert status(headers={"Origin": "https://elsewhere.example"}) == 401
    with peer(server, "/", headers={"Origin": server.url}):
        pass
    given(keyless_networks="10.0.0.0/8")
    assert status() == 401


def test_the_port_for_funasr_speaks_tls_where_the_server_does_not(tmp_path: Path) -> None:
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    certificates = []
    for number in range(2):
        port, database = free_port(), f"sqlite:///{tmp_path}/{number}.db"
        with serving(tmp_path, funasr_port=port, funasr_tls=True, database_url=database, drain_seconds=0.1) as server:
            headers = {"Authorization": f"Bearer {server.key}"}
            with connect(f"wss://127.0.0.1:{port}/", ssl=trusting, additional_headers=headers) as secured:
                secured.send(voice(0.5))
                secured.send('{"is_speaking": false}')
                assert json.loads(secured.recv(timeout=10))["text"]
                certificates.append(secured.socket.getpeercert(binary_form=True))  # type: ignore[attr-defined]
            with peer(server, "/", key=server.key) as plain:
                plain.say(voice(0.5))
                assert plain.hear()["text"]
    assert certificates[0] == certificates[1], "the certificate is kept"
    assert (tmp_path / "own-certificate.pem").stat().st_mode & 0o077 == 0
