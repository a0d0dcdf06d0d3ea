"""The official Python SDK, with only the domain changed: typed, async, and through the generic call."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.hearing import assert_heard, mandarin, new_id, packets
from tests.conftest import LiveServer

if TYPE_CHECKING:
    import lark_oapi as lark
    from lark_oapi.api.speech_to_text import v1

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """The SDK, whose ten thousand modules take seconds: only the process that tests it waits for them."""
    global lark, v1  # noqa: PLW0603
    import lark_oapi as lark
    from lark_oapi.api.speech_to_text import v1


@pytest.fixture(scope="module")
def client(live_server: LiveServer) -> lark.Client:
    return (
        lark.Client.builder()
        .app_id(live_server.app_id)
        .app_secret(live_server.app_secret)
        .domain(live_server.url)
        .log_level(lark.LogLevel.CRITICAL)
        .build()
    )


def speech(audio: bytes | None) -> v1.Speech:
    """Audio as the SDK wants it; None leaves the field unset."""
    builder = v1.Speech.builder()
    return (builder if audio is None else builder.speech(base64.b64encode(audio).decode())).build()


def file_request(audio: bytes | None, file_id: str | None = None) -> v1.FileRecognizeSpeechRequest:
    config = v1.FileConfig.builder().file_id(file_id or new_id()).format("pcm").engine_type("16k_auto").build()
    body = v1.FileRecognizeSpeechRequestBody.builder().speech(speech(audio)).config(config).build()
    return v1.FileRecognizeSpeechRequest.builder().request_body(body).build()


def packet_request(stream_id: str, number: int, action: int, audio: bytes | None) -> v1.StreamRecognizeSpeechRequest:
    config = v1.StreamConfig.builder().stream_id(stream_id).sequence_id(number).action(action)
    config = config.format("pcm").engine_type("16k_auto").build()
    body = v1.StreamRecognizeSpeechRequestBody.builder().speech(speech(audio)).config(config).build()
    return v1.StreamRecognizeSpeechRequest.builder().request_body(body).build()


def test_a_file_is_recognised(client: lark.Client) -> None:
    said = mandarin()
    response = client.speech_to_text.v1.speech.file_recognize(file_request(said.pcm))
    assert response.success(), response.msg
    assert_heard(response.data.recognition_text, said)


def test_the_log_id_can_be_read_from_successes_and_failures(client: lark.Client) -> None:
    fine = client.speech_to_text.v1.speech.file_recognize(file_request(bytes(3200)))
    refused = client.speech_to_text.v1.speech.file_recognize(file_request(bytes(3200), "short"))
    assert (fine.code, refused.code) == (0, 1040101)
    assert not refused.success()
    assert refused.get_log_id() == refused.error["log_id"]
    assert fine.get_log_id()
    assert fine.get_log_id() != refused.get_log_id()
    (violation,) = refused.error["field_violations"]
    assert (violation["field"], violation["value"]) == ("config.file_id", "short")


def test_a_file_is_recognised_asynchronously(client: lark.Client) -> None:
    said = mandarin()
    response = asyncio.run(client.speech_to_text.v1.speech.afile_recognize(file_request(said.pcm)))
    assert response.success(), response.msg
    assert_heard(response.data.recognition_text, said)
    assert response.raw.headers["x-tt-logid"]  # get_log_id() finds nothing: async, the SDK lower-cases every name


def test_a_stream_shows_growing_text_and_ends_with_the_whole(client: lark.Client) -> None:
    said, stream_id = mandarin(), new_id()
    parts = packets(said.pcm)
    response = None
    for number, audio in enumerate(parts):
        last = number == len(parts) - 1
        action = 1 if number == 0 else 2 if last else 0
        request = packet_request(stream_id, number, action, None if last else audio)
        response = client.speech_to_text.v1.speech.stream_recognize(request)
        assert response.success(), response.msg
        assert (response.data.stream_id, response.data.sequence_id) == (stream_id, number)
    assert response is not None
    assert_heard(response.data.recognition_text, said)


def test_a_stream_is_recognised_asynchronously(client: lark.Client) -> None:
    said, stream_id = mandarin(), new_id()
    parts = packets(said.pcm)

    async def send() -> Any:
        api = client.speech_to_text.v1.speech
        await api.astream_recognize(packet_request(stream_id, 1, 1, parts[0]))
        rest = [packet_request(stream_id, n, 0, audio) for n, audio in enumerate(parts[1:-1], start=2)]
        for start in range(0, len(rest), 4):
            await asyncio.gather(*(api.astream_recognize(request) for request in rest[start : start + 4]))
        return await api.astream_recognize(packet_request(stream_id, len(parts), 2, b""))

    response = asyncio.run(send())
    assert response.success(), response.msg
    assert_heard(response.data.recognition_text, said)


def generic(body: dict[str, Any]) -> lark.BaseRequest:
    return (
        lark.BaseRequest.builder()
        .http_method(lark.HttpMethod.POST)
        .uri("/open-apis/speech_to_text/v1/speech/file_recognize")
        .token_types({lark.AccessTokenType.TENANT})
        .body(body)
        .build()
    )


def test_the_generic_call_reads_successes_and_failures(client: lark.Client) -> None:
    said = mandarin()
    config = {"file_id": new_id(), "format": "pcm", "engine_type": "16k_auto"}
    body = {"speech": {"speech": base64.b64encode(said.pcm).decode()}, "config": config}
    response = client.request(generic(body))
    assert response.success()
    assert_heard(json.loads(response.raw.content)["data"]["recognition_text"], said)
    assert response.get_log_id()
    refused = client.request(generic(body | {"config": {}}))
    assert not refused.success()
    assert (refused.code, refused.msg) == (1040101, "invalid param")
    assert refused.get_log_id() == refused.error["log_id"]


def test_the_generic_call_reads_an_unknown_path_as_a_failure(client: lark.Client) -> None:
    request = generic({})
    request.uri = "/open-apis/nothing/v1/here"
    response = client.request(request)
    assert (response.success(), response.code) == (False, 99991201)


def test_a_wrong_secret_is_named(live_server: LiveServer) -> None:
    client = (
        lark.Client.builder()
        .app_id("cli_0123456789abcdef")
        .app_secret("wrong")
        .domain(live_server.url)
        .log_level(lark.LogLevel.CRITICAL)
        .build()
    )
    with pytest.raises(lark.exception.ObtainAccessTokenException, match="10003"):
        client.speech_to_text.v1.speech.file_recognize(file_request(bytes(3200)))


def test_an_api_key_is_taken_for_a_token(client: lark.Client, live_server: LiveServer) -> None:
    option = lark.RequestOption.builder().tenant_access_token(live_server.key).build()
    response = client.speech_to_text.v1.speech.file_recognize(file_request(bytes(32000)), option)
    assert (response.code, response.data.recognition_text) == (0, "")
