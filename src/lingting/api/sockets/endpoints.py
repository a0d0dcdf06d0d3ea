"""When an utterance ends, by the words of a caller and within the bounds of this server."""

from __future__ import annotations

import math

from lingting.domain import Seconds
from lingting.recognition.endpoint import EndpointConfig
from lingting.settings import Settings

SHORTEST_SILENCE: Seconds = 0.2
LONGEST_SILENCE: Seconds = 10.0


def endpoint(silence: Seconds | None, settings: Settings) -> EndpointConfig:
    """An utterance ends after so much silence, None: only when it is flushed.

    What is not between `SHORTEST_SILENCE` and `LONGEST_SILENCE` counts as the nearer of the two.
    """
    silence = math.inf if silence is None else min(max(silence, SHORTEST_SILENCE), LONGEST_SILENCE)
    return EndpointConfig(silence=silence, longest=settings.max_utterance_seconds)
