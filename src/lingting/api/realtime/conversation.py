"""One transcription session of OpenAI's Realtime interface: the client's events in, the server's events out."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
import time
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from lingting.access.errors import LimitExceeded, ModelForbidden
from lingting.api.openai.errors import ParameterError
from lingting.api.realtime import render
from lingting.api.realtime.parameters import (
    MODEL,
    SessionConfig,
    asked_model,
    beta_session,
    ga_session,
    named,
    updated,
)
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.growing import Growing
from lingting.api.sockets.held import NOT_ALLOWED, OVERLOADED, RESTART, HeldSocket
from lingting.api.sockets.live import LiveOptions
from lingting.api.sockets.sound import Intake
from lingting.api.sockets.speech import Speech
from lingting.domain import Seconds
from lingting.errors import ModelLoading, Overloaded, UnknownModel
from lingting.recognition.events import Final, Guess, LiveEvent, SpeechStarted, SpeechStopped
from lingting.recognition.utterance import join_texts

LEAST_COMMIT: Seconds = 0.1
_THREADED_BYTES = 65_536
"""More sound than this is decoded and resampled in a thread."""
_GOING_AWAY = 1001


@dataclass(eq=False, slots=True)
class _Item:
    """One turn.

    Attributes:
        start, end: seconds of the connection between which it lies.
        speaking: whether the client was told that speech started, and not yet that it stopped.
        flushed: whether only the Final of its flush ends it.
        dropped: whether the client cleared it, so that nothing is said about it.
        text: what is final of it.
        growing: what was sent of it.
        failed: whether recognition failed on a part of it.
    """

    id: str
    start: Seconds
    end: Seconds = 0.0
    speaking: bool = False
    flushed: bool = False
    dropped: bool = False
    text: str = ""
    growing: Growing = field(default_factory=Growing)
    failed: bool = False


class Conversation:
    """A session on one connection. Event loop only.

    Args:
        socket: the connection.
        caller: who speaks.
        config: what the session does before its first update.
        beta: whether the client said that it speaks the beta.
    """

    __slots__ = (
        "_appended",
        "_beta",
        "_caller",
        "_committed",
        "_config",
        "_events",
        "_expires_at",
        "_expiry",
        "_hot_words",
        "_id",
        "_intake",
        "_items",
        "_open",
        "_pending",
        "_previous",
        "_settings",
        "_socket",
        "_speech",
    )

    def __init__(self, socket: HeldSocket, caller: Caller, config: SessionConfig, *, beta: bool) -> None:
        settings = caller.settings
        self._caller = caller
        self._socket = socket
        self._settings = settings
        self._hot_words = caller.hot_words
        self._config = config
        self._beta = beta
        self._id = secrets.token_hex(12)
        self._expires_at = int(time.time() + settings.realtime_max_seconds)
        self._expiry = asyncio.get_running_loop().call_later(settings.realtime_max_seconds, self._expire)
        self._intake = Intake(config.sound)
        self._speech = Speech(caller, self._heard)
        self._speech.configure(self._options())
        self._open: _Item | None = None
        self._pending: list[_Item] = []
        self._previous: str | None = None
        self._items = 0
        self._events = 0
        self._appended: Seconds = 0.0
        self._committed: Seconds = 0.0

    @property
    def duration(self) -> Seconds:
        """Seconds of sound that were taken."""
        return self._speech.duration

    async def run(self) -> None:
        """Answer the client until the connection ends."""
        self._say(render.session_event("created", self._session(), beta=self._beta))
        try:
            async for message in self._socket.messages():
                if message:
                    await self._take(message)
        finally:
            self._expiry.cancel()
            self._speech.abort()

    def leave(self) -> None:
        """End the session because the server stops: what was said is recognised, then the connection closes."""
        self._socket.spawn(self._leave())

    async def _leave(self) -> None:
        self._accept_rest()
        await self._speech.finish()
        self._socket.close(RESTART, "the server is restarting")

    # -- what the client says -----------------------------------------------------------------------------------------

    async def _take(self, message: str | bytes) -> None:
        event = _event(message)
        if event is None:
            self._refuse("send events as text frames, each a JSON object with a string `type`", code="invalid_event")
            return
        given = event.get("event_id")
        event_id = given if isinstance(given, str) else None
        match event["type"]:
            case "input_audio_buffer.append":
                await self._append(event, event_id)
            case "input_audio_buffer.commit":
                self._commit(event_id)
            case "input_audio_buffer.clear":
                self._clear()
            case "session.update":
                await self._update(event, event_id)
            case "transcription_session.update":
                self._beta = True
                await self._update(event, event_id)
            case kind:
                self._refuse(
                    f"this server only transcribes; it does not know the event {kind[:60]!r}",
                    param="type",
                    event_id=event_id,
                )

    async def _update(self, event: dict[str, Any], event_id: str | None) -> None:
        try:
            config = updated(self._config, event.get("session"), self._settings)
            asked = asked_model(config, self._caller.served)
            if asked != asked_model(self._config, self._caller.served):
                await self._caller.choose(asked)
        except ParameterError as error:
            self._refuse(str(error), param=error.param, event_id=event_id)
            return
        except ModelLoading as error:
            self._refuse(str(error), kind="server_error", code="model_loading", event_id=event_id)
            return
        except (UnknownModel, ModelForbidden) as error:
            self._refuse(str(error), code="model_not_found", param=MODEL, event_id=event_id)
            return
        config = named(config, self._caller.model)
        self._accept_rest()
        if config.sound != self._config.sound:
            self._intake = Intake(config.sound)
        self._config = config
        self._speech.configure(self._options())
        self._say(render.session_event("updated", self._session(), beta=self._beta))

    async def _append(self, event: dict[str, Any], event_id: str | None) -> None:
        data = _sound(event)
        if data is None:
            self._refuse("audio must be base64 of sound", code="invalid_audio", param="audio", event_id=event_id)
            return
        if not data:
            return
        sound = self._intake.sound
        self._appended += len(data) / sound.frame_bytes / sound.rate
        take = self._intake.take
        samples = take(data) if len(data) <= _THREADED_BYTES else await asyncio.to_thread(take, data)
        if self._config.turn_detection is None and self._open is None:
            self._open = self._new_item(self._speech.duration)
        try:
            await self._speech.take(samples)
        except (Overloaded, LimitExceeded) as error:
            self._end(error)

    def _accept_rest(self) -> None:
        """Take what the resampler still holds."""
        try:
            self._speech.accept(self._intake.finish())
        except Overloaded as error:
            self._end(error)

    def _end(self, error: Overloaded | LimitExceeded) -> None:
        if isinstance(error, Overloaded):
            self._refuse(str(error), kind="server_error", code="server_overloaded")
            self._socket.close(OVERLOADED, "the server is too busy")
        else:
            self._refuse(str(error), kind="rate_limit_error", code="insufficient_quota")
            self._socket.close(NOT_ALLOWED, "the tenant has no audio left")

    def _commit(self, event_id: str | None) -> None:
        uncommitted = self._appended - self._committed
        if uncommitted < LEAST_COMMIT:
            self._refuse(
                f"the buffer has {uncommitted * 1000:.0f} ms of audio; a commit needs {LEAST_COMMIT * 1000:.0f} ms",
                code="input_audio_buffer_commit_empty",
                event_id=event_id,
            )
            return
        self._accept_rest()
        item = self._open or self._new_item(self._committed)
        self._committed = self._appended
        self._commit_item(item, self._speech.duration, flushed=True)
        self._speech.flush()

    def _clear(self) -> None:
        if self._appended > self._committed:
            self._accept_rest()
            item = self._open or self._new_item(self._committed)
            item.dropped = item.flushed = True
            item.end = self._speech.duration
            self._open = None
            self._pending.append(item)
            self._committed = self._appended
            self._speech.flush()
        self._say({"type": "input_audio_buffer.cleared"})

    # -- what is heard ------------------------------------------------------------------------------------------------

    def _heard(self, event: LiveEvent) -> None:
        detects_turns = self._config.turn_detection is not None
        match event:
            case SpeechStarted(at) | SpeechStopped(at) if self._pending and at <= self._flushed_until():
                pass  # the client's commit was faster, and has ended this turn already
            case SpeechStarted(at) if detects_turns:
                item = self._open = self._open or self._new_item(at)
                if not item.speaking:
                    item.speaking = True
                    self._say(render.speech_started(item.id, at))
            case SpeechStopped(at) if detects_turns and self._open is not None:
                self._commit_item(self._open, at)
                self._committed = max(self._committed, min(at, self._appended))
            case Guess(text):
                self._guessed(text)
            case Final():
                self._final(event)

    def _flushed_until(self) -> Seconds:
        """Where the last turn ends that the client ended and that has not come back yet."""
        return max((item.end for item in self._pending if item.flushed), default=-1.0)

    def _guessed(self, text: str) -> None:
        """Send what is sure of a turn, if no other turn has text that is still to come."""
        unfinished = [*self._pending, *((self._open,) if self._open else ())]
        if len(unfinished) == 1:
            self._delta(unfinished[0], unfinished[0].growing.guess(join_texts(unfinished[0].text, text)))

    def _final(self, final: Final) -> None:
        while final.flushed and self._pending and not self._pending[0].flushed:
            self._complete(self._pending.pop(0))
        item = self._pending[0] if self._pending else self._open
        if item is None:
            if not final.text:
                return
            item = self._open = self._new_item(final.start)
        item.text = join_texts(item.text, final.text)
        item.failed = item.failed or final.failed
        ends = final.flushed if item.flushed else not final.cut
        if item is self._open:
            if self._config.turn_detection is None:
                ends = False
            elif ends:
                self._commit_item(item, final.end)
        if ends:
            self._complete(self._pending.pop(0))
        else:
            self._delta(item, item.growing.final(item.text))

    # -- what the client is told --------------------------------------------------------------------------------------

    def _commit_item(self, item: _Item, end: Seconds, *, flushed: bool = False) -> None:
        if item.speaking:
            item.speaking = False
            self._say(render.speech_stopped(item.id, end))
        item.end, item.flushed = end, flushed
        self._open = None
        self._pending.append(item)
        for event in render.committed(item.id, self._previous, beta=self._beta):
            self._say(event)
        self._previous = item.id

    def _complete(self, item: _Item) -> None:
        if item.dropped:
            return
        if item.failed and not item.text:
            self._say(render.failed(item.id))
            return
        self._delta(item, item.growing.final(item.text))
        self._say(render.completed(item.id, item.text, max(0.0, item.end - item.start)))

    def _delta(self, item: _Item, piece: str) -> None:
        if piece and not item.dropped:
            self._say(render.delta(item.id, piece))

    def _refuse(
        self,
        message: str,
        *,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        event_id: str | None = None,
    ) -> None:
        error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
        self._say({"type": "error", "error": error})

    def _say(self, event: dict[str, Any]) -> None:
        self._events += 1
        self._socket.send({"type": event["type"], "event_id": f"event_{self._id}_{self._events}", **event})

    def _options(self) -> LiveOptions:
        options = self._config.options(self._settings, self._hot_words)
        return replace(options, recognition=replace(options.recognition, model=self._caller.model))

    def _session(self) -> dict[str, Any]:
        described = beta_session(self._config) if self._beta else ga_session(self._config)
        names = {"id": f"sess_{self._id}", "object": "realtime.transcription_session"}
        return {**names, **described, "expires_at": self._expires_at}

    def _new_item(self, start: Seconds) -> _Item:
        self._items += 1
        return _Item(f"item_{self._id}_{self._items}", start)

    def _expire(self) -> None:
        minutes = self._settings.realtime_max_seconds / 60
        self._refuse(f"Your session hit the maximum duration of {minutes:g} minutes.", code="session_expired")
        self._socket.close(_GOING_AWAY, "the session has reached its longest duration")


def _sound(event: dict[str, Any]) -> bytes | None:
    """The sound of an append, None where it is not base64."""
    audio = event.get("audio")
    try:
        return base64.b64decode(audio, validate=True) if isinstance(audio, str) else None
    except (ValueError, binascii.Error):
        return None


def _event(message: str | bytes) -> dict[str, Any] | None:
    """An event of the client, None where the frame is none."""
    if isinstance(message, bytes):
        return None
    try:
        event = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return None
    return event if isinstance(event, dict) and isinstance(event.get("type"), str) else None
