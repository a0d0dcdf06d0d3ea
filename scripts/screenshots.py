"""Take the pictures of every state of the page that docs/images shows: `python -m scripts.screenshots`, or
of some: `python -m scripts.screenshots speak-live file-done`.

Needs Chromium and the packages of `make setup-dev`; it starts a server of its own with the real model.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from lingting.models import Store, install
from tests.conftest import LINGTING, LiveServer, start_server
from tests.console.conftest import DESKTOP, HEARING, PHONE, launch
from tests.recordings import CACHE, recording

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
Act = Callable[[Page, LiveServer], None]


def signed_in(page: Page, server: LiveServer) -> None:
    page.fill("#key", server.key)
    page.press("#key", "Enter")
    page.wait_for_selector("#tabs:visible")


def wrong_key(page: Page, server: LiveServer) -> None:
    page.fill("#key", "lt-not-a-key-of-this-server")
    page.press("#key", "Enter")
    page.wait_for_selector("#sign-in-error:visible")


def spoken(page: Page, server: LiveServer) -> None:
    speaking(page, server)
    page.click("#record")
    expect(page.locator("#final-text")).to_contain_text("s", timeout=30_000)


def speaking(page: Page, server: LiveServer) -> None:
    signed_in(page, server)
    page.click("#record")
    expect(page.locator(".sure:not(:empty)").nth(0)).to_be_visible(timeout=60_000)
    expect(page.locator(".guess:not(:empty)")).to_be_visible(timeout=30_000)


def away(page: Page, server: LiveServer) -> None:
    speaking(page, server)
    page.route("**/stream_recognize", lambda route: route.abort("connectionrefused"))
    expect(page.locator("#speak-status")).to_contain_text(re.compile("does not answer|没有应答"))
    page.wait_for_timeout(2000)


def rest(page: Page, server: LiveServer) -> None:
    away(page, server)
    page.click("#record")
    expect(page.locator("#record")).to_have_attribute("data-state", "waiting")
    page.click("#record")
    page.wait_for_selector("#speak-rest:visible")


def earlier(page: Page, server: LiveServer) -> None:
    spoken(page, server)
    page.click("#new")
    page.click("#history summary")
    page.wait_for_selector("#history-list li")
    page.locator("#history").scroll_into_view_if_needed()


def refused_microphone(page: Page, server: LiveServer) -> None:
    signed_in(page, server)
    page.click("#record")
    page.wait_for_selector("#speak-error:visible")


def view(name: str) -> Act:
    def act(page: Page, server: LiveServer) -> None:
        signed_in(page, server)
        page.click(f'#tabs [href="#{name}"]')
        page.wait_for_selector(f"#view-{name}:visible")
        page.wait_for_timeout(500)

    return act


def refused_operator(page: Page, server: LiveServer) -> None:
    signed_in(page, server)
    page.goto(f"{server.url}/#operator")
    page.wait_for_selector("#operator-error:visible")


def made_up_day(route: Route) -> None:
    """The real answer with a working day in the place of the minute that the server has run."""
    answer = route.fetch()
    status = answer.json()
    now, day = status["day"][-1], []
    for number in range(96):
        busy = max(0.0, math.sin((number - 16) / 48 * math.pi)) * (1 + 0.2 * math.sin(number * number))
        streams = round(20 * busy)
        errors = {
            "caller_errors": round(6 * busy * (1 + math.sin(number * 7))),
            "server_errors": 4 * (number in (60, 61)),
        }
        late = {"median": 0.4 + 0.4 * busy if streams else None, "p95": 0.8 + busy if streams else None}
        start = now["start"] - (95 - number) * 900
        day.append({"start": start, "streams": streams, "requests": 1500 * streams, **errors, **late})
    route.fulfill(response=answer, json={**status, "day": day})


def operator(page: Page, server: LiveServer) -> None:
    page.route("**/console/status", made_up_day)
    command = [str(LINGTING), "keys", "create", "watcher", "--operator", "--json"]
    environment = {**os.environ, "LINGTING_DATA_DIR": str(server.data_dir)}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    page.fill("#key", json.loads(made.stdout)["key"])
    page.press("#key", "Enter")
    page.click('#tabs [href="#operator"]')
    page.wait_for_selector("#op-models td")


def bad_file(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    page.set_input_files("#file-input", {"name": "notes.wav", "mimeType": "audio/wav", "buffer": b"not audio" * 99})
    page.wait_for_selector("#queue .notice:visible")


def recognising(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    files = [recording(name).path for name in ("two_cities", "vad_example")]
    page.set_input_files("#file-input", files)
    page.wait_for_selector("#sentences li", timeout=60_000)


def recognised(page: Page, server: LiveServer) -> None:
    recognising(page, server)
    expect(page.locator("#queue li").nth(1).locator(".status")).to_contain_text(re.compile("Done|完成"), timeout=90_000)
    page.locator("#queue .open").nth(1).click()
    page.wait_for_timeout(500)
    page.locator("#sentences .time").nth(2).click()
    page.wait_for_timeout(1500)


STATES: dict[str, tuple[Act, bool]] = {
    "sign-in": (lambda page, server: page.wait_for_selector("#key:visible") and None, False),
    "wrong-key": (wrong_key, False),
    "speak-idle": (signed_in, True),
    "speak-live": (speaking, True),
    "speak-away": (away, True),
    "speak-rest": (rest, True),
    "speak-done": (spoken, True),
    "speak-history": (earlier, True),
    "speak-refused": (refused_microphone, False),
    "file-idle": (view("file"), False),
    "file-recognising": (recognising, False),
    "file-done": (recognised, False),
    "file-refused": (bad_file, False),
    "operator-refused": (refused_operator, False),
    "operator": (operator, False),
}


def main() -> None:
    wanted = sys.argv[1:] or [*STATES, "no-https"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start_server(Path(folder), install(Store.at(CACHE / "models"), "whisper-base"), drain_seconds="1")
        plain = launch(playwright)
        hearing = launch(playwright, recording("vad_example").path, *HEARING)
        try:
            for name, (act, hears) in STATES.items():
                if name not in wanted:
                    continue
                for suffix, context in (
                    ("", {"viewport": DESKTOP, "locale": "en-US"}),
                    ("-phone", {"viewport": PHONE, "locale": "zh-CN", "color_scheme": "dark"}),
                ):
                    take(hearing if hears else plain, server, act, OUT / f"state-{name}{suffix}.png", context)
            elsewhere = replace(server, url=server.url.replace("127.0.0.1", "elsewhere.test"))
            desktop: dict[str, object] = {"viewport": DESKTOP, "locale": "en-US"}
            if "no-https" in wanted:
                take(plain, elsewhere, refused_microphone, OUT / "state-no-https.png", desktop)
        finally:
            plain.close()
            hearing.close()
            server.stop()


def take(browser: Browser, server: LiveServer, act: Act, file: Path, context: dict[str, object]) -> None:
    opened = browser.new_context(**context)  # type: ignore[arg-type]
    page = opened.new_page()
    page.goto(server.url)
    act(page, server)
    page.screenshot(path=file)
    opened.close()
    print(file.name)


if __name__ == "__main__":
    main()
