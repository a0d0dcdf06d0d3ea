"""Speech from a recording as the microphone, files, and what comes of them, with the real model."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, Playwright, expect

from tests.clients.hearing import assert_heard, mandarin
from tests.conftest import LINGTING, LiveServer
from tests.console.conftest import HEARING, PHONE, launch, visit
from tests.recordings import recording

pytestmark = pytest.mark.engine

WATCH = """() => {
  window.shown = [];
  const seen = () => window.shown.push([
    [...document.querySelectorAll(".sure")].map((each) => each.textContent).join(""),
    document.querySelector("#paragraphs .guess")?.textContent ?? ""]);
  new MutationObserver(seen).observe(document.querySelector("#paragraphs"), { subtree: true, childList: true });
}"""
DROP = """([content, name]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, { type: "audio/wav" }));
  const event = (kind) => new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true });
  const field = document.querySelector("#view-speak");
  field.dispatchEvent(event("dragover"));
  field.dispatchEvent(event("drop"));
}"""


def test_speech_becomes_text_while_it_is_spoken(live_server: LiveServer, playwright: Playwright) -> None:
    said = mandarin()
    with (
        contextlib.closing(launch(playwright, said.path, *HEARING)) as hearing,
        visit(hearing, live_server.url, viewport=PHONE) as seen,
    ):
        seen.sign_in(live_server.key)
        seen.page.evaluate(WATCH)
        seen.page.click("#record")
        expect(seen.page.locator(".guess:not(:empty)")).to_be_visible(timeout=30_000)
        expect(seen.page.locator(".sure:not(:empty)").first).to_be_visible(timeout=30_000)
        expect(seen.page.locator("#record")).to_have_text("Stop")
        seen.page.click("#record")
        expect(seen.page.locator("#record")).to_have_text("Start", timeout=30_000)
        assert_heard("".join(seen.page.locator(".sure").all_inner_texts()), said)
        expect(seen.page.locator(".guess:not(:empty)")).to_have_count(0)
        shown: list[tuple[str, str]] = seen.page.evaluate("window.shown")
        confirmed = [text for text, _ in shown]
        for before, after in itertools.pairwise(confirmed):
            assert after.startswith(before)
        for figure in ("reply-time", "first-text", "final-text"):
            expect(seen.page.locator(f"#{figure}")).to_have_text(re.compile(r"^[\d.]+ m?s$"))


@pytest.fixture(scope="module")
def transcribed(live_server: LiveServer, browser: Browser) -> Iterator[Page]:
    """A page on which a recording was dropped."""
    said = recording("beckett")
    with visit(browser, live_server.url, accept_downloads=True) as seen:
        seen.sign_in(live_server.key)
        seen.page.evaluate(DROP, [base64.b64encode(said.path.read_bytes()).decode(), "Fail better.wav"])
        expect(seen.page.locator("#queue strong")).to_have_text("Fail better.wav")
        expect(seen.page.locator("#queue .status")).to_contain_text("Done", timeout=60_000)
        yield seen.page


def test_a_dropped_file_becomes_sentences(transcribed: Page) -> None:
    assert_heard(transcribed.inner_text("#sentences"), recording("beckett"))
    expect(transcribed.locator("#file-name")).to_have_text("Fail better.wav")
    expect(transcribed.locator("#file-summary")).to_contain_text("10 s of audio")


def test_a_clicked_sentence_plays_and_is_marked(transcribed: Page) -> None:
    sentence = transcribed.locator("#sentences li").last
    sentence.locator(".time").click()
    expect(sentence).to_have_attribute("aria-current", "true")
    expect(transcribed.locator("#sentences [aria-current]")).to_have_count(1)
    assert transcribed.evaluate("document.querySelector('#player').paused") is False
    position = transcribed.evaluate("document.querySelector('#player').currentTime")
    minutes, seconds = sentence.locator(".time").inner_text().split(":")
    assert position >= int(minutes) * 60 + int(seconds)
    transcribed.evaluate("document.querySelector('#player').pause()")


def downloaded(page: Page, extension: str) -> tuple[str, str]:
    with page.expect_download() as waited:
        page.click(f'#downloads button:text-is("{extension}")')
    path = Path(waited.value.path())
    return waited.value.suggested_filename, path.read_bytes().decode("utf-8")


def test_downloads_hold_the_same_sentences_with_their_times(transcribed: Page, live_server: LiveServer) -> None:
    name, content = downloaded(transcribed, "json")
    assert name == "Fail better.json"
    sentences = json.loads(content)["flash_result"]["sentences"]
    texts = [sentence["text"] for sentence in sentences]
    assert downloaded(transcribed, "txt") == ("Fail better.txt", "".join(f"{text}\n" for text in texts))
    assert texts == transcribed.locator("#sentences .said").all_inner_texts()

    for form in ("srt", "vtt"):
        name, content = downloaded(transcribed, form)
        assert name == f"Fail better.{form}"
        assert content == theirs(live_server, form), "cut and broken into lines as the server and the command do"


def theirs(server: LiveServer, form: str) -> str:
    """The same recording as subtitles from the interface of OpenAI."""
    with recording("beckett").path.open("rb") as file:
        answer = requests.post(
            f"{server.url}/v1/audio/transcriptions",
            headers={"Authorization": f"Bearer {server.key}"},
            files={"file": file},
            data={"model": "whisper-1", "response_format": form},
            timeout=60,
        )
    return answer.content.decode()


def test_the_operator_sees_what_was_used(live_server: LiveServer, browser: Browser, transcribed: Page) -> None:
    environment = {**os.environ, "LINGTING_DATA_DIR": str(live_server.data_dir)}
    command = [str(LINGTING), "keys", "create", "watcher", "--scope", "operator", "--json"]
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    with visit(browser, f"{live_server.url}/#operator") as seen:
        seen.sign_in(json.loads(made.stdout)["key"])
        expect(seen.page.locator("#op-state")).to_have_text("Ready")
        expect(seen.page.locator("#op-queued")).to_have_text(re.compile(r"^\d+$"))
        expect(seen.page.locator("#op-latency")).to_contain_text("flash")
        expect(seen.page.locator("#op-usage")).to_contain_text("default")
