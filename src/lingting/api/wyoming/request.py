"""One Wyoming request: sound in, text out, a piece at a time and then whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lingting.api.openai.parameters import language_of
from lingting.api.sockets.caller import Caller
from lingting.api.sockets.growing import Growing
from lingting.api.sockets.live import LiveOptions
from lingting.api.sockets.sound import MAX_CHANNELS, MAX_RATE, MIN_RATE, Intake, Sound, SoundError
from lingting.api.sockets.speech import Speech
from lingting.api.wyoming.events import Event
from lingting.domain import Language, RecognitionOptions
from lingting.hot_words import MAX_LENGTH, merged
from lingting.recognition.events import Final, Guess, LiveEvent
from lingting.recognition.utterance import join_texts

_WIDTH = 2


class Request:
    """What is between two `audio-start`s. Event loop only.

    Args:
        caller: who speaks.
        asked: data of the `transcribe` before it.
        reply: sends an event, when it is this request's turn.
        over: told when speech is over by itself.

    Attributes:
        speech: what is said in it.
        ending: whether no more sound comes to it.
    """

    def __init__(
        self, caller: Caller, asked: dict[str, Any], reply: Callable[[Event], None], over: Callable[[], None]
    ) -> None:
        self.speech = Speech(caller, self._heard)
        self.speech.configure(LiveOptions(_recognition(asked, caller)))
        self.ending = False
        self._reply = reply
        self._over = over
        self._intake: Intake | None = None
        self._growing = Growing()
        self._said = ""
        self._started = False
        self._failed = False
        self._language: Language | None = None

    async def take(self, data: dict[str, Any], payload: bytes) -> None:
        """Take a chunk of sound, which says itself what it is.

        Raises:
            SoundError: it is in a format that is not taken.
            Overloaded, LimitExceeded: it cannot be taken now.
        """
        sound = _sound(data)
        if self._intake is None or self._intake.sound != sound:
            if self._intake is not None:
                self.speech.accept(self._intake.finish())
            self._intake = Intake(sound)
        await self.speech.take(self._intake.take(payload))

    async def finish(self) -> bool:
        """Send the transcript, once `ending` is set; whether recognition worked."""
        if self._intake is not None:
            self.speech.accept(self._intake.finish())
        await self.speech.finish()
        if self._failed and not self._said:
            self._reply(Event("error", {"text": "the recognition failed; try again", "code": "recognition-failed"}))
            return False
        self._reply(Event("transcript", {"text": self._said, "language": self._language}))
        if self._started:
            self._reply(Event("transcript-stop"))
        return True

    def _heard(self, event: LiveEvent) -> None:
        match event:
            case Guess(text):
                self._grow(self._growing.guess(self._joined(text)))
            case Final():
                joined = self._joined(event.text)
                self._grow(self._growing.final(joined))
                self._growing = Growing()
                self._said += joined
                self._failed = self._failed or event.failed
                self._language = event.language or self._language
                if event.text and not event.cut:
                    self._over()

    def _grow(self, piece: str) -> None:
        if not piece:
            return
        if not self._started:
            self._started = True
            self._reply(Event("transcript-start"))
        self._reply(Event("transcript-chunk", {"text": piece}))

    def _joined(self, text: str) -> str:
        return join_texts(self._said, text)[len(self._said) :]


def _recognition(asked: dict[str, Any], caller: Caller) -> RecognitionOptions:
    settings = caller.settings
    language = asked.get("language")
    return RecognitionOptions(
        language=(language_of(language) if isinstance(language, str) else None)
        or (None if settings.language == "auto" else settings.language),
        hot_words=merged(
            _words(asked.get("transcript_names")), _words(asked.get("transcript_terms")), caller.hot_words
        ),
        convert_numbers=settings.convert_numbers,
        timestamps=False,
    )


def _words(given: Any) -> list[str]:
    words = (word.strip() for word in given if isinstance(word, str)) if isinstance(given, list) else ()
    return [word for word in words if word and len(word) <= MAX_LENGTH and word.isprintable()]


def _sound(data: dict[str, Any]) -> Sound:
    rate, width, channels = (data.get(name) for name in ("rate", "width", "channels"))
    if width != _WIDTH:
        raise SoundError(f"sound must have 16 bits (width {_WIDTH}), got width {str(width)[:20]}")
    for name, value, least, most in (("rate", rate, MIN_RATE, MAX_RATE), ("channels", channels, 1, MAX_CHANNELS)):
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise SoundError(f"{name} must be from {least} to {most}, got {str(value)[:20]}")
    return Sound(rate=data["rate"], channels=data["channels"])
