"""Speakers of a file over HTTP, told apart by the real library with tiny models that go by the pitch of a voice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from typer.testing import CliRunner

from lingting import Transcriber, service
from lingting.audio.recording import Recording
from lingting.cli.transcribe import app
from lingting.domain import Samples, Sentence, Turn, Word
from lingting.engines.sherpa.speakers import Diariser, label
from lingting.errors import ModelError
from lingting.recognition.engine import Outcome
from lingting.recognition.speakers import spoken_by
from lingting.settings import Settings
from tests.api.serving import FLASH, TRANSCRIPTIONS, Running
from tests.engines.tiny import models as tiny
from tests.engines.tiny import speakers
from tests.engines.tiny.served import letters, pcm, serving_tiny, wav
from tests.engines.tiny.tones import say

SAID = [("你好", "A"), ("世界", "B"), ("你好", "A")]


def conversation() -> Samples:
    """Two who speak in turn, with a second between them."""
    silence = np.zeros(16_000, np.float32)
    return np.concatenate([part for text, _ in SAID for part in (say(list(text)), silence)])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("speakers")
    tiny.build("transducer", folder / "models" / "ours")
    speakers.build(folder / "models")
    return folder


@pytest.fixture(scope="module")
def server(models: Path) -> Iterator[Running]:
    with serving_tiny(
        models, model="ours", segmentation_model="segmentation", speaker_model="voices", engine_processes="none"
    ) as running:
        yield running


def flash(server: Running, **headers: str) -> requests.Response:
    return server.post(FLASH, key=server.key, data=wav(pcm(conversation())), headers=headers)


def openai(server: Running, **fields: str) -> requests.Response:
    files = {"file": ("a.wav", wav(pcm(conversation())))}
    return server.post(TRANSCRIPTIONS, key=server.key, files=files, data={"model": "whisper-1"} | fields)


def said(sentences: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(letters(sentence["text"]), sentence["speaker"]) for sentence in sentences]


def test_flash_labels_each_sentence_with_its_speaker(server: Running) -> None:
    answer = flash(server, speakers="true")
    assert answer.status_code == 200, answer.text
    assert said(answer.json()["flash_result"]["sentences"]) == SAID
    assert said(flash(server, speakers="2").json()["flash_result"]["sentences"]) == SAID
    assert {speaker for _, speaker in said(flash(server, speakers="1").json()["flash_result"]["sentences"])} == {"A"}


def test_flash_says_nothing_of_speakers_unless_it_is_asked(server: Running) -> None:
    assert all("speaker" not in sentence for sentence in flash(server).json()["flash_result"]["sentences"])
    refused = flash(server, speakers="many")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "speakers")


def test_openai_gives_them_as_diarized_json_and_in_subtitles(server: Running) -> None:
    answer = openai(server, response_format="diarized_json")
    assert answer.status_code == 200, answer.text
    content = answer.json()
    assert said(content["segments"]) == SAID
    assert [segment["type"] for segment in content["segments"]] == ["transcript.text.segment"] * 3
    assert [segment["id"] for segment in content["segments"]] == ["seg_0", "seg_1", "seg_2"]
    assert content["segments"][0]["end"] < content["segments"][1]["start"]
    assert content["task"] == "transcribe"
    subtitles = openai(server, model="gpt-4o-transcribe-diarize", response_format="srt").text
    assert [line[:5] for line in subtitles.splitlines() if line[1:2] == ":"] == ["A: 你好", "B: 世界", "A: 你好"]


def test_the_command_writes_them_down(server: Running, models: Path, tmp_path: Path) -> None:
    recording = tmp_path / "talk.wav"
    recording.write_bytes(wav(pcm(conversation())))
    arguments = [str(recording), "--speakers", "0", "--format", "srt"]
    done = CliRunner().invoke(app, [*arguments, "--server", server.url, "--key", server.key])
    assert done.exit_code == 0, done.output
    assert [line[:5] for line in done.stdout.splitlines() if line[1:2] == ":"] == ["A: 你好", "B: 世界", "A: 你好"]
    refused = CliRunner().invoke(app, [*arguments, "--model", "ours", "--server", server.url, "--key", server.key])
    assert refused.exit_code == 2


def test_the_library_names_them(server: Running) -> None:
    with Transcriber(settings=server.service.settings) as transcriber:
        found = transcriber.transcribe(conversation(), speakers=2).sentences
        assert [(letters(sentence.text), sentence.speaker) for sentence in found] == SAID
        with pytest.raises(ValueError, match="speakers must be 0 or more"):
            transcriber.transcribe(conversation(), speakers=-1)


def test_deepgram_numbers_them_word_by_word(server: Running) -> None:
    headers = {"Authorization": f"Token {server.key}"}
    sound = wav(pcm(conversation()))
    path = server.url + "/v1/listen?diarize=true&utterances=true&language=multi"
    results = requests.post(path, data=sound, headers=headers, timeout=30).json()["results"]
    words = results["channels"][0]["alternatives"][0]["words"]
    assert [(word["word"], word["speaker"]) for word in words] == [
        ("你", 0), ("好", 0), ("世", 1), ("界", 1), ("你", 0), ("好", 0),
    ]  # fmt: skip
    assert {word["language"] for word in words} == {"zh"}
    assert [utterance["speaker"] for utterance in results["utterances"]] == [0, 1, 0]


def test_a_server_without_the_models_says_what_the_operator_can_do(models: Path) -> None:
    with pytest.raises(ModelError, match="LINGTING_SEGMENTATION_MODEL needs segmentation"):
        service.Recognition(
            Settings(
                data_dir=models, model="ours", segmentation_model="voices", speaker_model="voices", phonetics="off"
            )
        )


def outcome(engine: Diariser, samples: Samples) -> Outcome:
    """What an engine makes of a recording, looked at until it is done."""
    work = engine.begin(Recording.of_samples(samples), 0)
    while True:
        (found,) = engine.step([work])
        if found.more is None:
            return found


def test_models_that_end_the_process_of_the_library_cost_one_recording_an_error(models: Path) -> None:
    swapped = Diariser(
        "voices", models / "models" / "voices" / "model.onnx", models / "models" / "segmentation" / "model.onnx"
    )
    with pytest.raises(ModelError, match=r"telling speakers apart with .* failed: "):
        outcome(swapped, conversation())


def test_a_recording_in_which_nobody_speaks_has_no_speakers(models: Path) -> None:
    engine = Diariser(
        "voices", models / "models" / "segmentation" / "model.onnx", models / "models" / "voices" / "model.onnx"
    )
    heard = outcome(engine, np.zeros(32_000, np.float32)).heard
    assert heard is not None
    assert heard.turns == ()


def words(*texts: str) -> tuple[Word, ...]:
    return tuple(Word(text, number * 0.5, number * 0.5 + 0.5) for number, text in enumerate(texts))


def test_a_sentence_is_cut_where_another_begins_to_speak() -> None:
    sentence = Sentence("你好吗？很好。", 0.0, 2.5, words("你", "好", "吗？", "很", "好。"))
    turns = (Turn(0.0, 1.5, "A"), Turn(1.5, 2.5, "B"))
    parts = list(spoken_by(sentence, turns))
    assert [(part.text, part.speaker, part.start, part.end) for part in parts] == [
        ("你好吗？", "A", 0.0, 1.5),
        ("很好。", "B", 1.5, 2.5),
    ]


def test_a_turn_too_short_for_a_word_does_not_cut_a_sentence() -> None:
    sentence = Sentence("你好吗？", 0.0, 1.5, words("你", "好", "吗？"))
    assert [part.speaker for part in spoken_by(sentence, (Turn(0.0, 1.3, "A"), Turn(1.3, 1.4, "B")))] == ["A"]
    assert [part.speaker for part in spoken_by(sentence, ())] == [""]


def test_speakers_beyond_the_alphabet_have_two_letters() -> None:
    assert [label(number) for number in (0, 25, 26, 51, 52)] == ["A", "Z", "AA", "AZ", "BA"]
