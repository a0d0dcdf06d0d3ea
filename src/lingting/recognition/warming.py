"""The first thing a model hears: speech whose words are known. One that hears other words is not served."""

from __future__ import annotations

from functools import partial

from lingting.audio.recording import Recording
from lingting.domain import Account, Samples, Seconds
from lingting.errors import ModelError, RecognitionFailed
from lingting.recognition.engine import Need, OfflineEngine, Request
from lingting.recognition.scheduler import Scheduler, Task
from lingting.recognition.selfcheck import alike
from lingting.recognition.speakers import SpeakerEngine
from lingting.text.script import convert

_ACCOUNT = Account("warm-up")
_LONGEST: Seconds = 120.0


def warm(scheduler: Scheduler, engine: OfflineEngine, samples: Samples, text: str, *, knows: bool) -> None:
    """Let an engine hear speech, which also loads what is loaded on first use. Blocks.

    Args:
        scheduler: owner of compute.
        engine: the engine.
        samples: the speech, shape (n,), float32 at 16 kHz, in Chinese.
        text: what is said in it.
        knows: whether the model is known to write Chinese, so that its text is compared.

    Raises:
        ModelError: it failed, took two minutes, or heard something else; the message says what to do.
    """
    begin = partial(engine.begin, Request(samples, Need.BEST, language="zh", times=False))
    task = Task(engine, begin, _ACCOUNT, kind="warm-up")
    try:
        heard = scheduler.submit(task).result(_LONGEST)
    except TimeoutError:
        task.future.cancel()
        raise _unfit(engine.name, f"was not done with a sentence after {_LONGEST:g} s") from None
    except Exception as error:
        if isinstance(error, RecognitionFailed):
            error = error.__cause__ if isinstance(error.__cause__, Exception) else error
        raise _unfit(engine.name, f"failed on the first sentence ({error})") from error
    written = convert(heard.text, "simplified") if heard else ""
    if knows and not alike(written, text):
        raise _unfit(engine.name, f"heard {written!r} where {text!r} is said")


def warm_speakers(scheduler: Scheduler, engine: SpeakerEngine, samples: Samples) -> None:
    """Let an engine tell the speakers of some speech apart; who they are is not compared. Blocks.

    Raises:
        ModelError: it failed, or took two minutes.
    """
    task = Task(engine, partial(engine.begin, Recording.of_samples(samples), 0), _ACCOUNT, kind="warm-up")
    try:
        scheduler.submit(task).result(_LONGEST)
    except Exception as error:
        why = error.__cause__ or error
        raise ModelError(
            f"{why}; unset LINGTING_SEGMENTATION_MODEL and LINGTING_SPEAKER_MODEL, or mend them"
        ) from error


def _unfit(name: str, what: str) -> ModelError:
    return ModelError(
        f"the model {name} {what}, so it is not served; look at it with `lingting models check {name}` and "
        f"`lingting models verify {name}`, install it anew, or serve another"
    )
