"""Hot words of a tenant, an app and a key: kept within bounds, and listened for in the next request on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests

from lingting.access import ManagementError
from lingting.access.directory import Directory, opened
from lingting.access.hot_words import HotWordsChange
from lingting.access.records import NewCredential
from lingting.hot_words import MAX_COUNT, MAX_LENGTH
from tests.access.door import Door, new
from tests.api.serving import (
    FILE,
    FLASH,
    SPEECH_SCOPES,
    STREAM,
    TRANSCRIPTIONS,
    Running,
    file_body,
    packet_body,
    serving,
)
from tests.conftest import LiveServer
from tests.recordings import recording


def adding(*words: str) -> HotWordsChange:
    return HotWordsChange(add=words)


@pytest.mark.anyio
async def test_a_caller_has_the_tenants_words_then_its_own_each_once(door: Door) -> None:
    app, key = door.app(), door.key()
    door.operator.change_tenant_hot_words("default", adding("盛源", "Lingting"))
    door.operator.change_app_hot_words("app", adding("停滞", "盛源"))
    token = await door.token(app)
    assert (await door.access.authenticate(token)).hot_words == ("盛源", "Lingting", "停滞")
    assert (await door.access.authenticate(key.key)).hot_words == ("盛源", "Lingting")


@pytest.mark.anyio
async def test_a_change_counts_from_the_next_request_on(door: Door) -> None:
    key = door.key()
    assert (await door.access.authenticate(key.key)).hot_words == ()
    door.operator.change_key_hot_words("key", adding("停滞"))
    assert (await door.access.authenticate(key.key)).hot_words == ("停滞",)
    door.operator.change_tenant_hot_words("default", adding("楼市"))
    assert (await door.access.authenticate(key.key)).hot_words == ("楼市", "停滞")
    door.operator.change_key_hot_words("key", HotWordsChange(clear=True))
    assert (await door.access.authenticate(key.key)).hot_words == ("楼市",)


@pytest.mark.anyio
async def test_other_tenants_do_not_hear_the_words(door: Door) -> None:
    door.operator.create_tenant("acme")
    door.operator.change_tenant_hot_words("acme", adding("停滞"))
    ours, theirs = door.key("ours", tenant="acme"), door.key("theirs")
    assert (await door.access.authenticate(ours.key)).hot_words == ("停滞",)
    assert (await door.access.authenticate(theirs.key)).hot_words == ()


def test_words_are_added_removed_and_replaced(operator: Directory) -> None:
    def change(**how: Any) -> tuple[str, ...]:
        return operator.change_tenant_hot_words("default", HotWordsChange(**how)).hot_words

    assert change(add=("一一", " 二二 ", "一一")) == ("一一", "二二")
    assert change(add=("三三",), remove=("一一",)) == ("二二", "三三")
    assert change(add=("四四",), clear=True) == ("四四",)
    assert operator.tenant("default").hot_words == ("四四",)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (adding("x" * (MAX_LENGTH + 1)), f"{MAX_LENGTH} characters, got {MAX_LENGTH + 1}"),
        (adding(*map(str, range(MAX_COUNT + 1))), f"at most {MAX_COUNT} hot words are allowed"),
        (adding("a\0b"), "printable"),
        (adding(" "), "printable"),
        (HotWordsChange(remove=("停滞",)), "'停滞' is not in the list"),
    ],
)
def test_a_list_that_cannot_be_is_refused_and_nothing_changes(
    operator: Directory, change: HotWordsChange, said: str
) -> None:
    operator.create_key(new("ci"))
    operator.change_key_hot_words("ci", adding("楼市"))
    operator.change_tenant_hot_words("default", adding("上海"))
    for apply, reference in ((operator.change_key_hot_words, "ci"), (operator.change_tenant_hot_words, "default")):
        with pytest.raises(ManagementError, match=said):
            apply(reference, change)
    assert operator.key("ci").hot_words == ("楼市",)
    assert operator.tenant("default").hot_words == ("上海",)


def test_lists_that_are_too_long_together_are_refused_from_either_side(operator: Directory) -> None:
    operator.create_key(new("ci"))
    half = tuple(f"own {number}" for number in range(MAX_COUNT - 1))
    operator.change_key_hot_words("ci", adding(*half))
    operator.change_tenant_hot_words("default", adding("一一", half[0]))
    with pytest.raises(ManagementError, match=f"'ci' would have {MAX_COUNT + 1} hot words"):
        operator.change_tenant_hot_words("default", adding("二二"))
    with pytest.raises(ManagementError, match=f"'ci' would have {MAX_COUNT + 1} hot words"):
        operator.change_key_hot_words("ci", adding("二二"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with serving(tmp_path_factory.mktemp("hot words"), drain_seconds=0.1) as running:
        yield running


def with_words(server: Running, *words: str) -> str:
    """A key of a new tenant that has these words."""
    key = server.new_key()
    directory = server.service.access.directory
    directory.change_tenant_hot_words(directory.keys()[-1].tenant, adding(*words))
    return key


def heard(server: Running) -> tuple[str, ...]:
    """The hot words that the recogniser was last given."""
    return server.service.recognizer.seen[-1][1].hot_words


def test_file_recognize_listens_for_the_callers_words(server: Running) -> None:
    assert server.post(FILE, key=with_words(server, "停滞", "楼市"), json=file_body()).json()["code"] == 0
    assert heard(server) == ("停滞", "楼市")


def test_a_stream_listens_for_the_words_of_the_moment_it_was_opened(server: Running) -> None:
    key = with_words(server, "停滞")
    tenant = server.service.access.directory.keys()[-1].tenant
    assert server.post(STREAM, key=key, json=packet_body("hotwords00000001", 0, 1)).json()["code"] == 0
    server.service.access.directory.change_tenant_hot_words(tenant, adding("楼市"))
    assert server.post(STREAM, key=key, json=packet_body("hotwords00000001", 1, 0)).json()["code"] == 0
    assert server.post(STREAM, key=key, json=packet_body("hotwords00000002", 0, 1)).json()["code"] == 0
    assert [session.options.hot_words for session in server.service.sessions] == [("停滞",), ("停滞", "楼市")]


def test_flash_listens_for_the_requests_words_first(server: Running) -> None:
    key = with_words(server, "停滞", "楼市")
    headers = {"hot_words": quote("上海,楼市")}
    assert server.post(FLASH, key=key, data=b"RIFF\1\0\1\0", headers=headers).status_code == 200
    assert heard(server) == ("上海", "楼市", "停滞")


def test_openai_listens_for_the_requests_words_first(server: Running) -> None:
    key = with_words(server, "停滞", "楼市")
    fields, files = {"model": "whisper-1", "prompt": "上海, 楼市"}, {"file": ("a.wav", b"RIFF\1\0\1\0")}
    assert server.post(TRANSCRIPTIONS, key=key, data=fields, files=files).status_code == 200
    assert heard(server) == ("上海", "楼市", "停滞")


def test_what_is_over_the_limit_falls_off_behind_the_requests_words(server: Running) -> None:
    key = with_words(server, *(f"tenant {number}" for number in range(MAX_COUNT)))
    headers = {"hot_words": quote("上海,楼市")}
    assert server.post(FLASH, key=key, data=b"RIFF\1\0\1\0", headers=headers).status_code == 200
    assert len(heard(server)) == MAX_COUNT
    assert heard(server)[:3] == ("上海", "楼市", "tenant 0")


@pytest.mark.engine
def test_a_tenants_made_up_word_is_every_interface_writes(live_server: LiveServer) -> None:
    spoken = recording("asr_example")
    with opened(f"sqlite:///{live_server.data_dir / 'lingting.db'}") as directory:
        directory.create_tenant("hot words")
        key = directory.create_key(NewCredential("hot words", "hot words", SPEECH_SCOPES)).key
        directory.change_tenant_hot_words("hot words", adding("几乎停志"))
    heard = texts(live_server.url, key, spoken.path, spoken.pcm)
    assert [("几乎停志的情况" in text) for text in heard] == [True] * 4, heard


def texts(url: str, key: str, path: Path, pcm: bytes) -> list[str]:
    """What file_recognize, stream_recognize, flash and OpenAI's interface make of a recording."""
    bearer = {"Authorization": f"Bearer {key}"}

    def post(path: str, **named: Any) -> Any:
        headers = {**bearer, **named.pop("headers", {})}
        answer = requests.post(url + path, headers=headers, timeout=120, **named)
        assert answer.status_code == 200, answer.text
        return json.loads(answer.content)

    post(STREAM, json=packet_body("hotwords00000003", 0, 1, pcm))
    flash = post(FLASH, data=path.read_bytes())
    return [
        post(FILE, json=file_body(pcm))["data"]["recognition_text"],
        post(STREAM, json=packet_body("hotwords00000003", 1, 2))["data"]["recognition_text"],
        "".join(sentence["text"] for sentence in flash["flash_result"]["sentences"]),
        post(TRANSCRIPTIONS, data={"model": "whisper-1"}, files={"file": (path.name, path.read_bytes())})["text"],
    ]
