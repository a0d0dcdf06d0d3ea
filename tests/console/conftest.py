"""Headless Chromium, and pages that must stay quiet: no error on the console, no request to another host."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from lingting.access.principal import ALL_SCOPES
from tests.api.serving import Running, serving
from tests.requirements import require_program

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@dataclass
class Visit:
    """A page that someone looks at.

    Attributes:
        page: the page.
        expected: parts of console errors that the test provokes.
    """

    page: Page
    url: str
    expected: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def sign_in(self, key: str) -> None:
        """Sign in and wait for the first view."""
        self.page.fill("#key", key)
        self.page.press("#key", "Enter")
        self.page.wait_for_selector("#tabs:visible")

    def unexpected(self) -> list[str]:
        """Problems that the test did not provoke."""
        return [problem for problem in self.problems if not any(part in problem for part in self.expected)]


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """The driver; it holds this thread's event loop, so it must not outlive the module."""
    require_program("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as running:
        yield running


def launch(playwright: Playwright, microphone: Path | None = None, *more: str) -> Browser:
    """A browser; with a recording it plays that once to whoever opens the microphone, and allows it."""
    flags = [*FLAGS, *more]
    if microphone is not None:
        flags.append(f"--use-file-for-fake-audio-capture={microphone}%noloop")
    program = require_program("chromium", "chromium-browser", "google-chrome")
    return playwright.chromium.launch(executable_path=program, args=flags)


HEARING = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    """A browser without a microphone."""
    with contextlib.closing(launch(playwright)) as running:
        yield running


@pytest.fixture(scope="module")
def hearing_browser(playwright: Playwright) -> Iterator[Browser]:
    """A browser whose microphone hears beeps."""
    with contextlib.closing(launch(playwright, None, *HEARING)) as running:
        yield running


@contextlib.contextmanager
def visit(browser: Browser, url: str, **context: Any) -> Iterator[Visit]:
    """A fresh visit of a page; afterwards nothing unexpected may have happened."""
    opened = browser.new_context(**({"viewport": DESKTOP, "locale": "en-US"} | context))
    page = opened.new_page()
    seen = Visit(page, url)
    origin = "/".join(url.split("/")[:3])

    def requested(address: str) -> None:
        if not address.startswith((origin, "blob:", "data:")):
            seen.problems.append(f"a request to {address}")

    page.on("console", lambda m: seen.problems.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: seen.problems.append(str(error)))
    page.on("request", lambda request: requested(request.url))
    try:
        page.goto(url)
        yield seen
        assert seen.unexpected() == []
    finally:
        opened.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with fakes where the model would be."""
    folder = tmp_path_factory.mktemp("console")
    with serving(folder, flash_max_bytes=200_000, flash_max_seconds=3.0, drain_seconds=1) as running:
        yield running


@pytest.fixture(scope="module")
def operator_key(served: Running) -> str:
    """A key that may do everything."""
    return served.new_key(ALL_SCOPES)
