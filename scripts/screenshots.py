"""Take the pictures of every state of the page that docs/images shows: `python -m scripts.screenshots`, or
of some: `python -m scripts.screenshots speak-live file-done`. With `--all FOLDER` each state is taken whole in both
languages, light and dark, on a desktop and on a phone, and put into that folder instead, to be looked at.

Needs Chromium and the packages of `make setup-dev`; it starts a server of its own with the real model.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import requests
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from lingting.models import Store, install
from tests.conftest import LINGTING, LiveServer, start_server
from tests.console.conftest import DESKTOP, HEARING, PHONE, launch
from tests.recordings import CACHE, recording

OUT = Path(__file__).resolve().parents[1] / "docs" / "images"
Act = Callable[[Page, LiveServer], None]


@dataclass(frozen=True)
class Look:
    """How a page is looked at: in which language, in which colours, on how large a screen."""

    language: Literal["en", "zh"]
    colours: Literal["light", "dark"]
    phone: bool


DOCUMENTED = (Look("en", "light", phone=False), Look("zh", "dark", phone=True))
EVERY = tuple(itertools.starmap(Look, itertools.product(("en", "zh"), ("light", "dark"), (False, True))))


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


def draining(page: Page, server: LiveServer) -> None:
    speaking(page, server)
    refused = {"code": 1040102, "msg": "busy", "error": {"message": "the server stops"}}
    page.route("**/readyz", lambda route: route.fulfill(status=503, json={"status": "draining"}))
    page.route(
        "**/stream_recognize", lambda route: route.fulfill(status=500, json=refused, headers={"Retry-After": "1"})
    )
    expect(page.locator("#speak-status")).to_contain_text(re.compile("restarted|重启"), timeout=30_000)
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


def nothing_earlier(page: Page, server: LiveServer) -> None:
    signed_in(page, server)
    page.click("#history summary")
    page.wait_for_selector("#history-none:visible")


def used_link(page: Page, server: LiveServer) -> None:
    page.goto("about:blank")
    page.goto(f"{server.url}/#sign-in=a-code-that-was-used")
    page.wait_for_selector("#sign-in-error:visible")


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
    fresh_operator(page, server)


def fresh_operator(page: Page, server: LiveServer) -> None:
    command = [str(LINGTING), "keys", "create", "watcher", "--operator", "--json"]
    environment = {**os.environ, "LINGTING_DATA_DIR": str(server.data_dir)}
    made = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    page.fill("#key", json.loads(made.stdout)["key"])
    page.press("#key", "Enter")
    page.click('#tabs [href="#operator"]')
    page.wait_for_selector("#op-models td")


def stale_operator(page: Page, server: LiveServer) -> None:
    operator(page, server)
    page.unroute("**/console/status")
    page.route("**/console/status", lambda route: route.abort("connectionrefused"))
    page.wait_for_selector("#operator-error:visible")


def bad_file(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    page.set_input_files("#file-input", {"name": "notes.wav", "mimeType": "audio/wav", "buffer": b"not audio" * 99})
    page.wait_for_selector("#queue .notice:visible")


def recognising(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    files = [recording(name).path for name in ("vad_example", "two_cities", "asr_example")]
    page.set_input_files("#file-input", files)
    page.wait_for_selector("#sentences li", timeout=60_000)


def recognised(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    page.set_input_files("#file-input", recording("two_cities").path)
    done(page)
    page.locator("#sentences .time").nth(2).click()
    page.wait_for_timeout(1500)


def done(page: Page) -> None:
    expect(page.locator("#queue .status").last).to_contain_text(re.compile("Done|完成"), timeout=90_000)


def edited(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    page.set_input_files("#file-input", recording("vad_example").path)
    done(page)
    page.click("#edit")
    page.locator(".said").nth(1).click()


def speakers(page: Page, server: LiveServer) -> None:
    """The real answers, with speakers made up."""

    def knows(route: Route) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "speakers": True})

    spoken = recording("two_cities").path
    headers = {"Authorization": f"Bearer {server.key}", "Accept": "application/x-ndjson"}

    def told(route: Route) -> None:
        answer = requests.post(f"{server.url}/v1/audio/asr/flash", spoken.read_bytes(), headers=headers, timeout=60)
        lines = [json.loads(line) for line in answer.text.splitlines()]
        for number, line in enumerate(line for line in lines if line["type"] == "sentence"):
            line["speaker"] = "AABA"[number % 4]
        body = "".join(json.dumps(line) + "\n" for line in lines)
        route.fulfill(body=body, content_type="application/x-ndjson")

    page.route("**/console/session", knows)
    page.route("**/asr/flash", told)
    view("file")(page, server)
    page.check("#speakers")
    page.set_input_files("#file-input", spoken)
    done(page)


def silent(page: Page, server: LiveServer) -> None:
    view("file")(page, server)
    page.set_input_files("#file-input", {"name": "silence.pcm", "mimeType": "audio/x", "buffer": bytes(64_000)})
    done(page)


STATES: dict[str, tuple[Act, bool]] = {
    "sign-in": (lambda page, server: page.wait_for_selector("#key:visible") and None, False),
    "wrong-key": (wrong_key, False),
    "used-link": (used_link, False),
    "speak-idle": (signed_in, True),
    "speak-live": (speaking, True),
    "speak-away": (away, True),
    "speak-draining": (draining, True),
    "speak-rest": (rest, True),
    "speak-done": (spoken, True),
    "speak-history": (earlier, True),
    "speak-no-history": (nothing_earlier, False),
    "speak-refused": (refused_microphone, False),
    "file-idle": (view("file"), False),
    "file-recognising": (recognising, False),
    "file-done": (recognised, False),
    "file-edited": (edited, False),
    "file-speakers": (speakers, False),
    "file-silent": (silent, False),
    "file-refused": (bad_file, False),
    "operator-refused": (refused_operator, False),
    "operator": (operator, False),
    "operator-fresh": (fresh_operator, False),
    "operator-stale": (stale_operator, False),
}
LOOKED_AT = {"speak-history": "#history", "speak-no-history": "#history", "operator-stale": "main"}
"""What is scrolled to where it is not the top."""
UNFOLD = "for (const each of document.querySelectorAll('.sentences li')) each.style.contentVisibility = 'visible'"
"""Draws what is not on the screen too."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="take every look at each state into a folder")
    parser.add_argument("states", nargs="*", metavar="STATE")
    given = parser.parse_args()
    wanted = given.states or [*STATES, "no-https"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = start_server(Path(folder), install(Store.at(CACHE / "models"), "whisper-base"), drain_seconds="1")
        plain = launch(playwright)
        hearing = launch(playwright, recording("vad_example").path, *HEARING)
        try:
            for name, (act, hears) in STATES.items():
                if name in wanted:
                    take(hearing if hears else plain, server, act, name, given.all)
            elsewhere = replace(server, url=server.url.replace("127.0.0.1", "elsewhere.test"))
            if "no-https" in wanted:
                take(plain, elsewhere, refused_microphone, "no-https", given.all)
        finally:
            plain.close()
            hearing.close()
            server.stop()


def take(browser: Browser, server: LiveServer, act: Act, name: str, folder: Path | None) -> None:
    """Bring a page into a state once, and take each look at it."""
    opened = browser.new_context(viewport=DESKTOP, locale="en-US")  # type: ignore[arg-type]
    page = opened.new_page()
    page.goto(server.url)
    act(page, server)
    for look in EVERY if folder else DOCUMENTED:
        page.emulate_media(color_scheme=look.colours)
        page.set_viewport_size(PHONE if look.phone else DESKTOP)  # type: ignore[arg-type]
        if page.evaluate("document.documentElement.lang.slice(0, 2)") != look.language:
            page.evaluate("document.querySelector('#language').click()")
        page.evaluate("selector => document.querySelector(selector).scrollIntoView()", LOOKED_AT.get(name, "body"))
        page.wait_for_timeout(200)  # colours and sizes change slowly in places
        parts = [name, look.language, look.colours, "phone" if look.phone else "desktop"]
        if folder:
            page.evaluate(UNFOLD)
            page.screenshot(path=folder / f"{'-'.join(parts)}.png", full_page=True)
        else:
            page.screenshot(path=OUT / f"state-{name}{'-phone' if look.phone else ''}.png")
    opened.close()
    print(name, flush=True)


if __name__ == "__main__":
    main()
