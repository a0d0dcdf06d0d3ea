"""The page as people see it: signing in, languages, widths, colours, refusals, and what it never does."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, Route, expect

from lingting.access.principal import OPERATOR
from tests.api.serving import FLASH, Running
from tests.console.conftest import DESKTOP, PHONE, launch, visit

VIEWS = ("speak", "file", "operator")
WORDS = Path(__file__).parents[2] / "src/lingting/console/words.js"
STREAM_GLOB = "**/stream_recognize"


def test_a_wrong_key_is_told_what_to_do_and_shows_nothing(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        seen.expected.append("401")
        for key in ("lt-wrong", "密钥"):
            seen.page.fill("#key", key)
            seen.page.click("#sign-in-form button")
            expect(seen.page.locator("#sign-in-error")).to_contain_text("lingting keys create")
        for name in VIEWS:
            expect(seen.page.locator(f"#view-{name}")).to_be_hidden()
        assert seen.page.evaluate("sessionStorage.length") == 0


def test_the_key_stays_in_the_tab_until_one_signs_out(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        seen.sign_in(served.key)
        expect(seen.page.locator("#who")).to_have_text("acme · Ada")
        seen.page.reload()
        expect(seen.page.locator("#view-speak")).to_be_visible()
        assert served.key not in json.dumps(seen.page.evaluate("({...localStorage})"))
        assert seen.page.context.cookies() == []
        seen.page.click("#sign-out")
        seen.page.reload()
        expect(seen.page.locator("#sign-in")).to_be_visible()
        assert seen.page.evaluate("sessionStorage.length") == 0


def test_a_link_of_the_start_signs_in_once(served: Running, browser: Browser) -> None:
    code = served.service.access.invitations.create()
    with visit(browser, f"{served.url}/#sign-in={code}") as seen:
        expect(seen.page.locator("#view-speak")).to_be_visible()
        expect(seen.page.locator("#who")).to_have_text("default · sign-in link")
        assert seen.page.url == f"{served.url}/", "the code does not stay in the history of the browser"
        seen.page.click('#tabs a[href="#operator"]')
        expect(seen.page.locator("#op-state")).to_have_text("Ready")
    with visit(browser, f"{served.url}/#sign-in={code}") as seen:
        seen.expected.append("403")
        expect(seen.page.locator("#sign-in-error")).to_contain_text("used already")
        expect(seen.page.locator("#view-speak")).to_be_hidden()


def test_a_server_that_is_away_is_named_as_such(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        seen.expected.append("ERR_FAILED")
        seen.page.route("**/console/session", lambda route: route.abort())
        seen.page.fill("#key", served.key)
        seen.page.press("#key", "Enter")
        expect(seen.page.locator("#sign-in-error")).to_contain_text("does not answer")


@pytest.mark.parametrize("locale", ["en-US", "zh-CN", "zh-TW", "fr-FR"])
def test_the_language_is_the_browsers_and_can_be_changed(served: Running, browser: Browser, locale: str) -> None:
    chinese = locale.startswith("zh")
    with visit(browser, served.url, locale=locale) as seen:
        button = seen.page.locator("#sign-in-form button")
        expect(button).to_have_text("登录" if chinese else "Sign in")
        seen.page.click("#language")
        expect(button).to_have_text("Sign in" if chinese else "登录")
        seen.page.reload()
        expect(button).to_have_text("Sign in" if chinese else "登录")
        assert seen.page.evaluate("document.documentElement.lang") == ("en" if chinese else "zh-CN")


def test_every_text_exists_in_both_languages() -> None:
    english, chinese = (
        dict(re.findall(r'^  (\w+): "(.*)",$', block, re.MULTILINE))
        for block in WORDS.read_text(encoding="utf-8").split("const ZH")
    )
    assert len(english) > 80
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", chinese[name])), name
        assert not re.search(r"[一-鿿]", text), name


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
def test_nothing_scrolls_sideways_on_a_phone(served: Running, operator_key: str, browser: Browser, locale: str) -> None:
    def overflow() -> int:
        width: int = seen.page.evaluate("document.documentElement.scrollWidth")
        return width - PHONE["width"]

    with visit(browser, served.url, viewport=PHONE, locale=locale) as seen:
        assert overflow() <= 0
        seen.sign_in(operator_key)
        for name in VIEWS:
            seen.page.click(f'#tabs a[href="#{name}"]')
            expect(seen.page.locator(f"#view-{name}")).to_be_visible()
            if name == "operator":
                expect(seen.page.locator("#op-usage tbody")).not_to_be_empty()
            assert overflow() <= 0, name


LUMINANCE = """name => {
  const probe = document.createElement("div");
  probe.className = "probe";
  document.body.append(probe);
  probe.style.color = `var(${name})`;
  const parts = getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
  probe.remove();
  const [r, g, b] = parts.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_every_text_can_be_read(served: Running, browser: Browser, scheme: Any) -> None:
    with visit(browser, served.url, color_scheme=scheme) as seen:
        light = {
            name: seen.page.evaluate(LUMINANCE, f"--{name}")
            for name in ("paper", "sheet", "ink", "soft", "guess", "accent", "accent-ink", "bad", "bad-wash")
        }
        assert (light["paper"] > 0.5) == (scheme == "light")
        pairs = [(text, ground) for text in ("ink", "soft", "guess", "accent") for ground in ("paper", "sheet")]
        for text, ground in [*pairs, ("accent-ink", "accent"), ("bad", "bad-wash")]:
            high, low = sorted((light[text], light[ground]), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


def test_inline_scripts_do_not_run(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        seen.expected.append("Content Security Policy")
        seen.page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.ran = true";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src='/nothing' onerror='window.ran = true'>");
            }"""
        )
        seen.expected.append("404")
        assert seen.page.evaluate("window.ran") is None
        assert any("Content Security Policy" in problem for problem in seen.problems)


def test_a_text_of_the_server_is_never_markup(served: Running, hearing_browser: Browser) -> None:
    def answer(route: Route) -> None:
        config = json.loads(route.request.post_data or "")["config"]
        data = {"stream_id": config["stream_id"], "sequence_id": config["sequence_id"], "recognition_text": "<b>x</b>"}
        route.fulfill(json={"code": 0, "msg": "success", "data": data}, headers={"X-Lingting-Confirmed": "3"})

    with visit(hearing_browser, served.url) as seen:
        seen.page.route(STREAM_GLOB, answer)
        seen.sign_in(served.key)
        seen.page.click("#record")
        expect(seen.page.locator(".sure")).to_have_text("<b>")
        expect(seen.page.locator(".guess")).to_have_text("x</b>")
        seen.page.click("#record")
        expect(seen.page.locator(".sure")).to_have_text("<b>x</b>")


def test_a_refused_microphone_says_how_to_allow_it(served: Running, playwright: Playwright) -> None:
    with (
        contextlib.closing(launch(playwright, None, "--use-fake-device-for-media-stream")) as refusing,
        visit(refusing, served.url) as seen,
    ):
        seen.sign_in(served.key)
        seen.page.click("#record")
        expect(seen.page.locator("#speak-error")).to_contain_text("site settings")
        expect(seen.page.locator("#record")).to_have_text("Start")


def test_a_missing_microphone_says_so(served: Running, browser: Browser) -> None:
    with visit(browser, served.url, permissions=["microphone"]) as seen:
        seen.sign_in(served.key)
        seen.page.click("#record")
        expect(seen.page.locator("#speak-error")).to_contain_text("no microphone")


def test_without_https_the_page_says_what_is_missing(served: Running, hearing_browser: Browser) -> None:
    elsewhere = served.url.replace("127.0.0.1", "elsewhere.test")
    with visit(hearing_browser, elsewhere) as seen:
        seen.sign_in(served.key)
        seen.page.click("#record")
        expect(seen.page.locator("#speak-error")).to_contain_text("LINGTING_TLS_CERTIFICATE")
        seen.expected.append("Cross-Origin-Opener-Policy")


def test_packets_are_those_of_any_client_and_survive_a_bad_network(served: Running, hearing_browser: Browser) -> None:
    sent: list[tuple[int, int, int, str]] = []

    def flaky(route: Route) -> None:
        body = json.loads(route.request.post_data or "")
        config = body["config"]
        assert (config["format"], config["engine_type"], len(config["stream_id"])) == ("pcm", "16k_auto", 16)
        sent.append((config["sequence_id"], config["action"], len(body["speech"]["speech"]), config["stream_id"]))
        if len(sent) in (1, 4, 5, 8):
            route.abort("connectionfailed")
        else:
            route.continue_()

    with visit(hearing_browser, served.url) as seen:
        seen.expected.append("ERR_CONNECTION_FAILED")
        seen.page.route(STREAM_GLOB, flaky)
        seen.sign_in(served.key)
        seen.page.click("#record")
        expect(seen.page.locator(".guess")).to_have_text(" so far", timeout=15_000)
        expect(seen.page.locator("#clock")).to_have_text("0:03", timeout=15_000)
        seen.page.click("#record")
        expect(seen.page.locator("#record")).to_have_text("Start", timeout=15_000)
    numbers = [number for number, *_ in sent]
    last = max(numbers)
    assert set(numbers) == set(range(last + 1))
    assert len(numbers) == last + 1 + 4, "each packet that failed was sent once more"
    actions = {number: action for number, action, *_ in sent}
    assert [actions[number] for number in range(last + 1)] == [1, *[0] * (last - 1), 2]
    assert all(size == 8536 for number, _, size, _ in sent if number != last), "200 ms in base64"
    assert len({stream for *_, stream in sent}) == 1
    samples = sum(len(part) for part in served.service.sessions[-1].samples)
    assert (last - 1) * 3200 < samples - 3200 + 1 <= last * 3200


def test_a_stream_that_is_refused_says_what_to_do(served: Running, hearing_browser: Browser) -> None:
    key = served.new_key(("audio:flash",))
    with visit(hearing_browser, served.url) as seen:
        seen.expected.append("400")
        seen.sign_in(key)
        seen.page.click("#record")
        expect(seen.page.locator("#speak-error")).to_contain_text("speech_to_text:speech")
        expect(seen.page.locator("#record")).to_have_text("Start")


def choose(page: Page, name: str, content: bytes) -> None:
    page.click('#tabs a[href="#file"]')
    page.set_input_files("#file-input", {"name": name, "mimeType": "audio/wav", "buffer": content})


@pytest.mark.parametrize(
    ("content", "words", "console"),
    [
        (b"", "empty", None),
        (b"not audio", "Convert it", "415"),
        (b"x" * 200_001, "this server takes up to", None),
        (b"RIFF" + b"\1\0" * 16_000 * 4, "no more than that", "413"),
    ],
)
def test_a_file_that_cannot_be_taken_says_what_to_do(
    served: Running, browser: Browser, content: bytes, words: str, console: str | None
) -> None:
    with visit(browser, served.url) as seen:
        seen.expected += [console] if console else []
        seen.sign_in(served.key)
        choose(seen.page, "said.wav", content)
        expect(seen.page.locator("#queue .notice")).to_contain_text(words)
        expect(seen.page.locator("#queue .status")).to_have_text("Failed")
        expect(seen.page.locator("#result")).to_be_hidden()


def test_hot_words_language_and_format_reach_the_server(served: Running, browser: Browser) -> None:
    with visit(browser, served.url, viewport=DESKTOP) as seen:
        seen.sign_in(served.new_key())
        seen.page.click('#tabs a[href="#file"]')
        seen.page.fill("#hot-words", "聆听，Kubernetes & more")
        seen.page.select_option("#language-of-files", "en")
        with seen.page.expect_request("**/asr/flash") as sent:
            choose(seen.page, "said.PCM", b"\1\0" * 1600)
        expect(seen.page.locator("#sentences")).to_contain_text("heard 1600 samples")
        assert sent.value.headers["format"] == "pcm"
    options = served.service.recognizer.seen[-1][1]
    assert (options.language, options.hot_words) == ("en", ("聆听", "Kubernetes & more"))


def test_several_files_wait_for_their_turn_and_a_new_one_stops_none(served: Running, browser: Browser) -> None:
    sent: list[str] = []
    with visit(browser, served.url) as seen:
        seen.sign_in(served.new_key())
        seen.page.on("request", lambda request: sent.append(request.url) if request.url.endswith("/flash") else None)
        served.service.recognizer.seconds = 1.0
        try:
            seen.page.click('#tabs a[href="#file"]')
            files = [{"name": f"{name}.wav", "mimeType": "audio/wav", "buffer": b"RIFF" + b"\1\0" * size}
                     for name, size in (("first", 1600), ("second", 3200))]  # fmt: skip
            seen.page.set_input_files("#file-input", files)
            choose(seen.page, "third.wav", b"RIFF" + b"\1\0" * 4800)
            rows = seen.page.locator("#queue li")
            expect(rows).to_have_count(3)
            expect(rows.nth(1).locator(".status")).to_have_text("Waiting for its turn")
            rows.nth(1).get_by_role("button", name="Cancel: second.wav").click()
            expect(rows.nth(2).locator(".status")).to_contain_text("Done", timeout=10_000)
        finally:
            served.service.recognizer.seconds = 0.0
        assert len(sent) == 2, "the one that was cancelled was never sent"
        expect(seen.page.locator("#sentences")).to_contain_text("heard 1600 samples")
        rows.nth(2).locator(".open").click()
        expect(seen.page.locator("#sentences")).to_contain_text("heard 4800 samples")
        rows.nth(1).get_by_role("button", name="Try again").click()
        expect(seen.page.locator("#sentences")).to_contain_text("heard 3200 samples", timeout=10_000)


def test_a_busy_server_is_asked_again_for_a_file(served: Running, browser: Browser) -> None:
    asked: list[str] = []

    def busy_once(route: Route) -> None:
        asked.append(route.request.url)
        if len(asked) > 1:
            route.continue_()
            return
        content = {"error": {"message": "too much is waiting", "code": "503", "httpCode": 503}}
        route.fulfill(status=503, json=content, headers={"Retry-After": "1"})

    with visit(browser, served.url) as seen:
        seen.expected.append("503")
        seen.page.route("**/asr/flash", busy_once)
        seen.sign_in(served.new_key())
        choose(seen.page, "said.wav", b"RIFF" + b"\1\0" * 1600)
        expect(seen.page.locator("#queue .status")).to_contain_text("busy")
        expect(seen.page.locator("#queue .status")).to_contain_text("Done", timeout=10_000)
        assert len(asked) == 2


def lines(count: int) -> str:
    """The answer for a recording of so many sentences of two seconds, two words each."""
    made: list[dict[str, object]] = [{"type": "recording", "duration": 2000 * count}]
    for number in range(count):
        begin = 2000 * number
        words = [
            {"text": "Sentence", "begin_time": begin, "end_time": begin + 900, "probability": 0.9},
            {"text": f"{number}.", "begin_time": begin + 1000, "end_time": begin + 1900, "probability": 0.2},
        ]
        times = {"begin_time": begin, "end_time": begin + 1900}
        made.append({"type": "sentence", "text": f"Sentence {number}.", **times, "words": words})
    made.append({"type": "result", "flash_result": {"duration": 2000 * count, "sentences": []}})
    return "".join(json.dumps(line) + "\n" for line in made)


def test_sentences_are_searched_and_edited_before_they_are_saved(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        seen.page.route("**/asr/flash", lambda route: route.fulfill(body=lines(3), content_type="application/x-ndjson"))
        seen.sign_in(served.new_key())
        choose(seen.page, "said.wav", b"RIFF" + b"\1\0" * 1600)
        seen.page.fill("#search", "ENCE 1")
        expect(seen.page.locator("#sentences li:visible")).to_have_count(1)
        seen.page.fill("#search", "")
        seen.page.click("#edit")
        seen.page.locator(".said").nth(1).fill("Mended by hand.")
        seen.page.click("#edit")
        with seen.page.expect_event("dialog") as asked:
            seen.page.evaluate("setTimeout(() => location.reload())")
        assert asked.value.type == "beforeunload", "what is edited and not saved is not left without a question"
        asked.value.dismiss()
        with seen.page.expect_download() as waited:
            seen.page.click('#downloads button:text-is("txt")')
        assert Path(waited.value.path()).read_text() == "Sentence 0.\nMended by hand.\nSentence 2.\n"
        expect(seen.page.locator(".said").nth(1)).not_to_have_attribute("contenteditable", "plaintext-only")
        seen.page.reload()
        expect(seen.page.locator("#result")).to_be_hidden()


def test_speakers_are_asked_for_where_the_server_knows_them_and_stand_beside_what_they_say(
    served: Running, browser: Browser
) -> None:
    asked: list[str | None] = []

    def answered(route: Any) -> None:
        asked.append(route.request.headers.get("speakers"))
        told = [json.loads(line) for line in lines(2).splitlines()]
        told[1]["speaker"], told[2]["speaker"] = "A", "B"
        route.fulfill(body="".join(json.dumps(line) + "\n" for line in told), content_type="application/x-ndjson")

    def knows(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "speakers": True})

    with visit(browser, served.url) as seen:
        seen.page.route("**/asr/flash", answered)
        seen.page.route("**/console/session", knows)
        seen.sign_in(served.new_key())
        seen.page.click('#tabs a[href="#file"]')
        seen.page.check("#speakers")
        choose(seen.page, "said.wav", b"RIFF" + b"\1\0" * 1600)
        expect(seen.page.locator(".speaker")).to_have_text(["A", "B"])
        with seen.page.expect_download() as waited:
            seen.page.click('#downloads button:text-is("srt")')
        assert "\nA: Sentence 0.\n" in Path(waited.value.path()).read_text()
        assert asked == ["true"]


SCROLL = """async () => {
  let worst = 0;
  let before = await new Promise(requestAnimationFrame);
  const height = document.documentElement.scrollHeight;
  for (let at = 0; at < height; at += height / 60) {
    window.scrollTo(0, at);
    const now = await new Promise(requestAnimationFrame);
    worst = Math.max(worst, now - before);
    before = now;
  }
  return worst;
}"""


def test_two_thousand_sentences_can_be_scrolled(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        body = lines(2000)
        seen.page.route("**/asr/flash", lambda route: route.fulfill(body=body, content_type="application/x-ndjson"))
        seen.sign_in(served.new_key())
        choose(seen.page, "said.wav", b"RIFF" + b"\1\0" * 1600)
        expect(seen.page.locator("#sentences li")).to_have_count(2000, timeout=15_000)
        worst = seen.page.evaluate(SCROLL)
        print(f"longest frame while scrolling: {worst:.0f} ms")
        assert seen.page.evaluate("window.scrollY") > 10_000
        player = seen.page.locator("#player")
        expect(player).to_be_in_viewport()


def test_the_operators_view_refuses_other_keys_and_names_the_command(served: Running, browser: Browser) -> None:
    with visit(browser, f"{served.url}/#operator") as seen:
        seen.sign_in(served.key)
        expect(seen.page.locator("#operator-error")).to_contain_text("--operator")
        expect(seen.page.locator("#operator")).to_be_hidden()
        expect(seen.page.locator('#tabs a[href="#speak"]')).to_be_visible()
        expect(seen.page.locator('#tabs a[href="#operator"]')).to_be_hidden()


def test_the_operators_view_draws_the_last_day_on_an_axis_of_hours(
    served: Running, operator_key: str, browser: Browser
) -> None:
    served.post(FLASH, key=served.key, data=b"rubbish")
    with visit(browser, f"{served.url}/#operator") as seen:
        seen.sign_in(operator_key)
        requests = seen.page.locator("#op-day-requests")
        expect(requests.locator("rect.plain").first).to_be_attached()
        hours = requests.locator("text[text-anchor=middle]").all_text_contents()
        assert len(hours) == 4
        assert all(re.fullmatch(r"\d\d:00", hour) for hour in hours)
        expect(requests).to_have_attribute("aria-label", re.compile("Requests, last day: at most [1-9]"))
        expect(seen.page.locator("#op-models")).to_contain_text("whisper-base")
        expect(seen.page.locator("#op-latency")).to_contain_text("Callers' errors")


def test_a_key_that_is_revoked_ends_the_operators_view(served: Running, browser: Browser) -> None:
    key = served.new_key((OPERATOR,), owner="Revoked")
    with visit(browser, f"{served.url}/#operator") as seen:
        seen.expected.append("401")
        seen.sign_in(key)
        expect(seen.page.locator("#op-state")).to_have_text("Ready")
        directory = served.service.access.directory
        (found,) = (each for each in directory.keys() if key.startswith(each.prefix))  # noqa: SIM118
        directory.set_key_disabled(found.id, True)
        expect(seen.page.locator("#sign-in-error")).to_contain_text("no longer accepted", timeout=10_000)
        expect(seen.page.locator("#operator")).to_be_hidden()
