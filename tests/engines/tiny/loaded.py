"""Engines over tiny models, and how tests run them: alone, together, in any pieces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lingting.domain import Samples
from lingting.engines.sherpa import ModelFiles
from lingting.recognition.engine import Ear, Engine, Heard, OfflineEngine, Request, Work
from tests.engines.tiny.models import build


def tiny(kind: str, folder: Path, **options: str | int | float | bool) -> ModelFiles:
    """A tiny model of a kind, in a new folder."""
    return ModelFiles(f"tiny-{kind}", kind, folder, build(kind, folder), options)


def run(engine: Engine, works: Sequence[Work]) -> list[Heard]:
    """Step works together until all are heard, each round those of equal group that a step is worth."""
    heard: dict[int, Heard] = {}
    left = dict(enumerate(works))
    while left:
        first = next(iter(left.values()))
        batch = [place for place, work in left.items() if work.group == first.group][: first.most]
        for place, outcome in zip(batch, engine.step([left[place] for place in batch]), strict=True):
            if outcome.error is not None:
                raise outcome.error
            if outcome.heard is not None:
                heard[place] = outcome.heard
            if outcome.more is None:
                del left[place]
            else:
                left[place] = outcome.more
    return [heard[place] for place in range(len(works))]


def recognize(engine: OfflineEngine, *requests: Request) -> list[Heard]:
    """What an offline engine hears of requests that come together."""
    return run(engine, [engine.begin(request) for request in requests])


def texts(engine: OfflineEngine, *utterances: Samples) -> list[str]:
    """The texts of utterances that come together."""
    return [heard.text for heard in recognize(engine, *(Request(samples) for samples in utterances))]


def hear(engine: Engine, ear: Ear, samples: Samples, piece: int = 1600) -> list[Heard]:
    """All that an ear hears while it is fed in pieces and finished; the last is final."""
    heard: list[Heard] = []

    def drain(work: Work | None) -> None:
        while work is not None:
            (outcome,) = engine.step([work])
            if outcome.error is not None:
                raise outcome.error
            if outcome.heard is not None:
                heard.append(outcome.heard)
            work = outcome.more

    for begin in range(0, len(samples), piece):
        drain(ear.feed(samples[begin : begin + piece]))
    drain(ear.finish())
    return heard
