"""Flash as JSON lines: each sentence with its words as soon as it is known, and the usual answer last."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from lingting.api.http.exchange import CLIENT_LEFT, Exchange
from lingting.api.http.held import HeldResponse
from lingting.audio.recording import Recording
from lingting.domain import Sentence, Word
from lingting.errors import LingtingError

MEDIA_TYPE = "application/x-ndjson"

log = logging.getLogger(__name__)


class SentenceLines(HeldResponse):
    """`{"type": "recording"}`, then a `sentence` each, then the `result`, or an `error` that ends it early.

    The recognition ends when the client leaves.

    Args:
        sentences: what is said, as it becomes known.
        recording: what is recognised.
        exchange: takes the audio that was recognised.
        result: makes the answer that flash gives otherwise.
        failed: turns an error into the object under `error`, and its status.
    """

    def __init__(
        self,
        sentences: AsyncIterator[Sentence],
        recording: Recording,
        exchange: Exchange,
        *,
        result: Callable[[list[Sentence]], dict[str, Any]],
        failed: Callable[[Exception], dict[str, Any]],
    ) -> None:
        lines = self._lines(sentences, recording, exchange, result, failed)
        super().__init__(lines, media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})

    async def _lines(
        self,
        sentences: AsyncIterator[Sentence],
        recording: Recording,
        exchange: Exchange,
        result: Callable[[list[Sentence]], dict[str, Any]],
        failed: Callable[[Exception], dict[str, Any]],
    ) -> AsyncIterator[bytes]:
        exchange.code = CLIENT_LEFT  # unless the last line goes out
        yield _line({"type": "recording", "duration": round(recording.duration * 1000)})
        known: list[Sentence] = []
        try:
            async for sentence in sentences:
                known.append(sentence)
                exchange.audio_seconds = min(recording.duration, sentence.end)
                yield _line({"type": "sentence", **timed(sentence), "words": [_word(word) for word in sentence.words]})
        except Exception as error:
            if not isinstance(error, LingtingError):
                log.exception("unexpected error in lines of sentences")
            exchange.code = 500
            yield _line({"type": "error", **failed(error)})
            return
        exchange.audio_seconds = recording.duration
        yield _line({"type": "result", **result(known)})
        exchange.code = 0


def timed(sentence: Sentence) -> dict[str, Any]:
    """A sentence as flash writes it: times in whole milliseconds, and who speaks where that was asked."""
    content = {
        "text": sentence.text,
        "begin_time": max(0, round(sentence.start * 1000)),
        "end_time": round(sentence.end * 1000),
    }
    return content | {"speaker": sentence.speaker} if sentence.speaker else content


def _word(word: Word) -> dict[str, Any]:
    return {
        "text": word.text,
        "begin_time": max(0, round(word.start * 1000)),
        "end_time": round(word.end * 1000),
        "probability": round(word.probability, 3),
    }


def _line(content: dict[str, Any]) -> bytes:
    return msgspec.json.encode(content) + b"\n"
