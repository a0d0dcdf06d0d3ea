"""Measure what a new user waits for, with a real browser: `python -m scripts.first_minutes`, or some of it by name:

    first     clone, `make serve`, open the link that it prints, speak: seconds to the first recognised sentence
    long      a recording of two hours: seconds to its first text on the page
    scroll    2,000 sentences: the longest frame while they are scrolled

Needs Chromium, git, make and the packages of `make setup-dev`, and a quiet machine; caches of pip are used as they are.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect, sync_playwright

from lingting import samples
from lingting.domain import SAMPLE_RATE
from lingting.models import Store, install
from tests.conftest import free_port, start_server
from tests.console.conftest import DESKTOP, HEARING, launch
from tests.console.test_page import SCROLL, lines
from tests.recordings import CACHE, recording

STEP = """async (share) => {
  window.scrollTo(0, share * document.documentElement.scrollHeight);
  await new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)));
}"""
ROOT = Path(__file__).resolve().parents[1]
HOURS = 2


def first(folder: Path) -> None:
    """From nothing to the first sentence, in three actions."""
    sound = folder / "said.wav"
    sound.write_bytes(samples.contents()["sample.wav"])
    began = time.monotonic()

    def told(what: str) -> None:
        print(f"  {time.monotonic() - began:6.1f} s  {what}", flush=True)

    subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
    told("cloned")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LINGTING_", "PYTHON"))}
    server = subprocess.Popen(
        ["make", "-s", "serve", f"LINGTING_PORT={free_port()}"],
        cwd=folder / "clone", env=environment, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        link = next(found[0] for line in server.stdout if (found := re.search(r"http\S+#sign-in=\S+", line)))
        told("`make serve` prints the link")
        with sync_playwright() as playwright:
            browser = launch(playwright, sound, *HEARING)
            page = browser.new_page()
            page.goto(link)
            page.click("#record")
            told("signed in, the microphone is on")
            expect(page.locator(".sure:not(:empty)").first).to_be_visible(timeout=120_000)
            told(f"first recognised sentence: {page.locator('.sure:not(:empty)').first.text_content()}")
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"  {used.ru_utime + used.ru_stime:6.1f} s of CPU time for all of it, without the browser", flush=True)


def signed_in(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}/#file")
    page.fill("#key", key)
    page.press("#key", "Enter")
    page.wait_for_selector("#view-file:visible")


def on_a_server(act: Callable[[Page, str, str, Path], None]) -> Callable[[Path], None]:
    """A measurement on the page of a server of its own."""

    def measure(folder: Path) -> None:
        model = install(Store.at(CACHE / "models"), "whisper-base")
        server = start_server(folder / "data", model, flash_max_bytes="400000000", drain_seconds="1")
        try:
            with sync_playwright() as playwright:
                browser = launch(playwright)
                act(browser.new_page(viewport=DESKTOP), server.url, server.key, folder)  # type: ignore[arg-type]
                browser.close()
        finally:
            server.stop()

    return measure


def long(page: Page, url: str, key: str, folder: Path) -> None:
    """A recording of two hours, as WAV."""
    once = (recording("two_cities").samples * 32767).astype(np.int16)
    times = HOURS * 3600 * SAMPLE_RATE // len(once)
    with wave.open(str(folder / "long.wav"), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        for _ in range(times):
            file.writeframes(once.tobytes())
    signed_in(page, url, key)
    page.set_input_files("#file-input", folder / "long.wav")
    began = time.monotonic()
    page.wait_for_selector("#sentences li", timeout=120_000)
    length = times * len(once) / SAMPLE_RATE / 60
    print(f"  {time.monotonic() - began:6.1f} s  first text of a recording of {length:.0f} minutes", flush=True)
    page.locator("#queue .quiet").click()


def scroll(page: Page, url: str, key: str, _: Path) -> None:
    """2,000 sentences with their words."""
    body = lines(2000)
    page.route("**/asr/flash", lambda route: route.fulfill(body=body, content_type="application/x-ndjson"))
    signed_in(page, url, key)
    page.set_input_files("#file-input", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFF" + b"\1\0" * 1600})
    expect(page.locator("#sentences li")).to_have_count(2000, timeout=30_000)
    frames = [round(page.evaluate(SCROLL)) for _ in range(3)]
    print(f"  longest frame of each of three scrolls through 2,000 sentences: {json.dumps(frames)} ms", flush=True)
    # a busy machine makes frames long; what the page itself computes for one does not depend on that
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        found = devtools.send("Performance.getMetrics")["metrics"]
        return 1000 * next(float(each["value"]) for each in found if each["name"] == "TaskDuration")

    most, before = 0.0, spent()
    for number in range(60):
        page.evaluate(STEP, number / 60)
        most, before = max(most, (now := spent()) - before), now
    print(f"  longest CPU time of the page's thread for one frame of such a scroll: {most:.0f} ms", flush=True)


MEASURES: dict[str, Callable[[Path], None]] = {"first": first, "long": on_a_server(long), "scroll": on_a_server(scroll)}


def main() -> None:
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name in sys.argv[1:] or MEASURES:
        print(f"{name}:", flush=True)
        with tempfile.TemporaryDirectory(prefix="lingting-first-") as folder:
            MEASURES[name](Path(folder))


if __name__ == "__main__":
    main()
