"""OpenAI's Realtime interface on the wire: every message, their order, what is refused and how it ends."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus

from lingting.errors import Overloaded
from tests.api.serving import Running
from tests.api.sockets import Peer, hush, peer, voice

PATH = "/v1/realtime?intent=transcription"
TRANSCRIPTION = "conversation.item.input_audio_transcription"
RATE = 24_000


def append(session: Peer, audio: bytes) -> None:
    session.say({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})


def update(session: Peer, **given: Any) -> dict[str, Any]:
    """The settings after an update of `audio.input`."""
    session.say({"type": "session.update", "session": {"type": "transcription", "audio": {"input": given}}})
    return session.until("session.updated")[-1]["session"]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


@pytest.fixture
def session(server: Running) -> Iterator[Peer]:
    """A session that has been greeted."""
    with peer(server, PATH, key=server.new_key()) as opened:
        opened.until("session.created")
        yield opened


def test_a_session_is_greeted_with_its_settings(server: Running) -> None:
    with peer(server, PATH, key=server.new_key()) as opened:
        created = opened.hear()
    assert created["type"] == "session.created"
    assert created["event_id"]
    described = created["session"]
    assert described["id"].startswith("sess_")
    assert (described["object"], described["type"]) == ("realtime.transcription_session", "transcription")
    assert time.time() + 3500 < described["expires_at"] < time.time() + 3700
    assert described["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "transcription": {"model": "whisper-base"},
        "noise_reduction": None,
        "turn_detection": {
            "type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300, "silence_duration_ms": 600,
        },
    }  # fmt: skip


def test_a_turn_that_ends_by_itself_comes_in_the_order_of_openai(session: Peer) -> None:
    append(session, hush(0.5, RATE) + voice(1.0, RATE) + hush(1.0, RATE))
    events = session.until(f"{TRANSCRIPTION}.completed")
    told = [kind for kind in kinds(events) if not kind.endswith(".delta")]
    assert told == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.completed",
    ]
    by_kind = {event["type"]: event for event in events}
    item = by_kind["input_audio_buffer.committed"]["item_id"]
    assert {event.get("item_id", event.get("item", {}).get("id")) for event in events} == {item}
    assert by_kind["input_audio_buffer.speech_started"]["audio_start_ms"] == pytest.approx(500, abs=30)
    assert by_kind["input_audio_buffer.speech_stopped"]["audio_end_ms"] == pytest.approx(2100, abs=50)
    assert by_kind["input_audio_buffer.committed"]["previous_item_id"] is None
    assert by_kind["conversation.item.done"]["item"] == {
        "id": item, "object": "realtime.item", "type": "message", "role": "user", "status": "completed",
        "content": [{"type": "input_audio", "transcript": None}],
    }  # fmt: skip
    completed = events[-1]
    assert completed["transcript"] == "今天我们开会讨论下一。"
    assert completed["usage"]["type"] == "duration"
    assert completed["usage"]["seconds"] == pytest.approx(1.6, abs=0.1)
    assert len({event["event_id"] for event in events}) == len(events)


def test_deltas_come_while_someone_speaks_and_joined_are_the_text(session: Peer) -> None:
    append(session, voice(1.5, RATE))
    early = [session.hear() for _ in range(6)]
    assert kinds(early)[0] == "input_audio_buffer.speech_started"
    assert kinds(early)[2:] == [f"{TRANSCRIPTION}.delta"] * 4
    append(session, hush(1.0, RATE))
    events = early + session.until(f"{TRANSCRIPTION}.completed")
    deltas = [event["delta"] for event in events if event["type"].endswith(".delta")]
    assert "".join(deltas) == events[-1]["transcript"]


def test_turns_come_one_after_another_and_name_the_one_before(session: Peer) -> None:
    append(session, voice(0.5, RATE) + hush(0.7, RATE) + voice(0.8, RATE) + hush(0.7, RATE))
    events = session.until(f"{TRANSCRIPTION}.completed") + session.until(f"{TRANSCRIPTION}.completed")
    committed = [event for event in events if event["type"] == "input_audio_buffer.committed"]
    assert committed[1]["previous_item_id"] == committed[0]["item_id"]
    first, second = committed[0]["item_id"], committed[1]["item_id"]
    of_text = [event["item_id"] for event in events if TRANSCRIPTION in event["type"]]
    assert of_text == sorted(of_text, key=[first, second].index)


def test_without_turn_detection_only_a_commit_ends_a_turn(session: Peer) -> None:
    assert update(session, turn_detection=None)["audio"]["input"]["turn_detection"] is None
    append(session, voice(0.5, RATE) + hush(3.0, RATE) + voice(0.5, RATE))
    session.say({"type": "input_audio_buffer.commit"})
    events = session.until(f"{TRANSCRIPTION}.completed")
    assert [kind for kind in kinds(events) if not kind.endswith(".delta")] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        f"{TRANSCRIPTION}.completed",
    ]
    assert events[-1]["transcript"] == "今天我们开会讨论下一。"


def test_a_long_turn_without_detection_is_one_item_though_it_is_recognised_in_parts(session: Peer) -> None:
    update(session, turn_detection=None)
    append(session, voice(45.0, RATE))
    session.say({"type": "input_audio_buffer.commit"})
    events = session.until(f"{TRANSCRIPTION}.completed")
    assert kinds(events).count("input_audio_buffer.committed") == 1
    assert len(events[-1]["transcript"]) == pytest.approx(450, abs=3)
    deltas = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
    assert deltas == events[-1]["transcript"]


def test_a_committed_item_without_speech_is_completed_with_an_empty_text(session: Peer) -> None:
    append(session, hush(0.3, RATE))
    session.say({"type": "input_audio_buffer.commit"})
    assert session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"] == ""


def test_a_commit_of_almost_nothing_is_an_error_that_names_the_event(session: Peer) -> None:
    append(session, voice(0.05, RATE))
    session.say({"type": "input_audio_buffer.commit", "event_id": "mine"})
    error = session.until("error")[-1]["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "input_audio_buffer_commit_empty")
    assert error["event_id"] == "mine"
    session.say({"type": "input_audio_buffer.clear"})
    assert session.until("input_audio_buffer.cleared")


def test_the_end_that_the_agents_sdk_makes_is_answered(session: Peer) -> None:
    """It commits, clears, and waits for `cleared` and for the text of every committed item."""
    append(session, voice(1.0, RATE))
    session.say({"type": "input_audio_buffer.commit", "event_id": "last"})
    session.say({"type": "input_audio_buffer.clear"})
    events = [session.hear()]
    while not {"input_audio_buffer.cleared", f"{TRANSCRIPTION}.completed"} <= set(kinds(events)):
        events.append(session.hear())
    assert kinds(events).count("input_audio_buffer.committed") == 1
    assert next(e for e in events if e["type"].endswith("completed"))["transcript"] == "今天我们开会讨论下一。"


def test_what_is_cleared_is_never_heard_of(session: Peer) -> None:
    update(session, turn_detection=None)
    append(session, voice(1.0, RATE))
    session.say({"type": "input_audio_buffer.clear"})
    append(session, voice(0.3, RATE))
    session.say({"type": "input_audio_buffer.commit"})
    events = session.until(f"{TRANSCRIPTION}.completed")
    assert events[-1]["transcript"] == "今天我。"
    assert kinds(events).count("input_audio_buffer.committed") == 1


def test_a_clear_lets_committed_turns_go_on(server: Running, session: Peer) -> None:
    server.call(server.service.finals.clear)
    append(session, voice(0.5, RATE))
    session.say({"type": "input_audio_buffer.commit"})
    session.until("conversation.item.done")
    append(session, voice(0.5, RATE))
    session.say({"type": "input_audio_buffer.clear"})
    session.until("input_audio_buffer.cleared")
    server.call(server.service.finals.set)
    assert session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"] == "今天我们开。"


@pytest.mark.parametrize(
    ("format", "audio"),
    [
        ({"type": "audio/pcm", "rate": 8000}, voice(1.0, 8000)),
        ({"type": "audio/pcm", "rate": 16000}, voice(1.0, 16000)),
        ({"type": "audio/pcm", "rate": 48000}, voice(1.0, 48000)),
        ({"type": "audio/pcmu"}, b"\x90\x10" * 4000),
        ({"type": "audio/pcma"}, b"\x90\x10" * 4000),
    ],
)
def test_a_second_of_every_format_is_a_second(session: Peer, format: dict[str, Any], audio: bytes) -> None:
    assert update(session, format=format, turn_detection=None)["audio"]["input"]["format"] == format
    append(session, audio)
    session.say({"type": "input_audio_buffer.commit"})
    completed = session.until(f"{TRANSCRIPTION}.completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)


def test_a_sample_may_be_cut_in_half(session: Peer) -> None:
    update(session, turn_detection=None)
    audio = voice(1.0, RATE)
    for start in range(0, len(audio), 1001):
        append(session, audio[start : start + 1001])
    session.say({"type": "input_audio_buffer.commit"})
    completed = session.until(f"{TRANSCRIPTION}.completed")[-1]
    assert completed["usage"]["seconds"] == pytest.approx(1.0, abs=0.01)
    assert completed["transcript"] == "今天我们开会讨论下一。"


def test_only_what_is_in_an_update_changes_and_null_clears(session: Peer) -> None:
    update(session, transcription={"model": "gpt-4o-transcribe", "language": "en", "prompt": "Lingting"})
    said = update(session, turn_detection={"type": "server_vad", "silence_duration_ms": 900})["audio"]["input"]
    assert said["transcription"] == {"model": "gpt-4o-transcribe", "language": "en", "prompt": "Lingting"}
    assert said["turn_detection"]["silence_duration_ms"] == 900
    assert update(session, transcription=None)["audio"]["input"]["transcription"] == {"model": "whisper-base"}


def test_what_is_asked_for_reaches_the_recognition(server: Running, session: Peer) -> None:
    update(
        session,
        transcription={"model": "whisper-1", "language": "en-US", "prompt": "甲方，乙方", "keywords": ["Lingting"]},
        turn_detection={"type": "server_vad", "silence_duration_ms": 350},
    )
    append(session, voice(0.5, RATE) + hush(0.5, RATE))
    session.until(f"{TRANSCRIPTION}.completed")
    options, endpoint = server.service.live[-1].options, server.service.live[-1].endpoint
    assert options.language == "en"
    assert options.hot_words == ("Lingting", "甲方", "乙方")
    assert endpoint is not None
    assert endpoint.silence == pytest.approx(0.35)


@pytest.mark.parametrize("eagerness", ["low", "medium", "high", "auto"])
def test_semantic_turn_detection_is_taken(session: Peer, eagerness: str) -> None:
    said = update(session, turn_detection={"type": "semantic_vad", "eagerness": eagerness})
    assert said["audio"]["input"]["turn_detection"] == {"type": "semantic_vad", "eagerness": eagerness}
    append(session, voice(0.5, RATE) + hush(2.5, RATE))
    assert session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"]


def test_a_session_may_be_used_again_with_other_settings(session: Peer) -> None:
    append(session, voice(0.5, RATE))
    update(session, transcription={"language": "en"})
    append(session, voice(0.5, RATE) + hush(1.0, RATE))
    texts = [session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"] for _ in range(2)]
    assert texts == ["今天我们开。", "the quick brown fox jumps."]


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        ("not json", "invalid_event", None),
        ("[]", "invalid_event", None),
        ('{"type": 1}', "invalid_event", None),
        (b"\x00\x01", "invalid_event", None),
        ('{"type": "response.create"}', None, "type"),
        ('{"type": "input_audio_buffer.append", "audio": "???"}', "invalid_audio", "audio"),
        ('{"type": "input_audio_buffer.append", "audio": 5}', "invalid_audio", "audio"),
        ('{"type": "input_audio_buffer.append"}', "invalid_audio", "audio"),
        ('{"type": "session.update"}', None, "session"),
        ('{"type": "session.update", "session": {"type": "realtime"}}', None, "session.type"),
        (
            '{"type": "session.update", "session": {"type": "transcription", "audio": {"input": {"format": 5}}}}',
            None,
            "session.audio.input.format",
        ),
        (
            '{"type":"session.update","session":{"type":"transcription","audio":{"input":{"turn_detection":{"type":"x"}}}}}',
            None,
            "session.audio.input.turn_detection.type",
        ),
    ],
)
def test_a_wrong_event_is_answered_and_the_session_goes_on(
    session: Peer, frame: str | bytes, code: str | None, param: str | None
) -> None:
    session.say(frame)
    answer = session.hear()
    assert answer["type"] == "error"
    error = answer["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    append(session, voice(0.5, RATE) + hush(1.0, RATE))
    assert session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"] == "今天我们开。"


def test_an_empty_binary_frame_is_a_heartbeat(session: Peer) -> None:
    session.say(b"")
    update(session, turn_detection=None)


def test_the_beta_is_spoken_to_those_who_say_so(server: Running) -> None:
    with peer(server, PATH, key=server.new_key(), headers={"OpenAI-Beta": "realtime=v1"}) as session:
        created = session.hear()
        assert created["type"] == "transcription_session.created"
        assert created["session"]["input_audio_format"] == "pcm16"
        session.say(
            {
                "type": "transcription_session.update",
                "session": {
                    "input_audio_format": "g711_ulaw",
                    "input_audio_transcription": {"model": "whisper-1", "language": "en"},
                    "turn_detection": {"type": "server_vad", "silence_duration_ms": 400},
                },
            }
        )
        updated = session.hear()
        assert updated["type"] == "transcription_session.updated"
        assert updated["session"]["input_audio_format"] == "g711_ulaw"
        assert updated["session"]["turn_detection"]["silence_duration_ms"] == 400
        append(session, b"\x90\x10" * 4000 + b"\xff" * 8000)
        events = session.until(f"{TRANSCRIPTION}.completed")
        assert "conversation.item.created" in kinds(events)
        assert not {"conversation.item.added", "conversation.item.done"} & set(kinds(events))


def test_the_first_update_of_the_beta_is_enough_and_so_is_a_flat_one(session: Peer) -> None:
    session.say({"type": "session.update", "session": {"turn_detection": None, "input_audio_format": "pcm16"}})
    assert session.hear()["session"]["audio"]["input"]["turn_detection"] is None
    session.say({"type": "transcription_session.update", "session": {"input_audio_format": "g711_alaw"}})
    assert session.until("transcription_session.updated")


@pytest.mark.parametrize(
    ("headers", "subprotocols", "answered"),
    [
        ({"Authorization": "Token {key}"}, None, None),
        ({"Authorization": "Bearer; {key}"}, None, None),
        ({}, ["realtime", "openai-insecure-api-key.{key}"], "realtime"),
        ({}, ["token", "{key}"], "token"),
        ({}, ["bearer", "{key}"], "bearer"),
    ],
)
def test_a_key_is_taken_wherever_clients_put_it(
    server: Running, headers: dict[str, str], subprotocols: list[str] | None, answered: str | None
) -> None:
    key = server.new_key()
    named = {"headers": {name: value.format(key=key) for name, value in headers.items()}}
    offered = [name.format(key=key) for name in subprotocols or ()] or None
    with peer(server, PATH, subprotocols=offered, **named) as session:
        assert session.hear()["type"] == "session.created"
        assert session.connection.subprotocol == answered


def refusal(server: Running, path: str, **named: Any) -> requests.Response | Any:
    with pytest.raises(InvalidStatus) as refused, peer(server, path, **named):
        pass
    return refused.value.response


def test_a_wrong_key_is_refused_before_the_connection_opens(server: Running) -> None:
    for key in ("lt-nobody", None):
        answer = refusal(server, PATH, key=key)
        assert answer.status_code == 401
        assert json.loads(answer.body)["error"]["code"] == "invalid_api_key"
        assert answer.headers["X-Tt-Logid"]


def test_a_key_without_the_scope_is_refused(server: Running) -> None:
    answer = refusal(server, PATH, key=server.new_key(("audio:flash",)))
    assert (answer.status_code, json.loads(answer.body)["error"]["code"]) == (403, "missing_scope")


def test_a_tenant_without_a_place_is_refused_and_has_one_once_a_connection_ends(server: Running) -> None:
    key = server.new_key(limits={"streams": 1})
    with peer(server, PATH, key=key):
        answer = refusal(server, PATH, key=key)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    deadline = time.monotonic() + 1
    while True:
        try:
            with peer(server, PATH, key=key):
                return
        except InvalidStatus:
            assert time.monotonic() < deadline


def test_a_server_that_is_not_ready_refuses(server: Running) -> None:
    server.service.ready = False
    answer = refusal(server, PATH, key=server.new_key())
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1


def test_an_unknown_path_is_404(server: Running) -> None:
    assert refusal(server, "/v1/nothing", key=server.new_key()).status_code == 404


@pytest.mark.parametrize("error", [Overloaded("too much is waiting")])
def test_overload_is_an_error_and_a_close_that_asks_to_come_again(server: Running, error: Exception) -> None:
    with peer(server, PATH, key=server.new_key()) as session:
        session.hear()
        server.service.open_error = error
        append(session, voice(0.5, RATE))
        assert session.rest()[-1]["error"]["type"] == "server_error"
        assert session.closed[0] == 1013


def test_a_sender_who_is_far_ahead_waits_and_loses_nothing(server: Running) -> None:
    server.service.live_seconds = 1.0
    with peer(server, PATH, key=server.new_key()) as session:
        for _ in range(8):
            append(session, voice(0.5, RATE))
        append(session, hush(1.0, RATE))
        assert len(session.until(f"{TRANSCRIPTION}.completed")[-1]["transcript"]) == 41


def test_a_client_secret_opens_sessions_with_its_settings(server: Running) -> None:
    body = {
        "expires_after": {"anchor": "created_at", "seconds": 60},
        "session": {"type": "transcription", "audio": {"input": {"turn_detection": None}}},
    }
    answer = server.post("/v1/realtime/client_secrets", key=server.new_key(), json=body).json()
    assert answer["value"].startswith("ek_")
    assert time.time() < answer["expires_at"] <= time.time() + 61
    assert answer["session"]["audio"]["input"]["turn_detection"] is None
    for _ in range(2):
        with peer(server, PATH, subprotocols=["realtime", f"openai-insecure-api-key.{answer['value']}"]) as session:
            assert session.hear()["session"]["audio"]["input"]["turn_detection"] is None
    assert refusal(server, PATH, key="ek_unknown").status_code == 401


def test_the_beta_makes_its_keys_too(server: Running) -> None:
    answer = server.post(
        "/v1/realtime/transcription_sessions", key=server.new_key(), json={"input_audio_format": "g711_ulaw"}
    ).json()
    assert answer["input_audio_format"] == "g711_ulaw"
    assert answer["client_secret"]["value"].startswith("ek_")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"expires_after": {"seconds": 5}}, "expires_after.seconds"),
        ({"session": {"type": "realtime"}}, "session.type"),
        ([], None),
    ],
)
def test_a_client_secret_is_refused_by_the_name_of_the_field(server: Running, body: Any, param: str | None) -> None:
    answer = server.post("/v1/realtime/client_secrets", key=server.new_key(), json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_a_client_secret_needs_a_key(server: Running) -> None:
    assert server.post("/v1/realtime/client_secrets", json={}).status_code == 401
