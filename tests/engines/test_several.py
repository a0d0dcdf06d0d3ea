"""Several models behind one real server: tiny ones of sherpa-onnx that write different words, and Whisper base."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from websockets.exceptions import InvalidStatus

from lingting import samples, service
from lingting.access.records import NewCredential
from lingting.engine_room import EngineRoom
from lingting.errors import ModelError
from lingting.settings import Settings
from tests.api.serving import (
    FILE,
    FLASH,
    SPEECH_SCOPES,
    STREAM,
    TRANSCRIPTIONS,
    Running,
    file_body,
    packet_body,
)
from tests.api.sockets import peer
from tests.engines.tiny import models as tiny
from tests.engines.tiny.served import SAID, letters, pcm, serving_tiny, utterance, wav

T = TypeVar("T")

PATIENCE = 60.0
DEFAULT, OTHER = "你好世界", "天地玄黄"


def other_words(folder: Path) -> None:
    """Let a tiny model write other characters for the same tones."""
    table = folder / "tokens.txt"
    text = table.read_text(encoding="utf-8")
    for said, written in zip(SAID, OTHER, strict=True):
        text = text.replace(f"{said} ", f"{written} ")
    table.write_text(text, encoding="utf-8")


def install(models: Path, model_dir: Path) -> None:
    """`ours` writes what is said; `other` and `along` write other words; `wrong` says it knows Chinese and does not."""
    for name, kind in (
        ("ours", "transducer"),
        ("other", "transducer"),
        ("along", "transducer-streaming"),
        ("wrong", "transducer"),
    ):
        tiny.build(kind, models / name)
        if name != "ours":
            other_words(models / name)
    description = (
        'engine = "transducer"\nlanguages = ["zh"]\n'
        'roles = {tokens = "tokens.txt", encoder = "encoder.onnx", decoder = "decoder.onnx", joiner = "joiner.onnx"}\n'
    )
    (models / "wrong" / "model.toml").write_text(description, encoding="utf-8")
    (models / "whisper-base").symlink_to(model_dir)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("several")
    install(folder / "models", model_dir)
    with serving_tiny(
        folder,
        model="ours",
        served_models="other,along,wrong,whisper-base",
        interface_models="deepgram=other",
        flash_requests_per_second=100_000,
    ) as running:
        yield running


def flash(server: Running, model: str | None = None, sound: bytes | None = None, key: str = "") -> requests.Response:
    headers = {} if model is None else {"model": model}
    return server.post(FLASH, key=key or server.key, data=sound or wav(), headers=headers)


def text_of(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return letters("".join(sentence["text"] for sentence in answer.json()["flash_result"]["sentences"]))


def openai(server: Running, model: str, key: str = "") -> requests.Response:
    return server.post(TRANSCRIPTIONS, key=key or server.key, files={"file": ("a.wav", wav())}, data={"model": model})


def until(ask: Callable[[], T], answered: Callable[[T], bool]) -> T:
    """Ask again while the model is being loaded."""
    deadline = time.monotonic() + PATIENCE
    while not answered(answer := ask()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)
    return answer


def room(server: Running) -> EngineRoom:
    """The engines of a server."""
    real: Any = server.service
    engines: EngineRoom = real._recognition.engines
    return engines


def loaded(server: Running, model: str) -> None:
    """Have a model loaded."""
    until(lambda: flash(server, model), lambda answer: answer.status_code != 503)


def test_while_a_model_is_loaded_callers_are_told_when_to_come_again(server: Running) -> None:
    room(server).let_go(0).result()
    first = flash(server, "along")
    assert first.status_code == 503
    assert int(first.headers["Retry-After"]) >= 1
    assert first.json()["error"]["message"] == "the model along is being loaded; try again shortly"
    assert text_of(flash(server)) == DEFAULT
    assert text_of(until(lambda: flash(server, "along"), lambda answer: answer.status_code != 503)) == OTHER


def test_a_model_that_is_named_writes_the_text_and_nothing_else_changes(server: Running) -> None:
    loaded(server, "other")
    assert text_of(flash(server)) == DEFAULT
    assert text_of(flash(server, "other")) == OTHER
    assert letters(openai(server, "other").json()["text"]) == OTHER
    for name in ("ours", "whisper-1", "gpt-4o-transcribe"):
        assert letters(openai(server, name).json()["text"]) == DEFAULT


def test_whisper_is_loaded_beside_them_when_it_is_asked_for(server: Running) -> None:
    sample = samples.contents()["sample.wav"]
    heard = until(lambda: flash(server, "whisper-base", sample), lambda answer: answer.status_code != 503)
    assert len(set(text_of(heard)) & set(samples.TEXT)) > len(set(samples.TEXT)) / 2
    assert text_of(flash(server)) == DEFAULT


@pytest.mark.parametrize("name", ["nobody", "whisper-tiny", "../etc"])
def test_a_name_that_is_not_served_gets_the_list_of_what_is(server: Running, name: str) -> None:
    listed = "use 'ours', 'other', 'along', 'wrong', 'whisper-base', or none for the default"
    answer = flash(server, name)
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "model")
    assert answer.json()["error"]["message"] == f"the model {name!r} is not installed; {listed}"
    answer = openai(server, name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert listed in answer.json()["error"]["message"]


def test_the_models_are_listed_and_described(server: Running) -> None:
    def get(path: str, key: str) -> Any:
        return requests.get(server.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=10).json()

    listed = [model["id"] for model in get("/v1/models", server.key)["data"]]
    assert listed == ["ours", "other", "along", "wrong", "whisper-base"]
    assert get("/v1/models/other", server.key)["id"] == "other"
    assert get("/v1/models/whisper-1", server.key)["id"] == "ours"
    only = server.new_key(models=("other",))
    assert [model["id"] for model in get("/v1/models", only)["data"]] == ["other"]


def test_a_key_for_some_models_gets_no_other(server: Running) -> None:
    loaded(server, "other")
    key = server.new_key(models=("other",))
    assert text_of(flash(server, "other", key=key)) == OTHER
    assert flash(server, "along", key=key).status_code == 403
    assert flash(server, key=key).status_code == 403


def test_a_model_that_hears_the_first_sentence_wrong_is_not_served_and_says_what_to_do(server: Running) -> None:
    answer = until(
        lambda: flash(server, "wrong"), lambda answer: "being loaded" not in answer.json()["error"]["message"]
    )
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 5
    message = answer.json()["error"]["message"]
    assert message.startswith("the model wrong heard ")
    assert f"where {samples.TEXT!r} is said" in message
    assert "lingting models check wrong" in message
    assert text_of(flash(server)) == DEFAULT


def test_a_tenant_has_a_default_of_its_own_on_every_interface(server: Running) -> None:
    loaded(server, "other")
    directory = server.service.access.directory
    tenant = directory.create_tenant("with-a-model").name
    key = directory.create_key(NewCredential("k", tenant, SPEECH_SCOPES)).key
    directory.set_model(tenant, "other")
    assert text_of(flash(server, key=key)) == OTHER
    assert text_of(flash(server, "ours", key=key)) == DEFAULT
    assert letters(openai(server, "whisper-1", key).json()["text"]) == OTHER
    answer = server.post(FILE, key=key, json=file_body(pcm(utterance())))
    assert letters(answer.json()["data"]["recognition_text"]) == OTHER
    sound = pcm(utterance())
    for number, piece in enumerate((sound[:32_000], sound[32_000:])):
        answer = server.post(STREAM, key=key, json=packet_body("ofatenant0000000", number, 1 + number, piece))
    assert letters(answer.json()["data"]["recognition_text"]) == OTHER
    directory.set_model(tenant, "gone")
    assert text_of(flash(server, key=key)) == DEFAULT


def deepgram(server: Running, model: str) -> dict[str, Any]:
    headers = {"Authorization": f"Token {server.key}"}
    answer = requests.post(f"{server.url}/v1/listen?model={model}", data=wav(), headers=headers, timeout=20)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_deepgram_takes_our_names_and_gives_the_default_of_its_interface_for_its_own(server: Running) -> None:
    for asked, written, named in (("ours", DEFAULT, "ours"), ("nova-3", OTHER, "other")):
        content = deepgram(server, asked)
        assert letters(content["results"]["channels"][0]["alternatives"][0]["transcript"]) == written
        assert [info["name"] for info in content["metadata"]["model_info"].values()] == [named]
    loaded(server, "along")
    with peer(server, "/v1/listen?model=along&encoding=linear16&sample_rate=16000", key=server.key) as session:
        session.say(pcm(utterance()))
        session.say({"type": "CloseStream"})
        results = [message for message in session.rest() if message["type"] == "Results" and message["is_final"]]
    said = "".join(result["channel"]["alternatives"][0]["transcript"] for result in results)
    assert letters(said) == OTHER
    assert results[0]["metadata"]["model_info"]["name"] == "along"


def test_a_realtime_session_takes_a_model_and_changes_it(server: Running) -> None:
    loaded(server, "other")
    completed = "conversation.item.input_audio_transcription.completed"

    def said(session: Any) -> str:
        audio = base64.b64encode(pcm(utterance())).decode()
        session.say({"type": "input_audio_buffer.append", "audio": audio})
        session.say({"type": "input_audio_buffer.commit"})
        return letters(session.until(completed)[-1]["transcript"])

    def update(session: Any, model: str) -> None:
        transcription = {"format": {"type": "audio/pcm", "rate": 16_000}, "transcription": {"model": model}}
        content = {"type": "transcription", "audio": {"input": transcription | {"turn_detection": None}}}
        session.say({"type": "session.update", "session": content})

    with peer(server, "/v1/realtime?model=other", key=server.key) as session:
        created = session.until("session.created")[-1]["session"]["audio"]["input"]
        assert created["transcription"]["model"] == "other"
        update(session, "other")
        session.until("session.updated")
        assert said(session) == OTHER
        update(session, "nobody")
        error = session.until("error")[-1]["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "session.audio.input.transcription.model")
        update(session, "gpt-4o-mini-transcribe")
        session.until("session.updated")
        assert said(session) == DEFAULT
    with pytest.raises(InvalidStatus) as refused, peer(server, "/v1/realtime?model=nobody", key=server.key):
        pass
    assert refused.value.response.status_code == 404


def test_usage_and_metrics_name_the_model_that_was_used(server: Running) -> None:
    loaded(server, "other")
    key = server.new_key()
    text_of(flash(server, "other", key=key))
    text_of(flash(server, key=key))
    used = server.service.access.usage
    today = datetime.now(UTC).date()

    def by_model() -> dict[Any, Any]:
        summary = asyncio.run_coroutine_threadsafe(used.summary(today, today, ["tenant", "model"]), server.loop)
        rows = [row for row in summary.result(20) if row["tenant"] == f"tenant-{server._made}"]
        return {row["model"]: row["requests"] for row in rows}

    assert until(by_model, lambda found: sum(found.values()) == 2) == {"other": 1, "ours": 1}
    shown = requests.get(server.url + "/metrics", timeout=10).text
    for name in ("other", "ours"):
        assert re.search(rf'^lingting_audio_seconds_total{{interface="flash",model="{name}"}}', shown, re.MULTILINE)
        assert f'lingting_model_memory_bytes{{model="{name}"}}' in shown


def test_a_model_that_nobody_uses_is_let_go_unless_it_is_the_default_one(tmp_path: Path) -> None:
    tiny.build("transducer", tmp_path / "models" / "ours")
    tiny.build("transducer-streaming", tmp_path / "models" / "along")
    names: dict[str, Any] = {"model": "ours", "served_models": "all", "load_models": "start", "unload_seconds": 0.5}
    names["flash_requests_per_second"] = 100_000
    with serving_tiny(tmp_path, **names, engine_processes="none") as server:

        def in_memory() -> set[str]:
            shown = requests.get(server.url + "/metrics", timeout=10).text
            return set(re.findall(r'^lingting_model_memory_bytes{model="(.+?)"}', shown, re.MULTILINE))

        loaded(server, "along")
        with peer(server, "/v1/listen?model=along&encoding=linear16&sample_rate=16000", key=server.key) as session:
            room(server).let_go(0).result()
            assert in_memory() == {"ours", "along"}
            session.say(pcm(utterance()))
            session.say({"type": "Finalize"})
            assert session.until("Results")
        until(in_memory, lambda found: found == {"ours"})
        assert text_of(flash(server)) == DEFAULT


def test_a_server_does_not_start_with_a_default_that_hears_wrong(server: Running) -> None:
    settings = Settings(
        data_dir=server.service.settings.data_dir, model="wrong", engine_processes="none", phonetics="off"
    )
    with pytest.raises(ModelError, match=r"the model wrong heard .* so it is not served; .*models check wrong"):
        service.Recognition(settings, apart=True)
