"""The server's events of OpenAI's Realtime interface; the connection adds their `event_id`."""

from __future__ import annotations

from typing import Any

from lingting.domain import Seconds

Event = dict[str, Any]
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def session_event(what: str, session: dict[str, Any], *, beta: bool) -> Event:
    """`what` is "created" or "updated"."""
    return {"type": f"{'transcription_session' if beta else 'session'}.{what}", "session": session}


def speech_started(item_id: str, at: Seconds) -> Event:
    return {"type": "input_audio_buffer.speech_started", "audio_start_ms": round(at * 1000), "item_id": item_id}


def speech_stopped(item_id: str, at: Seconds) -> Event:
    return {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": round(at * 1000), "item_id": item_id}


def committed(item_id: str, previous: str | None, *, beta: bool) -> list[Event]:
    """A turn has ended, and is an item of the conversation."""
    item = {
        "id": item_id,
        "object": "realtime.item",
        "type": "message",
        "role": "user",
        "status": "completed",
        "content": [{"type": "input_audio", "transcript": None}],
    }
    names = ("created",) if beta else ("added", "done")
    return [
        {"type": "input_audio_buffer.committed", "previous_item_id": previous, "item_id": item_id},
        *({"type": f"conversation.item.{name}", "previous_item_id": previous, "item": item} for name in names),
    ]


def delta(item_id: str, piece: str) -> Event:
    return {"type": f"{_TRANSCRIPTION}.delta", "item_id": item_id, "content_index": 0, "delta": piece}


def completed(item_id: str, text: str, seconds: Seconds) -> Event:
    return {
        "type": f"{_TRANSCRIPTION}.completed",
        "item_id": item_id,
        "content_index": 0,
        "transcript": text,
        "usage": {"type": "duration", "seconds": round(seconds, 3)},
    }


def failed(item_id: str) -> Event:
    return {
        "type": f"{_TRANSCRIPTION}.failed",
        "item_id": item_id,
        "content_index": 0,
        "error": {
            "type": "server_error",
            "code": "server_error",
            "message": "the recognition of this turn failed",
            "param": None,
        },
    }
