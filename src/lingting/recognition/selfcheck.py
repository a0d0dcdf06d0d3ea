"""Whether recognition works, tried out: a sentence that is known, heard whenever nobody else's was lately.

A server that answers but recognises nothing looks healthy from outside. So, when no text came for a while, the shortest
excerpt of the sample that is a few words is recognised as a background task of its own account, at a guess's price, and
what was heard is compared with what was said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from functools import partial

from lingting.domain import Account, Samples, Seconds
from lingting.errors import RecognitionFailed
from lingting.recognition.engine import Need, OfflineEngine, Request
from lingting.recognition.scheduler import Scheduler, Task
from lingting.text.script import convert

LATELY: Seconds = 30.0
"""Recognition works when text came, or the sentence was heard rightly, so lately."""

_INTERVAL: Seconds = 20.0
_AGAIN: Seconds = 5.0
_LONGEST: Seconds = 10.0
_RIGHT = 0.5
_ACCOUNT = Account("self-check", weight=0.1)

log = logging.getLogger(__name__)


class SelfCheck:
    """Hears the known sentence again and again. Use from one event loop.

    Args:
        scheduler: owner of compute.
        engine: makes the text.
        samples: a sentence, shape (n,), float32 at 16 kHz.
        text: what is said in it.
        interval: the sentence is heard when no text came for so long.
        longest: an answer is waited for so long.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        engine: OfflineEngine,
        samples: Samples,
        text: str,
        *,
        interval: Seconds = _INTERVAL,
        again: Seconds = _AGAIN,
        longest: Seconds = _LONGEST,
    ) -> None:
        self._scheduler = scheduler
        self._engine = engine
        self._samples = samples
        self._text = text
        self._interval = interval
        self._again = again
        self._longest = longest
        self._wrong = False
        self._right_at = time.monotonic()
        self._running: asyncio.Task[None] | None = None

    @property
    def age(self) -> Seconds:
        """How long ago recognition worked: text came of anybody's sound, unless the sentence was heard wrong since."""
        heard = 0.0 if self._wrong else self._scheduler.heard_at
        return time.monotonic() - max(self._right_at, heard)

    async def start(self) -> None:
        """Hear the sentence once, and from then on whenever nothing was heard lately.

        A model may not know the language of the sentence: what it makes of it at the start is then expected later.

        Raises:
            RecognitionFailed: the engine doesn't work.
        """
        heard = await self._heard()
        if not alike(heard, self._text):
            log.warning("the model hears %r where the sample says %r; the self-check expects that", heard, self._text)
            self._text = heard
        self._right_at = time.monotonic()
        self._running = asyncio.create_task(self._run(), name="self-check")

    async def stop(self) -> None:
        """Stop hearing it."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            wait = self._again if self._wrong else self._interval - self.age
            await asyncio.sleep(max(wait, 0.0))
            if self._wrong or self.age >= self._interval:
                await self._check()

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(self._longest):
                heard = await self._heard()
        except TimeoutError:
            why = f"there was no text within {self._longest:g} s"
        except RecognitionFailed:
            why = "the engine failed"
        else:
            if alike(heard, self._text):
                if self._wrong:
                    log.info("the self-check is heard rightly again")
                self._wrong, self._right_at = False, time.monotonic()
                return
            why = f"{heard!r} was heard where {self._text!r} was said"
        log.error("the self-check fails: %s", why)
        self._wrong = True

    async def _heard(self) -> str:
        request = Request(self._samples, Need.GUESS, language="zh", times=False)
        begin = partial(self._engine.begin, request)
        task = Task(self._engine, begin, _ACCOUNT, within=self._longest / 2, kind="self-check")
        heard = await asyncio.wrap_future(self._scheduler.submit(task))
        return convert(heard.text, "simplified") if heard else ""


def alike(heard: str, text: str) -> bool:
    """Whether at least half of the characters of a text were heard; of an empty one, that nothing was."""
    if not text:
        return not heard
    return (Counter(heard) & Counter(text)).total() >= _RIGHT * len(text)
