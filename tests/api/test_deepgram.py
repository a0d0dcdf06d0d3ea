"""Deepgram's interface on the wire: results and their order, control messages, what is refused and how it ends."""

from __future__ import annotations

import hashlib
import io
import json
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import pytest
import requests
from websockets.exceptions import InvalidStatus

from lingting.errors import Overloaded
from tests.api.serving import Running
from tests.api.sockets import Peer, hush, peer, voice

RAW = "encoding=linear16&sample_rate=16000"


@contextmanager
def listening(server: Running, query: str = RAW, **named: Any) -> Iterator[Peer]:
    headers = {"Authorization": f"Token {server.new_key()}"}
    with peer(server, f"/v1/listen?model=nova-3&{query}", headers=headers, **named) as opened:
        yield opened


def text_of(message: dict[str, Any]) -> str:
    return str(message["channel"]["alternatives"][0]["transcript"])


def finals(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == "Results" and message["is_final"]]


def test_an_utterance_is_guessed_at_then_frozen(server: Running) -> None:
    with listening(server, RAW + "&interim_results=true&punctuate=true") as peer:
        peer.say(hush(0.5) + voice(1.0) + hush(1.0))
        heard = [peer.hear()]
        while not heard[-1]["is_final"]:
            heard.append(peer.hear())
    assert len(heard) > 2
    for guess in heard[:-1]:
        assert (guess["is_final"], guess["speech_final"], guess["start"]) == (False, False, 0.0)
        assert text_of(heard[-1]).startswith(text_of(guess))
    durations = [message["duration"] for message in heard[:-1]]
    assert durations == sorted(durations)
    last = heard[-1]
    assert (last["speech_final"], last["from_finalize"], last["channel_index"]) == (True, False, [0, 1])
    assert text_of(last) == "今天我们开会讨论下一。"
    word = last["channel"]["alternatives"][0]["words"][0]
    assert word == {"word": "今", "punctuated_word": "今", "start": 0.5, "end": 0.6, "confidence": 0.9}
    assert last["metadata"]["request_id"]
    assert last["metadata"]["model_info"]["name"] == "whisper-base"


def test_a_stretch_begins_where_the_one_before_ended(server: Running) -> None:
    with listening(server) as peer:
        peer.say(voice(0.5) + hush(1.0) + voice(0.5) + hush(1.0))
        peer.say({"type": "CloseStream"})
        first, second = finals(peer.rest())
    assert first["start"] == 0.0
    assert second["start"] == pytest.approx(first["start"] + first["duration"], abs=0.002)


def test_without_interim_results_only_final_ones_come(server: Running) -> None:
    with listening(server) as peer:
        peer.say(voice(1.0) + hush(1.0))
        peer.say({"type": "CloseStream"})
        heard = peer.rest()
    assert [message["type"] for message in heard] == ["Results", "Metadata"]


def test_text_has_punctuation_only_where_it_is_asked_for(server: Running) -> None:
    with listening(server, RAW + "&language=en") as peer:
        peer.say(voice(0.5))
        peer.say({"type": "CloseStream"})
        said = finals(peer.rest())[0]["channel"]["alternatives"][0]
    assert said["transcript"] == "the quick brown fox jumps"
    assert set(said["words"][0]) == {"word", "start", "end", "confidence"}


def test_finalize_is_always_answered(server: Running) -> None:
    with listening(server, RAW + "&punctuate=true") as peer:
        peer.say({"type": "Finalize"})
        empty = peer.hear()
        peer.say(voice(0.5))
        peer.say({"type": "Finalize"})
        said = peer.hear()
        peer.say({"type": "Finalize"})
        again = peer.hear()
        peer.say(voice(0.3))
        peer.say({"type": "CloseStream"})
        rest = peer.rest()
    for message in (empty, said, again):
        assert (message["is_final"], message["from_finalize"], message["speech_final"]) == (True, True, False)
    assert [text_of(message) for message in (empty, said, again)] == ["", "今天我们开。", ""]
    assert text_of(finals(rest)[0]) == "今天我。"


def test_close_stream_gives_what_is_left_then_metadata_and_1000(server: Running) -> None:
    sound = voice(0.5)
    with listening(server, RAW + "&punctuate=true") as peer:
        peer.say(sound)
        peer.say({"type": "CloseStream"})
        heard = peer.rest()
        assert peer.closed[0] == 1000
    assert text_of(heard[0]) == "今天我们开。"
    metadata = heard[-1]
    assert metadata["type"] == "Metadata"
    assert metadata["sha256"] == hashlib.sha256(sound).hexdigest()
    assert metadata["duration"] == 0.5
    assert (metadata["channels"], metadata["transaction_key"]) == (1, "deprecated")
    assert metadata["request_id"] == heard[0]["metadata"]["request_id"]
    assert metadata["created"].endswith("Z")


def test_an_empty_frame_ends_the_stream_too(server: Running) -> None:
    with listening(server) as peer:
        peer.say(voice(0.5))
        peer.say(b"")
        assert [message["type"] for message in peer.rest()] == ["Results", "Metadata"]
        assert peer.closed[0] == 1000


def test_the_start_of_speech_and_gaps_are_reported_when_asked_for(server: Running) -> None:
    with listening(server, RAW + "&vad_events=true&interim_results=true&utterance_end_ms=1000") as peer:
        peer.say(hush(0.5) + voice(0.5))
        peer.say(hush(0.7))
        peer.say(hush(0.6))
        heard = peer.until("UtteranceEnd")
        peer.say({"type": "CloseStream"})
        rest = peer.rest()
    assert heard[0] == {"type": "SpeechStarted", "channel": [0], "timestamp": 0.5}
    assert heard[-1] == {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0}
    assert "UtteranceEnd" not in [message["type"] for message in rest]


def test_endpointing_is_the_callers_and_may_be_off(server: Running) -> None:
    with listening(server, RAW + "&endpointing=25") as peer:
        peer.say(voice(0.5) + hush(0.4))
        assert peer.hear()["speech_final"]
    endpoint = server.service.live[-1].endpoint
    assert endpoint is not None
    assert endpoint.silence == pytest.approx(0.3)
    with listening(server, RAW + "&endpointing=false") as peer:
        peer.say(voice(0.5) + hush(1.0))
        said = peer.hear()
        assert (said["is_final"], said["speech_final"]) == (True, False)


def test_key_terms_become_hot_words_and_may_be_changed(server: Running) -> None:
    with listening(server, RAW + "&keyterm=Lingting&keyterm=%E7%94%B2%E6%96%B9&keywords=Ada:2.5") as peer:
        peer.say(voice(0.5))
        peer.say({"type": "Configure", "keyterms": ["Babbage"]})
        assert peer.until("ConfigureSuccess")[-1]["keyterms"] == ["Babbage"]
        peer.say(voice(0.5))
        peer.say({"type": "Configure", "keyterms": 5})
        assert peer.until("ConfigureFailure")[-1]["description"]
        peer.say({"type": "Configure", "features": {}})
        assert "keyterms" not in peer.until("ConfigureSuccess")[-1]
        peer.say({"type": "CloseStream"})
        heard = finals(peer.rest())
    assert [session.options.hot_words for session in server.service.live] == [("Lingting", "甲方", "Ada"), ("Babbage",)]
    assert heard[-1]["start"] + heard[-1]["duration"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("query", "sound"),
    [
        ("encoding=linear16&sample_rate=48000", voice(1.0, 48_000)),
        ("encoding=linear16&sample_rate=24000&channels=2", np.frombuffer(voice(1, 24_000), "<i2").repeat(2).tobytes()),
        ("encoding=linear32&sample_rate=16000", (np.frombuffer(voice(1.0), "<i2") / 32768).astype("<f4").tobytes()),
        ("encoding=mulaw", b"\x90\x10" * 4000),
        ("encoding=alaw&sample_rate=8000", b"\x90\x10" * 4000),
    ],
)  # fmt: skip
def test_a_second_of_every_encoding_is_a_second(server: Running, query: str, sound: bytes) -> None:
    with listening(server, query) as peer:
        for start in range(0, len(sound), 3333):
            peer.say(sound[start : start + 3333])
        peer.say({"type": "CloseStream"})
        assert peer.rest()[-1]["duration"] == pytest.approx(1.0, abs=0.01)


def wav(samples: bytes, rate: int = 16_000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return out.getvalue()


def test_a_wav_file_needs_no_encoding(server: Running) -> None:
    sound = wav(voice(1.0, 8000), 8000)
    with listening(server, "punctuate=true") as peer:
        for start in range(0, len(sound), 17):
            peer.say(sound[start : start + 17])
        peer.say({"type": "CloseStream"})
        heard = peer.rest()
    assert text_of(heard[0]) == "今天我们开会讨论下一。"
    assert heard[-1]["duration"] == pytest.approx(1.0, abs=0.01)


def contained(container: str, codec: str, **options: str) -> bytes:
    """A second of speech in a container, for which a decoder is needed."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options) as target:
        stream: Any = target.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.frombuffer(voice(1.0, 48_000), "<i2").reshape(1, -1), "s16", "mono")
        frame.sample_rate = 48_000
        context = stream.codec_context
        resampler = av.AudioResampler(context.format, "mono", 48_000, context.frame_size)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize(
    ("query", "container", "codec", "options"),
    [
        ("encoding=opus", "ogg", "libopus", {"page_duration": "60000"}),
        ("encoding=ogg-opus&sample_rate=48000", "ogg", "libopus", {}),
        ("", "webm", "libopus", {"live": "1"}),
        ("encoding=flac", "flac", "flac", {}),
        ("", "mp3", "libmp3lame", {"write_xing": "0"}),
        ("", "wav", "pcm_s24le", {}),
    ],
)
def test_compressed_sound_is_decoded_as_it_comes(
    server: Running, query: str, container: str, codec: str, options: dict[str, str]
) -> None:
    sound = contained(container, codec, **options)
    with listening(server, f"punctuate=true&{query}") as peer:
        for start in range(0, len(sound), 997):
            peer.say(sound[start : start + 997])
        peer.say({"type": "CloseStream"})
        heard = peer.rest()
        assert peer.closed[0] == 1000
    assert text_of(heard[0]).startswith("今天我们开会讨论下")
    assert heard[-1]["duration"] == pytest.approx(1.0, abs=0.1)
    assert heard[-1]["sha256"] == hashlib.sha256(sound).hexdigest()


def test_compressed_sound_gives_text_before_its_end(server: Running) -> None:
    sound = contained("ogg", "libopus", page_duration="60000")
    with listening(server, "encoding=opus&interim_results=true") as peer:
        peer.say(sound[: len(sound) * 3 // 4])
        assert text_of(peer.hear())
        peer.say({"type": "Finalize"})
        heard = [peer.hear()]
        while not heard[-1]["is_final"]:
            heard.append(peer.hear())
        assert text_of(heard[-1]).startswith("今天我们开")


@pytest.mark.parametrize("sound", [b"raw opus packets have no container", b"OggS" + bytes(3000)])
def test_compressed_sound_that_is_none_ends_the_connection_in_words(server: Running, sound: bytes) -> None:
    with listening(server, "encoding=opus") as peer:
        peer.say(sound)
        peer.say({"type": "CloseStream"})
        error = peer.rest()[-1]
        assert (error["type"], error["variant"]) == ("Error", "DataError")
        assert peer.closed == (1008, "DATA-0000")


def test_sound_that_cannot_be_decoded_ends_the_connection(server: Running) -> None:
    with listening(server, "") as peer:
        peer.say(b"this is no container at all" * 10)
        heard = peer.rest()
        assert heard[0]["type"] == "Error"
        assert "DATA-0000" in heard[0]["description"]
        assert peer.closed == (1008, "DATA-0000")


@pytest.mark.parametrize("frame", ["not json", "[]", "{}", '{"type": "Nothing"}', '{"type": 5}'])
def test_a_wrong_message_is_answered_and_the_stream_goes_on(server: Running, frame: str) -> None:
    with listening(server) as peer:
        peer.say(frame)
        error = peer.hear()
        assert (error["type"], error["variant"]) == ("Error", "SchemaError")
        peer.say({"type": "KeepAlive"})
        peer.say(voice(0.5))
        peer.say({"type": "CloseStream"})
        assert finals(peer.rest())


def refused(server: Running, query: str, **named: Any) -> Any:
    with pytest.raises(InvalidStatus) as error, peer(server, f"/v1/listen?{query}", **named):
        pass
    return error.value.response


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("encoding=linear16", "sample_rate"),
        ("encoding=linear16&sample_rate=x", "sample_rate"),
        ("encoding=linear16&sample_rate=16000&channels=99", "channels"),
        ("encoding=mp9", "encoding"),
        ("encoding=speex&sample_rate=16000", "WebM"),
        ("encoding=linear16&sample_rate=16000&endpointing=x", "endpointing"),
        ("encoding=linear16&sample_rate=16000&utterance_end_ms=-1", "utterance_end_ms"),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_connection_opens(server: Running, query: str, word: str) -> None:
    answer = refused(server, query, key=server.new_key())
    assert answer.status_code == 400
    assert word in answer.headers["dg-error"]
    body = json.loads(answer.body)
    assert word in body["err_msg"]
    assert body["request_id"] == answer.headers["dg-request-id"]


def test_a_wrong_key_is_401_a_missing_scope_403_a_full_tenant_429(server: Running) -> None:
    assert refused(server, RAW, key="lt-nobody").status_code == 401
    assert refused(server, RAW).status_code == 401
    assert refused(server, RAW, key=server.new_key(("audio:flash",))).status_code == 403
    key = server.new_key(limits={"streams": 1})
    with peer(server, f"/v1/listen?{RAW}", key=key):
        assert refused(server, RAW, key=key).status_code == 429


def test_overload_is_told_and_closes_with_1013(server: Running) -> None:
    with listening(server) as peer:
        server.service.open_error = Overloaded("too much is waiting")
        peer.say(voice(0.5))
        assert peer.rest()[-1]["type"] == "Error"
        assert peer.closed[0] == 1013


def test_audio_is_charged_to_the_tenant_and_its_budget_ends_the_stream(server: Running) -> None:
    key = server.new_key(limits={"audio_seconds_per_day": 10})
    with peer(server, f"/v1/listen?{RAW}", key=key) as first:
        first.say(voice(4.0))
        first.say({"type": "CloseStream"})
        first.rest()
    with peer(server, f"/v1/listen?{RAW}", key=key) as second:
        second.say(voice(7.0))
        assert second.rest()[-1]["variant"] == "LimitExceeded"
        assert second.closed[0] == 1008
    with peer(server, f"/v1/listen?{RAW}", key=key) as third:
        third.say(voice(4.0))
        third.say({"type": "CloseStream"})
        assert third.rest()[-1]["type"] == "Metadata"


def test_a_recording_is_answered_in_one_piece(server: Running) -> None:
    sound = b"RIFF" + voice(0.5)
    answer = server.post(
        "/v1/listen?model=nova-3&punctuate=true&utterances=true",
        data=sound,
        headers={"Authorization": f"Token {server.new_key()}", "Content-Type": "audio/wav"},
    )
    assert answer.status_code == 200
    body = answer.json()
    assert body["results"]["channels"][0]["alternatives"][0]["transcript"] == "heard 8000 samples"
    assert body["results"]["utterances"][0]["transcript"] == "heard 8000 samples"
    metadata = body["metadata"]
    assert (metadata["sha256"], metadata["duration"]) == (hashlib.sha256(sound).hexdigest(), 0.5)
    assert metadata["models"] == list(metadata["model_info"])
    assert metadata["request_id"] == answer.headers["Dg-Request-Id"]


def test_a_recording_is_refused_in_the_words_of_deepgram(server: Running) -> None:
    key = server.new_key()
    cases: list[tuple[dict[str, Any], int]] = [
        ({"data": b"RIFF" + voice(0.5)}, 401),
        ({"key": key, "data": b"no sound"}, 400),
        ({"key": key, "data": b""}, 400),
        ({"key": key, "json": {"url": "http://127.0.0.1/x.wav"}}, 400),
    ]
    for named, status in cases:
        answer = server.post("/v1/listen", **named)
        assert answer.status_code == status
        assert set(answer.json()) == {"err_code", "err_msg", "request_id"}


def test_a_wrong_method_or_path_is_refused_in_the_words_of_deepgram(server: Running) -> None:
    for answer, status in (
        (requests.delete(server.url + "/v1/listen", timeout=5), 405),
        (requests.post(server.url + "/v1/listen/x", timeout=5), 404),
    ):
        assert answer.status_code == status
        assert answer.json()["request_id"] == answer.headers["Dg-Request-Id"] == answer.headers["X-Request-Id"]
        assert answer.json()["err_msg"] == answer.headers["Dg-Error"]


def test_a_recording_that_breaks_off_is_recognised_and_the_answer_says_what_is_missing(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = {"Authorization": f"Token {server.new_key()}"}
    whole = server.post("/v1/listen", data=b"RIFF" + voice(0.5), headers=headers)
    assert "warnings" not in whole.json()["metadata"]
    monkeypatch.setattr(server.service.decoder, "missing", 9.5)
    answer = server.post("/v1/listen", data=b"RIFF" + voice(0.5), headers=headers).json()
    assert answer["results"]["channels"][0]["alternatives"][0]["transcript"]
    (warning,) = answer["metadata"]["warnings"]
    assert warning["message"] == "the file ends after 0.5 s of the 10.0 s that it declares"
