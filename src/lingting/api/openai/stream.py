"""`stream=true`: text as server-sent events while recognition goes on."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from lingting.api.http.exchange import CLIENT_LEFT, Exchange
from lingting.api.http.held import HeldResponse
from lingting.api.openai.render import usage, warning
from lingting.audio.recording import Recording
from lingting.domain import Seconds, Sentence
from lingting.errors import LingtingError
from lingting.recognition.utterance import join_texts

_JOINED = 40

log = logging.getLogger(__name__)


class TextEvents(HeldResponse):
    """A `transcript.text.delta` for each sentence, then `transcript.text.done`; the deltas joined are the final text.

    The recognition ends when the client leaves.

    Args:
        sentences: what is said, as it becomes known.
        recording: what is recognised.
        exchange: takes the audio that was recognised.
        failed: turns an error into the event that ends the stream early.
    """

    def __init__(
        self,
        sentences: AsyncIterator[Sentence],
        recording: Recording,
        exchange: Exchange,
        failed: Callable[[Exception], dict[str, Any]],
    ) -> None:
        super().__init__(
            self._events(sentences, recording.duration, exchange, failed),
            media_type="text/event-stream",
            headers={"X-Accel-Buffering": "no"} | warning(recording),
        )

    async def _events(
        self,
        sentences: AsyncIterator[Sentence],
        duration: Seconds,
        exchange: Exchange,
        failed: Callable[[Exception], dict[str, Any]],
    ) -> AsyncIterator[bytes]:
        text = ""
        exchange.code = CLIENT_LEFT  # unless the last event goes out
        try:
            async for sentence in sentences:
                before = text[-_JOINED:]
                delta = join_texts(before, sentence.text)[len(before) :]
                text += delta
                exchange.audio_seconds = min(duration, sentence.end)
                if delta:
                    yield _event({"type": "transcript.text.delta", "delta": delta})
        except Exception as error:
            if not isinstance(error, LingtingError):
                log.exception("unexpected error in a stream of text")
            exchange.code = 500
            yield b"event: error\n" + _event(failed(error))
            return
        exchange.audio_seconds = duration
        yield _event({"type": "transcript.text.done", "text": text, "usage": usage(duration)})
        exchange.code = 0
        yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(content) + b"\n\n"
