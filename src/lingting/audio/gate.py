"""Where speech is: hysteresis over voice probabilities, an energy floor and padding, for files and for live audio.

Nothing outside the spans reaches an engine. The rules are one small machine over frames, so that a stream and a file of
the same samples find the same speech.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lingting.audio.voice import FRAME, Probabilities, VoiceDetector, VoiceState
from lingting.domain import SAMPLE_RATE, Samples, Seconds

_LEAST_SILENCE = 3
"""Frames."""


@dataclass(frozen=True, slots=True)
class GateConfig:
    """When audio counts as speech.

    White, pink and brown noise, hum and clicks stay under a probability of 0.25 at every level; speech at -50 dBFS
    still passes 0.9. The defaults stand between the two.

    Attributes:
        on: probability from which a frame starts speech.
        off: probability below which a frame no longer continues it.
        sure: probability that at least one frame of a span must reach.
        floor_dbfs: frames quieter than this are never speech, in dB below full scale (RMS without the mean).
        min_speech: seconds of frames at or above `on` that make a span.
        min_silence: seconds below `off` that end a span.
        before: seconds of padding in front of a span.
        after: seconds of padding behind a span.
    """

    on: float = 0.5
    off: float = 0.35
    sure: float = 0.7
    floor_dbfs: float = -72.0
    min_speech: Seconds = 0.09
    min_silence: Seconds = 0.3
    before: Seconds = 0.25
    after: Seconds = 0.25


class Span(NamedTuple):
    """Samples [start, end) of a recording."""

    start: int
    end: int


class GateEvent(NamedTuple):
    """Speech began at or ended before `sample`, counted from the start of the stream, padding included."""

    kind: Literal["start", "end"]
    sample: int


def speech_spans(samples: Samples, probabilities: Probabilities, config: GateConfig | None = None) -> list[Span]:
    """The speech of a whole recording: padded, merged, in order, inside the file.

    Args:
        probabilities: of every frame of `samples`, as `VoiceDetector.judge` gives them.
    """
    config = config or GateConfig()
    finder = SpanFinder(samples.size, config)
    return finder.feed(audible(samples, probabilities, config)) + finder.finish()


def audible(samples: Samples, probabilities: Probabilities, config: GateConfig) -> Probabilities:
    """The probabilities with frames below the energy floor set to zero."""
    return np.where(frame_levels(samples, len(probabilities)) >= config.floor_dbfs, probabilities, np.float32(0))


def voiced(
    probabilities: Probabilities, begin: int, start: int, end: int, config: GateConfig | None = None
) -> tuple[Span, ...]:
    """Where somebody is heard in samples [start, end), without padding: what lies between is silence.

    Frames at or above `off` in a row, at least one of them at or above `on`; a silence of less than three frames, which
    a stop consonant makes as well, is none.

    Args:
        probabilities: of the frames from sample `begin` on, zero below the energy floor, as `audible` gives them.
    """
    config = config or GateConfig()
    first = max(0, (start - begin) // FRAME)
    frames = probabilities[first : max(first, math.ceil((end - begin) / FRAME))]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], frames >= config.off, [False])).astype(np.int8)))
    spans: list[Span] = []
    for low, high in edges.reshape(-1, 2).tolist():
        if not (frames[low:high] >= config.on).any():
            continue
        here = Span(max(start, begin + (first + low) * FRAME), min(end, begin + (first + high) * FRAME))
        if spans and here.start - spans[-1].end < _LEAST_SILENCE * FRAME:
            spans[-1] = Span(spans[-1].start, here.end)
        elif here.start < here.end:
            spans.append(here)
    return tuple(spans)


def frame_levels(samples: Samples, frames: int) -> NDArray[np.float32]:
    """RMS of each frame without its mean, in dBFS, shape (frames,); a frame past the end is filled with zeros."""
    whole = min(samples.size // FRAME, frames)
    power = np.zeros(frames, np.float32)
    power[:whole] = samples[: whole * FRAME].reshape(whole, FRAME).var(axis=1)
    if whole < frames and samples.size > whole * FRAME:
        power[whole] = samples[whole * FRAME : (whole + 1) * FRAME].var()
    levels: NDArray[np.float32] = 10 * np.log10(np.maximum(power, np.float32(1e-20)))
    return levels


class SpanFinder:
    """The speech of a recording, span by span, each as soon as nothing can be joined to it any more.

    Args:
        size: samples of the recording.
    """

    def __init__(self, size: int, config: GateConfig | None = None) -> None:
        config = config or GateConfig()
        self._size = size
        self._machine = _Machine(config)
        self._before, self._after = _samples(config.before), _samples(config.after)
        self._pending: Span | None = None

    @property
    def open(self) -> Span | None:
        """The span that is not settled: it begins there, and ends there or later."""
        machine = self._machine
        return self._joined(machine.start, machine.last_voice) if machine.in_speech else self._pending

    @property
    def clear_to(self) -> int:
        """No span that is still to come begins before this sample; the open one aside."""
        return max(0, self._machine.next_start - self._before)

    def feed(self, probabilities: Probabilities) -> list[Span]:
        """Take the probabilities of the next frames, as `audible` gives them; the spans that they settle, in order."""
        settled: list[Span] = []
        machine = self._machine
        for probability in probabilities.tolist():
            machine.step(probability)
            if machine.started:
                self._settle(machine.start, settled)
            elif machine.ended:
                self._pending = self._joined(machine.start, machine.last_voice)
        self._settle(machine.next_start, settled)
        return settled

    def finish(self) -> list[Span]:
        """The span that is open when the recording ends, if there is one."""
        span, self._pending = self.open, None
        self._machine.end()
        return [] if span is None else [span]

    def _settle(self, next_start: int, settled: list[Span]) -> None:
        """Let the pending span go when one whose voice starts at `next_start` does not reach it."""
        if self._pending is not None and max(0, next_start - self._before) > self._pending.end:
            settled.append(self._pending)
            self._pending = None

    def _joined(self, start: int, end: int) -> Span:
        start = self._pending.start if self._pending is not None else max(0, start - self._before)
        return Span(start, min(self._size, end + self._after))


@dataclass(frozen=True, slots=True)
class GateState:
    """A `LiveGate` as plain data; arrays are bytes of float32."""

    received: int
    first: int
    floor: int
    frames: bytes
    machine: tuple[bool, int, int, int, int | None, int, float, int]
    voice: tuple[bytes, ...]


class LiveGate:
    """The same gate over audio that is still coming; used by one thread or task at a time.

    Attributes:
        in_speech: whether speech goes on; it ends `min_silence` after the last voiced frame.
        speech_start: sample at which the current or latest speech starts, padding included.
        last_voice: sample at which the last voiced frame ends; 0 before any speech.
        received: samples fed so far.
    """

    def __init__(self, detector: VoiceDetector | None = None, config: GateConfig | None = None) -> None:
        self.config = config or GateConfig()
        self.received = 0
        self._detector = detector or VoiceDetector()
        self._state = VoiceState()
        self._machine = _Machine(self.config)
        self._frames = np.empty(64, np.float32)
        self._first = 0
        self._count = 0
        self._floor = 0

    @property
    def in_speech(self) -> bool:
        return self._machine.in_speech

    @property
    def speech_start(self) -> int:
        return max(self._floor, self._machine.start - _samples(self.config.before))

    @property
    def last_voice(self) -> int:
        return self._machine.last_voice

    @property
    def judged(self) -> int:
        """Samples that are in whole frames and so have a probability; fewer than 512 behind `received`."""
        return (self._first + self._count) * FRAME

    @property
    def silence(self) -> Seconds:
        """Seconds since the last voiced frame, or since the start of the stream."""
        return max(0, self.received - self._machine.last_voice) / SAMPLE_RATE

    @property
    def first_sample(self) -> int:
        """The sample at which `probabilities` starts, a multiple of 512."""
        return self._first * FRAME

    @property
    def probabilities(self) -> Probabilities:
        """Of the frames from `first_sample` on, those below the energy floor as zero; a copy."""
        return self._frames[: self._count].copy()

    def state(self) -> GateState:
        """Everything that what comes depends on, as plain data."""
        voice = self._state
        return GateState(
            received=self.received,
            first=self._first,
            floor=self._floor,
            frames=self._frames[: self._count].tobytes(),
            machine=self._machine.state(),
            voice=tuple(part.tobytes() for part in (voice.h, voice.c, voice.context, voice.remainder)),
        )

    def restore(self, state: GateState) -> None:
        """Go on where another gate of the same configuration was when it gave its `state`."""
        self.received, self._first, self._floor = state.received, state.first, state.floor
        frames = np.frombuffer(state.frames, np.float32)
        self._frames, self._count = np.concatenate((frames, np.empty(64, np.float32))), len(frames)
        self._machine.restore(state.machine)
        h, c, context, remainder = (np.frombuffer(part, np.float32) for part in state.voice)
        self._state = VoiceState(h.reshape(1, 1, -1), c.reshape(1, 1, -1), context, remainder)

    def feed(self, samples: Samples) -> list[GateEvent]:
        """Judge the frames that `samples` complete, 0.1 ms each, and say where speech started or ended.

        Raises:
            ModelError: the voice activity model is missing or damaged.
        """
        frames_of = np.concatenate((self._state.remainder, samples))
        probabilities, self._state = self._detector.probabilities(samples, self._state)
        self.received += samples.size
        return self._take(audible(frames_of, probabilities, self.config))

    def finish(self) -> list[GateEvent]:
        """Judge what is left when no more audio comes, and end speech that goes on."""
        events: list[GateEvent] = []
        left = self._state.remainder
        if left.size:
            frame = np.concatenate((left, np.zeros(FRAME - left.size, np.float32)))
            probabilities, self._state = self._detector.probabilities(frame[left.size :], self._state)
            events = self._take(audible(left, probabilities, self.config))
        if self._machine.in_speech:
            self._machine.end()
            events.append(GateEvent("end", self._padded_end()))
        return events

    def forget(self, before_sample: int) -> None:
        """Drop what is known of the samples before `before_sample`; no later speech starts before it."""
        self._floor = max(self._floor, before_sample)
        gone = min(max(0, before_sample // FRAME - self._first), self._count)
        if gone:
            self._frames[: self._count - gone] = self._frames[gone : self._count]
            self._first += gone
            self._count -= gone
            if self._frames.size > 1024 and self._count < self._frames.size // 4:
                self._frames = self._frames[: self._frames.size // 2].copy()

    def _take(self, probabilities: Probabilities) -> list[GateEvent]:
        needed = self._count + len(probabilities)
        if needed > self._frames.size:
            grown = np.empty(2 * needed, np.float32)
            grown[: self._count] = self._frames[: self._count]
            self._frames = grown
        self._frames[self._count : needed] = probabilities
        self._count = needed
        events: list[GateEvent] = []
        for probability in probabilities.tolist():
            self._machine.step(probability)
            if self._machine.started:
                events.append(GateEvent("start", self.speech_start))
            elif self._machine.ended:
                events.append(GateEvent("end", self._padded_end()))
        return events

    def _padded_end(self) -> int:
        return min(self.received, self._machine.last_voice + _samples(self.config.after))


class _Machine:
    """Hysteresis over frames. `started` and `ended` tell what the last step did."""

    def __init__(self, config: GateConfig) -> None:
        self.in_speech = self.started = self.ended = False
        self.start = self.last_voice = 0
        self._on, self._off, self._sure = config.on, config.off, config.sure
        self._min_speech = max(1, math.ceil(config.min_speech * SAMPLE_RATE / FRAME))
        self._min_silence = max(1, math.ceil(config.min_silence * SAMPLE_RATE / FRAME))
        self._position = 0
        self._candidate: int | None = None
        self._voiced = 0
        self._peak = 0.0
        self._quiet = 0

    def state(self) -> tuple[bool, int, int, int, int | None, int, float, int]:
        return (
            self.in_speech,
            self.start,
            self.last_voice,
            self._position,
            self._candidate,
            self._voiced,
            self._peak,
            self._quiet,
        )

    def restore(self, state: tuple[bool, int, int, int, int | None, int, float, int]) -> None:
        self.in_speech, self.start, self.last_voice, self._position = state[:4]
        self._candidate, self._voiced, self._peak, self._quiet = state[4:]

    @property
    def next_start(self) -> int:
        """Where the speech that goes on began, or the sample before which none can begin any more."""
        if self.in_speech:
            return self.start
        return self._position if self._candidate is None else self._candidate

    def step(self, probability: float) -> None:
        self.started = self.ended = False
        here = self._position
        self._position = here + FRAME
        if probability < self._off:
            self._quiet += 1
            if self._quiet >= self._min_silence:
                if self.in_speech:
                    self.end()
                self._candidate = None
            return
        self._quiet = 0
        if self.in_speech:
            self.last_voice = self._position
            return
        if self._candidate is None:
            self._candidate, self._voiced, self._peak = here, 0, 0.0
        if probability >= self._on:
            self._voiced += 1
            self._peak = max(self._peak, probability)
            if self._voiced >= self._min_speech and self._peak >= self._sure:
                self.in_speech = self.started = True
                self.start, self.last_voice = self._candidate, self._position

    def end(self) -> None:
        self.in_speech, self.ended = False, True
        self._candidate = None


def _samples(seconds: Seconds) -> int:
    return round(seconds * SAMPLE_RATE)
