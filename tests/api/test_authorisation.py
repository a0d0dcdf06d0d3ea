"""The authorisation matrix over HTTP: credential × scopes × interface × models."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest
import requests

from lingting.access.principal import ALL_SCOPES
from lingting.access.records import NewCredential
from tests.api.serving import (
    FILE,
    FLASH,
    STREAM,
    TENANT_TOKEN,
    TRANSCRIPTIONS,
    Running,
    file_body,
    packet_body,
    serving,
)

MODEL = "whisper-base"
SCOPE_SETS = [scopes for count in range(1, len(ALL_SCOPES) + 1) for scopes in itertools.combinations(ALL_SCOPES, count)]
MODEL_LISTS: list[tuple[str, ...] | None] = [None, (MODEL,), ("x-asr", MODEL), ("x-asr",)]
PCM = bytes(3200)


@pytest.fixture(scope="module")
def open_door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    many = {f"{name}_requests_per_second": 10**6 for name in ("file", "flash", "transcription")}
    with serving(tmp_path_factory.mktemp("matrix"), streams_per_tenant=10**6, drain_seconds=1, **many) as running:
        yield running


def by_key(server: Running, scopes: tuple[str, ...], models: tuple[str, ...] | None) -> str:
    return server.new_key(scopes, models=models)


def by_token(server: Running, scopes: tuple[str, ...], models: tuple[str, ...] | None) -> str:
    app = server.service.access.directory.create_app(NewCredential("app", "acme", scopes, owner="Ada", models=models))
    login = {"app_id": app.app.id, "app_secret": app.app_secret}
    return str(requests.post(server.url + TENANT_TOKEN, json=login, timeout=10).json()["tenant_access_token"])


def feishu(answer: requests.Response) -> str:
    code = answer.json()["code"]
    return {0: "yes", 99991672: "no", 99991663: "who"}.get(code, f"{answer.status_code} {code}")


def plain(answer: requests.Response) -> str:
    return {200: "yes", 403: "no", 401: "who"}.get(answer.status_code, f"{answer.status_code} {answer.text}")


NUMBERS = itertools.count()
WAV = {"file": ("a.pcm", PCM), "model": (None, MODEL)}
Ask = Callable[[str, dict[str, str]], requests.Response]
INTERFACES: dict[str, tuple[str, Ask, Callable[[requests.Response], str]]] = {
    "file": (
        "speech_to_text:speech",
        lambda url, headers: requests.post(url + FILE, json=file_body(PCM), headers=headers, timeout=10),
        feishu,
    ),
    "stream": (
        "speech_to_text:speech",
        lambda url, headers: requests.post(
            url + STREAM, json=packet_body(f"{next(NUMBERS):016}", 0, 1, PCM), headers=headers, timeout=10
        ),
        feishu,
    ),
    "flash": (
        "audio:flash",
        lambda url, headers: requests.post(url + FLASH, data=PCM, headers={**headers, "format": "pcm"}, timeout=10),
        plain,
    ),
    "transcriptions": (
        "audio:transcriptions",
        lambda url, headers: requests.post(url + TRANSCRIPTIONS, files=WAV, headers=headers, timeout=10),
        plain,
    ),
}


@pytest.mark.parametrize("credential", [by_key, by_token])
@pytest.mark.parametrize("interface", INTERFACES)
def test_who_may_use_what(
    open_door: Running, interface: str, credential: Callable[[Running, tuple[str, ...], tuple[str, ...] | None], str]
) -> None:
    scope, ask, verdict = INTERFACES[interface]
    for scopes, models in itertools.product(SCOPE_SETS, MODEL_LISTS):
        bearer = credential(open_door, scopes, models)
        allowed = scope in scopes and (models is None or MODEL in models)
        answer = ask(open_door.url, {"Authorization": f"Bearer {bearer}"})
        assert verdict(answer) == ("yes" if allowed else "no"), (scopes, models, answer.text)


@pytest.mark.parametrize("bearer", ["lt-" + "x" * 43, "t-" + "a" * 44, "nonsense"])
@pytest.mark.parametrize("interface", INTERFACES)
def test_nobody_may_use_nothing(open_door: Running, interface: str, bearer: str) -> None:
    _, ask, verdict = INTERFACES[interface]
    assert verdict(ask(open_door.url, {"Authorization": f"Bearer {bearer}"})) == "who"
