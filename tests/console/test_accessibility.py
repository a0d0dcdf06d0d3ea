"""The page for everyone: axe finds nothing in any view, and everything can be done by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from lingting.access.principal import ALL_SCOPES
from tests.api.serving import Running
from tests.console.conftest import PHONE, visit
from tests.requirements import npm_packages

ACCENT = "rgb(15, 118, 110)"
AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations.map(
  ({ id, help, nodes }) => `${id}: ${help}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`)"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    folder = npm_packages(Path(__file__).parent)
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


def violations(page: Page, axe: str) -> list[str]:
    page.evaluate(axe)
    found: list[str] = page.evaluate(AXE)
    return found


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_any_view(
    served: Running, operator_key: str, hearing_browser: Browser, axe: str, locale: str, scheme: Any
) -> None:
    with visit(hearing_browser, served.url, locale=locale, color_scheme=scheme) as seen:
        page = seen.page
        seen.expected.append("401")
        page.fill("#key", "lt-wrong")
        page.press("#key", "Enter")
        page.wait_for_selector("#sign-in-error:visible")
        assert violations(page, axe) == [], "before signing in"
        seen.sign_in(operator_key)
        page.click("#record")
        expect(page.locator(".guess:not(:empty)")).to_be_visible(timeout=15_000)
        assert violations(page, axe) == [], "while someone speaks"
        page.click("#record")
        expect(page.locator("#record")).to_have_attribute("data-state", "idle", timeout=15_000)
        page.click("#history summary")
        assert violations(page, axe) == [], "after Stop"
        page.click('#tabs a[href="#file"]')
        for content in (b"RIFF" + b"\1\0" * 1600, b""):
            page.set_input_files("#file-input", {"name": "said.wav", "mimeType": "audio/wav", "buffer": content})
        expect(page.locator("#sentences li")).to_have_count(1, timeout=15_000)
        page.click("#edit")
        assert violations(page, axe) == [], "a recording with its sentences, a file that failed, and fields to edit"
        page.click('#tabs a[href="#operator"]')
        expect(page.locator("#op-usage tbody")).not_to_be_empty()
        assert violations(page, axe) == [], "the operator's view"
        page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        assert any("button-name" in found for found in violations(page, axe)), "axe would find something"


def test_each_view_has_one_heading_and_signing_in_leads_to_it(served: Running, browser: Browser) -> None:
    with visit(browser, served.url, viewport=PHONE) as seen:
        seen.sign_in(served.new_key(ALL_SCOPES))
        assert seen.page.evaluate("document.activeElement.matches('#view-speak h1')")
        for name in ("speak", "file", "operator"):
            seen.page.click(f'#tabs a[href="#{name}"]')
            expect(seen.page.locator("h1:visible")).to_have_count(1)


def to(page: Page, selector: str, key: str = "Tab") -> None:
    """Press Tab, or Shift+Tab, until an element has the focus."""
    for _ in range(40):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead to {selector}")


def test_speech_is_recorded_and_its_text_copied_by_keyboard_alone(served: Running, hearing_browser: Browser) -> None:
    with visit(hearing_browser, served.url, permissions=["clipboard-read", "clipboard-write", "microphone"]) as seen:
        page = seen.page
        page.keyboard.type(served.new_key())
        page.keyboard.press("Enter")
        page.wait_for_selector("#tabs:visible")
        to(page, "#record")
        page.keyboard.press("Enter")
        expect(page.locator("#clock")).to_have_text("0:01", timeout=15_000)
        page.keyboard.press("Enter")
        expect(page.locator("#record")).to_have_text("Start", timeout=15_000)
        to(page, "#copy")
        page.keyboard.press("Enter")
        expect(page.locator("#copy")).to_have_text("Copied")
        to(page, "#history summary")
        page.keyboard.press("Enter")
        to(page, "#history-list .open")


def test_a_recording_is_chosen_played_edited_and_saved_by_keyboard_alone(served: Running, browser: Browser) -> None:
    with visit(browser, served.url) as seen:
        page = seen.page
        page.keyboard.type(served.new_key(ALL_SCOPES))
        page.keyboard.press("Enter")
        page.wait_for_selector("#tabs:visible")
        to(page, '#tabs a[href="#file"]', "Shift+Tab")
        page.keyboard.press("Enter")
        to(page, "#file-input")
        assert page.evaluate("getComputedStyle(document.querySelector('#drop')).borderColor") == ACCENT
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files({"name": "said.wav", "mimeType": "audio/wav", "buffer": b"RIFF" + b"\1\0" * 1600})
        expect(page.locator("#sentences li")).to_have_count(1, timeout=15_000)
        to(page, "#queue .open")
        page.keyboard.press("Enter")
        to(page, "#downloads button")
        with page.expect_download() as saved:
            page.keyboard.press("Enter")
        assert saved.value.suggested_filename == "said.txt"
        to(page, "#edit")
        page.keyboard.press("Enter")
        to(page, ".said")
        page.keyboard.press("Control+A")
        page.keyboard.type("Typed instead.")
        to(page, "#edit", "Shift+Tab")
        page.keyboard.press("Enter")
        to(page, "#search")
        page.keyboard.type("instead")
        expect(page.locator("#search-found")).to_have_text("Found: 1")
        to(page, "#sentences .time")
        page.keyboard.press("Enter")
        expect(page.locator("#sentences li")).to_have_attribute("aria-current", "true")
        to(page, "#queue li > button.quiet", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#queue")).to_be_hidden()


def test_the_operators_view_is_read_and_left_by_keyboard_alone(
    served: Running, operator_key: str, browser: Browser
) -> None:
    with visit(browser, served.url, viewport=PHONE) as seen:
        page = seen.page
        page.keyboard.type(operator_key)
        page.keyboard.press("Enter")
        page.wait_for_selector("#tabs:visible")
        to(page, '#tabs a[href="#operator"]', "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#op-usage tbody")).not_to_be_empty()
        to(page, '[data-label="answers"]')  # what is wider than the screen can be scrolled
        to(page, "#language", "Shift+Tab")
        page.keyboard.press("Enter")
        expect(page.locator("#language")).to_have_text("English")
        to(page, "#sign-out")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "key"


def test_a_refusal_in_chinese_has_no_english_in_it(served: Running, browser: Browser) -> None:
    with visit(browser, served.url, locale="zh-CN") as seen:
        seen.expected.append("415")
        seen.sign_in(served.new_key())
        seen.page.click('#tabs a[href="#file"]')
        file = {"name": "x.wav", "mimeType": "audio/wav", "buffer": b"not audio"}
        seen.page.set_input_files("#file-input", file)
        expect(seen.page.locator("#queue .notice")).to_have_text(
            "服务器无法把它当作音频读取。请转成 wav、mp3 或 m4a 再试。"
        )
