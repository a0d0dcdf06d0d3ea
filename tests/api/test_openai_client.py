"""The official `openai` client for Python, sync and async, against a real server with the real model."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import openai
import pytest

from tests.conftest import LiveServer
from tests.recordings import recording

pytestmark = pytest.mark.engine


@pytest.fixture
def client(live_server: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live_server.url}/v1", api_key=live_server.key, max_retries=0) as made:
        yield made


def plain(text: str) -> str:
    return re.sub(r"[^\w\s]", "", text.lower())


def test_a_recording_is_transcribed(client: openai.OpenAI) -> None:
    spoken = recording("beckett")
    answer = client.audio.transcriptions.create(file=spoken.path, model="whisper-1")
    for phrase in spoken.phrases:
        assert phrase in plain(answer.text)
    assert answer.usage is not None
    assert answer.usage.type == "duration"
    assert answer.usage.seconds == pytest.approx(spoken.seconds, abs=0.01)


def test_chinese_is_transcribed_with_a_language_and_a_prompt(client: openai.OpenAI) -> None:
    spoken = recording("asr_example")
    answer = client.audio.transcriptions.create(
        file=spoken.path, model="whisper-base", language="zh", prompt="交易，停滞", temperature=0
    )
    assert any(phrase in answer.text for phrase in spoken.phrases)


def test_text_and_subtitles_come_as_text(client: openai.OpenAI) -> None:
    spoken = recording("beckett")
    text = client.audio.transcriptions.create(file=spoken.path, model="whisper-1", response_format="text")
    srt = client.audio.transcriptions.create(file=spoken.path, model="whisper-1", response_format="srt")
    vtt = client.audio.transcriptions.create(file=spoken.path, model="whisper-1", response_format="vtt")
    assert "ever failed" in plain(text)
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:0\d,\d{3}\nEver tried", srt)
    assert re.match(r"WEBVTT\n\n00:00:0\d\.\d{3} --> 00:00:0\d\.\d{3}\nEver tried", vtt)


def test_verbose_json_has_segments_and_words_in_seconds(client: openai.OpenAI) -> None:
    spoken = recording("beckett")
    answer = client.audio.transcriptions.create(
        file=spoken.path,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
    )
    assert answer.language == "english"
    assert answer.duration == pytest.approx(spoken.seconds, abs=0.01)
    assert answer.segments is not None
    assert answer.words is not None
    assert [segment.id for segment in answer.segments] == list(range(len(answer.segments)))
    times = [time for word in answer.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] <= answer.duration
    assert " ".join(word.word for word in answer.words).lower().startswith("ever tried")
    for segment in answer.segments:
        assert segment.avg_logprob < 0 < segment.compression_ratio
    words_only = client.audio.transcriptions.create(
        file=spoken.path, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert (words_only.segments, words_only.words) == (None, answer.words)


def test_a_stream_of_text_grows_to_what_an_answer_at_once_says(client: openai.OpenAI) -> None:
    spoken = recording("two_cities")
    deltas, final = "", ""
    for event in client.audio.transcriptions.create(file=spoken.path, model="gpt-4o-transcribe", stream=True):
        match event.type:
            case "transcript.text.delta":
                assert not final
                deltas += event.delta
            case "transcript.text.done":
                final = event.text
    whole = client.audio.transcriptions.create(file=spoken.path, model="gpt-4o-transcribe")
    assert final == deltas == whole.text


def test_the_async_client_does_all_of_it_at_once(live_server: LiveServer) -> None:
    spoken = recording("asr_example")

    async def streamed(client: openai.AsyncOpenAI) -> str:
        text = ""
        async for event in await client.audio.transcriptions.create(file=spoken.path, model="whisper-1", stream=True):
            text = event.text if event.type == "transcript.text.done" else text
        return text

    async def main() -> tuple[str, str, list[str]]:
        async with openai.AsyncOpenAI(base_url=f"{live_server.url}/v1", api_key=live_server.key) as client:
            whole, text, models = await asyncio.gather(
                client.audio.transcriptions.create(file=spoken.path, model="whisper-1"),
                streamed(client),
                client.models.list(),
            )
        return whole.text, text, [each.id for each in models.data]

    whole, text, models = asyncio.run(main())
    assert whole == text
    assert any(phrase in text for phrase in spoken.phrases)
    assert models == ["whisper-base"]


def test_errors_are_the_clients_own(live_server: LiveServer, client: openai.OpenAI) -> None:
    spoken = recording("asr_example")
    create = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(file=spoken.path, model="whisper-large-v3")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as language:
        create(file=spoken.path, model="whisper-1", language="fr")
    assert language.value.param == "language"
    with pytest.raises(openai.BadRequestError) as audio:
        create(file=("speech.mp3", b"this is no music"), model="whisper-1")
    assert (audio.value.code, audio.value.param) == ("invalid_audio", "file")
    stranger = openai.OpenAI(base_url=f"{live_server.url}/v1", api_key="lt-unknown", max_retries=0)
    with pytest.raises(openai.AuthenticationError) as unknown:
        stranger.models.list()
    assert unknown.value.code == "invalid_api_key"


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    (only,) = client.models.list().data
    assert (only.id, only.owned_by) == ("whisper-base", "lingting")
    assert client.models.retrieve("whisper-1") == only
