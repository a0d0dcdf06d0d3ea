"""Where utterances of a live stream begin and end, from voice activity."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias

from lingting.audio.gate import GateConfig, GateState, LiveGate, Span, voiced
from lingting.audio.segments import quietest_cut
from lingting.audio.voice import VoiceDetector
from lingting.domain import SAMPLE_RATE, Samples, Seconds
from lingting.recognition.buffer import AudioBuffer

_LONG_SHARE = 7 / 12


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """When an utterance ends.

    Attributes:
        silence: silence that ends an utterance.
        pause: silence at which its final decode is begun, in the hope that it has ended; at least what a recording's
            speech is padded with at its end, so that the decode hears what it would hear of a recording.
        long: an utterance longer than this ends at `long_silence` already.
        long_silence: None takes 7/12 of `silence`, which is 0.35 s of 0.6 s.
        longest: an utterance is cut in its quietest place at this length.
    """

    silence: Seconds = 0.6
    pause: Seconds = 0.25
    long: Seconds = 8.0
    long_silence: Seconds | None = None
    longest: Seconds = 20.0

    def enough(self, length: Seconds) -> Seconds:
        """The silence that ends an utterance of this length."""
        if length <= self.long:
            return self.silence
        return self.silence * _LONG_SHARE if self.long_silence is None else self.long_silence


@dataclass(frozen=True, slots=True)
class EndpointerState:
    """An `Endpointer` as plain data.

    Attributes:
        gate: voice activity.
        start, floor, paused_at: of the utterance that goes on.
        first: the first sample of the stream in `pcm`.
        pcm: the sound that is still needed, 16-bit samples; the next to be fed is the one behind it.
    """

    gate: GateState
    start: int | None
    floor: int
    paused_at: int
    first: int
    pcm: bytes = field(repr=False)

    @property
    def end(self) -> int:
        """The sample of the stream that is fed next."""
        return self.first + len(self.pcm) // 2


@dataclass(frozen=True, slots=True)
class Started:
    """Speech began; `start` is a sample of the stream, padding included."""

    start: int


@dataclass(frozen=True, slots=True)
class Paused:
    """Speech stopped for a moment; if it doesn't go on, the utterance will be [start, end), which is `samples`."""

    start: int
    end: int
    samples: Samples = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is [start, end), which is `samples`; `voice` is the end of its last voiced frame.

    `cut` says that speech goes on and the utterance was cut because it is long; `voiced` is where somebody is heard in
    it, without padding. `behind` is where another endpointer can go on, which needs none of the sound of `samples`.
    """

    start: int
    end: int
    voice: int
    samples: Samples = field(repr=False)
    cut: bool = False
    voiced: tuple[Span, ...] = ()
    behind: EndpointerState | None = field(default=None, repr=False)


Event: TypeAlias = Started | Paused | Ended

_STEP = SAMPLE_RATE // 10
_KEPT = SAMPLE_RATE


class Endpointer:
    """Turns samples into events. Not thread-safe: one thread at a time feeds it."""

    def __init__(self, detector: VoiceDetector, config: EndpointConfig, gate: GateConfig | None = None) -> None:
        self._gate = LiveGate(detector, gate or GateConfig())
        self._config = config
        self._start: int | None = None
        self._floor = 0
        self._paused_at = -1
        self.audio = AudioBuffer()

    @property
    def last_voice(self) -> int:
        """The sample at which the last voiced frame ends; 0 before any speech."""
        return self._gate.last_voice

    def feed(self, samples: Samples) -> list[Event]:
        """Take samples; give what they made happen, in order."""
        events: list[Event] = []
        for first in range(0, len(samples), _STEP):
            piece = samples[first : first + _STEP]
            self.audio.append(piece)
            self._gate.feed(piece)
            self._look(events)
        return events

    def finish(self) -> list[Event]:
        """End the stream: an utterance that is open ends here."""
        events: list[Event] = []
        self._gate.finish()
        self._look(events)
        if self._start is not None:
            self._end(events, self._padded_end())
        return events

    def flush(self) -> list[Event]:
        """End the utterance that is open, if one is, with the sound fed so far; the stream goes on."""
        events: list[Event] = []
        if self._start is not None:
            self._end(events, self.audio.end)
        return events

    def state(self) -> EndpointerState:
        """Where another endpointer can go on."""
        audio = self.audio
        return EndpointerState(self._gate.state(), self._start, self._floor, self._paused_at, audio.start, audio.kept())

    def restore(self, state: EndpointerState) -> None:
        """Go on where another endpointer of the same configuration was."""
        self._gate.restore(state.gate)
        self._start, self._floor, self._paused_at = state.start, state.floor, state.paused_at
        self.audio.restore(state.first, state.pcm)

    def forget(self, before: int) -> None:
        """Drop audio that nobody needs any more."""
        before = max(0, min(before, self.audio.end - _KEPT))
        self._gate.forget(before)
        self.audio.trim(self._gate.first_sample)

    def _look(self, events: list[Event]) -> None:
        gate, config = self._gate, self._config
        if self._start is None:
            if not gate.in_speech or gate.last_voice <= self._floor:
                self.forget(self.audio.end)
                return
            self._start = max(gate.speech_start, self._floor)
            self._paused_at = -1
            events.append(Started(self._start))
        silence = self.audio.end - gate.last_voice
        length = (gate.last_voice - self._start) / SAMPLE_RATE
        end = self._padded_end()
        if silence >= config.enough(length) * SAMPLE_RATE:
            self._end(events, end)
        elif (self.audio.end - self._start) >= config.longest * SAMPLE_RATE:
            self._cut(events)
        elif silence >= config.pause * SAMPLE_RATE and self._paused_at != gate.last_voice:
            self._paused_at = gate.last_voice
            events.append(Paused(self._start, end, self.audio.slice(self._start, end)))

    def _padded_end(self) -> int:
        """Where the utterance ends if nothing follows: where a recording's speech would."""
        after = round(self._gate.config.after * SAMPLE_RATE)
        return min(self.audio.end, self._gate.last_voice + after)

    def _end(self, events: list[Event], end: int, *, cut: bool = False) -> None:
        assert self._start is not None
        samples = self.audio.slice(self._start, end)
        gate = self._gate
        heard = voiced(gate.probabilities, gate.first_sample, self._start, end, gate.config)
        ended = Ended(self._start, end, min(end, gate.last_voice), samples, cut, heard)
        self._floor = self.audio.ended = end
        self._start = end if cut else None
        self._paused_at = -1
        self.forget(end if cut else self.audio.end)
        events.append(replace(ended, behind=self.state()))
        if cut:
            events.append(Started(end))

    def _cut(self, events: list[Event]) -> None:
        assert self._start is not None
        low = self._start + (self.audio.end - self._start) // 2
        base = self._gate.first_sample
        samples = self.audio.slice(base, self.audio.end)
        high = self.audio.end - SAMPLE_RATE // 2
        cut = base + quietest_cut(samples, self._gate.probabilities, low - base, high - base)
        self._end(events, cut, cut=True)
