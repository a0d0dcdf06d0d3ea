"""What happens to speech when the server goes away, the page is left, or somebody presses Start again."""

from __future__ import annotations

import contextlib
import json
import re
import time
import wave
from pathlib import Path
from typing import Any

import jiwer
import pytest
from playwright.sync_api import Browser, Dialog, Page, Playwright, Route, expect

from lingting.domain import SAMPLE_RATE
from tests.api.serving import Running
from tests.conftest import free_port, start_server
from tests.console.conftest import HEARING, Visit, launch, visit
from tests.recordings import recording

STREAM_GLOB = "**/stream_recognize"


def status(page: Page, text: str) -> None:
    expect(page.locator("#speak-status")).to_contain_text(text, timeout=15_000)


def stop(page: Page) -> None:
    page.click("#record")
    expect(page.locator("#record")).to_have_text("Start", timeout=30_000)


def speak(seen: Visit, seconds: int) -> None:
    """Speak, or beep, for about so long."""
    seen.page.click("#record")
    expect(seen.page.locator("#clock")).to_have_text(f"0:0{seconds}", timeout=15_000)
    stop(seen.page)


def shown(page: Page) -> str:
    return "".join(page.locator(".sure").all_inner_texts())


def heard(served: Running, since: int) -> int:
    """Samples that all streams from number `since` on were given."""
    return sum(part.size for session in served.service.sessions[since:] for part in session.samples)


def forget_streams(served: Running) -> None:
    """As after a restart: the server knows no stream."""
    streams = served.service.streams
    served.call(lambda: [streams._fail(stream, RuntimeError("gone")) for stream in list(streams._live.values())])


def spoken_samples(page: Page, folder: Path) -> int:
    """Samples in the recording that the page offers."""
    return len(recorded(page, folder)) // 2


def recorded(page: Page, folder: Path) -> bytes:
    with page.expect_download() as waited:
        page.click('#speak-downloads button:text-is("wav")')
    waited.value.save_as(folder / "said.wav")
    with wave.open(str(folder / "said.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return file.readframes(file.getnframes())


def test_a_server_that_is_away_and_starts_anew_hears_everything(
    served: Running, hearing_browser: Browser, tmp_path: Path
) -> None:
    first = len(served.service.sessions)
    with visit(hearing_browser, served.url) as seen:
        seen.expected += ["ERR_CONNECTION_REFUSED", "400"]
        seen.sign_in(served.new_key())
        seen.page.click("#record")
        expect(seen.page.locator(".guess")).to_have_text(" so far", timeout=15_000)
        seen.page.route(STREAM_GLOB, lambda route: route.abort("connectionrefused"))
        status(seen.page, "The server does not answer. I go on listening")
        expect(seen.page.locator("#clock")).to_have_text("0:05", timeout=15_000)
        forget_streams(served)
        seen.page.unroute(STREAM_GLOB)
        status(seen.page, "Listening.")
        stop(seen.page)
        assert len(served.service.sessions) == first + 2
        assert heard(served, first) == spoken_samples(seen.page, tmp_path) > 5 * 16_000


def refusing(status: int, code: int, times: int, sent: list[tuple[float, int]]) -> Any:
    """A route that refuses packets a few times with a Retry-After of a second."""

    def answer(route: Route) -> None:
        sent.append((time.monotonic(), json.loads(route.request.post_data or "")["config"]["sequence_id"]))
        if len(sent) <= times:
            content = {"code": code, "msg": "busy", "error": {"message": "slow down"}}
            route.fulfill(status=status, json=content, headers={"Retry-After": "1"})
        else:
            route.continue_()

    return answer


@pytest.mark.parametrize(
    ("readiness", "words"),
    [
        ({"status": "draining"}, "The server is being restarted. I go on listening"),
        ({"status": "unready", "why": ["the predicted wait is 12 s"]}, "The server is busy. I go on listening"),
    ],
    ids=["it drains", "it has too much to do"],
)
def test_while_the_server_takes_nothing_the_page_says_why_and_goes_on(
    served: Running, hearing_browser: Browser, tmp_path: Path, readiness: dict[str, object], words: str
) -> None:
    first = len(served.service.sessions)
    sent: list[tuple[float, int]] = []
    asked: list[Route] = []

    def ready(route: Route) -> None:
        asked.append(route)
        if len(asked) != 2:
            route.fulfill(status=503, json=readiness)

    with visit(hearing_browser, served.url) as seen:
        seen.expected += ["500", "503"]
        seen.sign_in(served.new_key())
        seen.page.route("**/readyz", ready)
        seen.page.route(STREAM_GLOB, refusing(500, 1040102, 10_000, sent))
        seen.page.click("#record")
        status(seen.page, words)
        with seen.page.expect_request(lambda _: len(asked) > 1):
            pass
        seen.page.wait_for_timeout(450)  # two rounds of what writes the status
        status(seen.page, words)  # it stays while the page asks again why
        asked[1].fulfill(status=503, json=readiness)
        seen.page.unroute(STREAM_GLOB)
        status(seen.page, "Listening.")
        stop(seen.page)
        assert heard(served, first) == spoken_samples(seen.page, tmp_path)


def test_a_server_that_says_slow_down_is_obeyed(served: Running, hearing_browser: Browser, tmp_path: Path) -> None:
    first = len(served.service.sessions)
    sent: list[tuple[float, int]] = []
    with visit(hearing_browser, served.url) as seen:
        seen.expected.append("429")
        seen.sign_in(served.new_key())
        seen.page.click("#record")
        expect(seen.page.locator(".guess")).to_have_text(" so far", timeout=15_000)
        seen.page.route(STREAM_GLOB, refusing(429, 99991400, 1, sent))
        expect(seen.page.locator("#clock")).to_have_text("0:03", timeout=15_000)
        stop(seen.page)
        at = [when for when, number in sent if number == sent[0][1]]
        assert len(at) == 2, "the packet that was refused comes again"
        assert at[1] - at[0] > 0.7, "and not before Retry-After"
        assert heard(served, first) == spoken_samples(seen.page, tmp_path)


def test_someone_who_will_not_wait_keeps_the_sound_and_has_it_recognised_later(
    served: Running, hearing_browser: Browser, tmp_path: Path
) -> None:
    with visit(hearing_browser, served.url) as seen:
        seen.expected += ["ERR_CONNECTION_REFUSED"]
        seen.sign_in(served.new_key())
        seen.page.route(STREAM_GLOB, lambda route: route.abort("connectionrefused"))
        seen.page.click("#record")
        expect(seen.page.locator("#clock")).to_have_text("0:02", timeout=15_000)
        seen.page.click("#record")
        expect(seen.page.locator("#record")).to_have_text("Stop waiting")
        status(seen.page, "Your sound is kept here")
        stop(seen.page)
        expect(seen.page.locator("#speak-rest")).to_contain_text("have no text yet")
        seen.page.unroute(STREAM_GLOB)
        first = len(served.service.sessions)
        seen.page.click("#speak-rest-button")
        expect(seen.page.locator("#speak-rest")).to_be_hidden(timeout=15_000)
        expect(seen.page.locator("#record")).to_have_text("Start", timeout=15_000)
        assert heard(served, first) == spoken_samples(seen.page, tmp_path)
        assert shown(seen.page).endswith("samples")


def test_start_adds_a_paragraph_and_new_text_can_be_undone(served: Running, hearing_browser: Browser) -> None:
    with visit(hearing_browser, served.url) as seen:
        seen.sign_in(served.new_key())
        for count in (1, 2):
            speak(seen, 1)
            expect(seen.page.locator("#paragraphs li")).to_have_count(count)
        text = shown(seen.page)
        seen.page.click("#new")
        expect(seen.page.locator("#paragraphs li")).to_have_count(0)
        seen.page.click("#undo")
        assert shown(seen.page) == text


def test_a_reload_keeps_text_and_sound_and_they_can_be_deleted(
    served: Running, hearing_browser: Browser, tmp_path: Path
) -> None:
    with visit(hearing_browser, served.url) as seen:
        seen.sign_in(served.new_key())
        speak(seen, 1)
        text, sound = shown(seen.page), recorded(seen.page, tmp_path)
        seen.page.reload()
        expect(seen.page.locator(".sure").first).to_have_text(text)
        assert recorded(seen.page, tmp_path) == sound
        seen.page.click("#new")
        seen.page.click("#history summary")
        seen.page.click("#history-list .open")
        expect(seen.page.locator(".sure").first).to_have_text(text)
        seen.page.click("#history-list button:text-is('Delete')")
        expect(seen.page.locator("#history-none")).to_be_visible()
        expect(seen.page.locator("#paragraphs li")).to_have_count(0)


def test_a_tab_that_is_closed_while_speaking_loses_no_sound(
    served: Running, hearing_browser: Browser, tmp_path: Path
) -> None:
    key = served.new_key()
    with visit(hearing_browser, served.url) as seen:
        seen.expected += ["ERR_CONNECTION_REFUSED"]
        seen.sign_in(key)
        seen.page.route(STREAM_GLOB, lambda route: route.abort("connectionrefused"))
        seen.page.click("#record")
        expect(seen.page.locator("#clock")).to_have_text("0:03", timeout=15_000)
        seen.page.close()
        page = seen.page.context.new_page()
        page.goto(served.url)
        page.fill("#key", key)
        page.press("#key", "Enter")
        page.click("#history summary")
        page.click("#history-list .open")
        expect(page.locator("#speak-rest")).to_contain_text("have no text yet")
        first = len(served.service.sessions)
        page.click("#speak-rest-button")
        expect(page.locator(".sure")).not_to_be_empty(timeout=15_000)
        expect(page.locator("#record")).to_have_text("Start", timeout=15_000)
        assert heard(served, first) == spoken_samples(page, tmp_path) > 2 * 16_000


def test_without_the_switch_nothing_is_kept_and_others_see_nothing(served: Running, hearing_browser: Browser) -> None:
    key = served.new_key()
    with visit(hearing_browser, served.url) as seen:
        seen.sign_in(key)
        speak(seen, 1)
        seen.page.click("#sign-out")
        seen.sign_in(served.new_key())
        seen.page.click("#history summary")
        expect(seen.page.locator("#history-none")).to_be_visible()
        seen.page.click("#sign-out")
        seen.sign_in(key)
        expect(seen.page.locator("#history-list li")).to_have_count(1)
        seen.page.uncheck("#history-keep")
        expect(seen.page.locator("#history-none")).to_be_visible()
        speak(seen, 1)
        seen.page.reload()
        seen.page.click("#history summary")
        expect(seen.page.locator("#history-keep")).not_to_be_checked()
        expect(seen.page.locator("#history-none")).to_be_visible()


def test_leaving_while_the_microphone_is_on_asks(served: Running, hearing_browser: Browser) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    with visit(hearing_browser, served.url) as seen:
        seen.sign_in(served.new_key())
        seen.page.on("dialog", stay)
        seen.page.click("#record")
        seen.page.click('#tabs a[href="#file"]')
        expect(seen.page.locator("#mic-on")).to_be_visible()
        expect(seen.page).to_have_title(re.compile(r"^● 0:0\d "))
        seen.page.evaluate("setTimeout(() => location.reload())")
        expect(seen.page.locator("#mic-on")).to_be_visible()
        seen.page.click("#mic-on")
        stop(seen.page)
        expect(seen.page.locator("#mic-on")).to_be_hidden()
        assert not seen.page.title().startswith("●")
    assert asked == ["beforeunload"]


def test_who_reads_further_up_is_left_there(served: Running, hearing_browser: Browser) -> None:
    number = iter(range(10_000))

    def answer(route: Route) -> None:
        config = json.loads(route.request.post_data or "")["config"]
        lines = [f"Line {line} of what is said. " for line in range(next(number) * 6)]
        data = {"stream_id": config["stream_id"], "recognition_text": "".join(lines)}
        confirmed = str(len("".join(lines)))
        headers = {"X-Lingting-Confirmed": confirmed, "X-Lingting-Confirmed-Ms": str(200 * len(lines))}
        route.fulfill(json={"code": 0, "msg": "success", "data": data}, headers=headers)

    with visit(hearing_browser, served.url, viewport={"width": 900, "height": 500}) as seen:
        seen.page.route(STREAM_GLOB, answer)
        seen.sign_in(served.new_key())
        seen.page.click("#record")
        box = seen.page.locator("#transcript")
        expect(seen.page.locator("#paragraphs li").nth(6)).to_be_attached(timeout=15_000)
        assert box.evaluate("box => box.scrollTop") > 200, "who follows sees the end"
        box.evaluate("box => (box.scrollTop = 10)")
        count = seen.page.locator("#paragraphs li").count()
        expect(seen.page.locator("#paragraphs li")).not_to_have_count(count, timeout=15_000)
        assert box.evaluate("box => box.scrollTop") == 10
        stop(seen.page)


def test_hot_words_and_language_of_the_speak_view_reach_the_server(served: Running, hearing_browser: Browser) -> None:
    with visit(hearing_browser, served.url) as seen:
        seen.sign_in(served.new_key())
        seen.page.fill("#speak-hot-words", "聆听，Kubernetes")
        seen.page.select_option("#speak-language", "zh")
        speak(seen, 1)
    options = served.service.sessions[-1].options
    assert (options.language, options.hot_words) == ("zh", ("聆听", "Kubernetes"))


@pytest.mark.engine
@pytest.mark.slow
def test_a_server_that_is_killed_while_someone_speaks_costs_no_word(
    tmp_path: Path, model_dir: Path, playwright: Playwright
) -> None:
    from lingting import Transcriber

    said = tmp_path / "said.wav"
    with wave.open(str(said), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(recording("two_cities").pcm[: 21 * 2 * SAMPLE_RATE])  # until a pause
    port = str(free_port())
    server = start_server(tmp_path / "data", model_dir, port=port)
    try:
        with (
            contextlib.closing(launch(playwright, said, *HEARING)) as hearing,
            visit(hearing, server.url) as seen,
        ):
            seen.expected += ["ERR_", "400"]
            seen.sign_in(server.key)
            seen.page.click("#record")
            expect(seen.page.locator("#clock")).to_have_text("0:09", timeout=40_000)
            server.process.kill()
            server.process.wait()
            status(seen.page, "The server does not answer. I go on listening")
            server = start_server(tmp_path / "data", model_dir, port=port)
            all_said = re.compile(r"0:(2[3-9]|[3-5]\d)|[1-9]:\d\d")  # later, where the server takes long to start
            expect(seen.page.locator("#clock")).to_have_text(all_said, timeout=60_000)
            stop(seen.page)
            text, sound = shown(seen.page), recorded(seen.page, tmp_path)
    finally:
        server.stop()
    with Transcriber(data_dir=model_dir.parents[1]) as transcriber, transcriber.stream() as stream:
        stream.accept(sound)
        undisturbed = stream.finish().text

    def words(text: str) -> str:
        return " ".join(re.findall(r"[a-z']+", text.lower()))

    print(text, undisturbed, sep="\n")
    assert jiwer.wer(words(undisturbed), words(text)) < 0.08
