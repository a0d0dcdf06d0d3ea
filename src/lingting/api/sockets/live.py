"""A live session as the protocols see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from lingting.domain import RecognitionOptions, Samples, Transcript
from lingting.recognition.endpoint import EndpointConfig
from lingting.recognition.events import LiveEvent


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What a caller asks of a live session: `endpoint` is when an utterance ends, None as the server has it."""

    recognition: RecognitionOptions = field(default_factory=RecognitionOptions)
    endpoint: EndpointConfig | None = None


class LiveSession(Protocol):
    """One session; `lingting.recognition.live` has the real one."""

    on_event: Callable[[LiveEvent], None] | None

    def require_room(self) -> None:
        """Pass while there is room for more sound; raises StreamBehind, or RecognitionFailed where the session is over
        before its end."""

    def accept(self, samples: Samples) -> None:
        """Take sound; never blocks."""

    def flush(self) -> None:
        """End what is being said; a `Final` that says so follows in any case."""

    async def finish(self) -> Transcript:
        """The transcript of everything; raises RecognitionFailed."""

    def abort(self) -> None:
        """Drop everything."""
