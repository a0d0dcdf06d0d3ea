"""Which request the running code works for: its log id, in a context variable, which tasks take over from one another.

A thread that works for a request takes it over with `about`. A step of an engine may work for several requests: then
it is their log ids with commas between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar

_current: ContextVar[str] = ContextVar("lingting.log_id", default="")


def current() -> str:
    """The log id of the request that the running code works for; empty where it works for none."""
    return _current.get()


def begin(log_id: str) -> None:
    """From here on the running task works for this request."""
    _current.set(log_id)


def of(context: Context) -> str:
    """The log id in a context that was copied; empty where it works for no request."""
    return context.get(_current, "")


def joined(log_ids: Iterable[str]) -> str:
    """Several as one, each once."""
    return ",".join(dict.fromkeys(log_id for log_id in log_ids if log_id))


@contextmanager
def about(log_id: str) -> Iterator[None]:
    """The code inside works for this request."""
    before = _current.set(log_id)
    try:
        yield
    finally:
        _current.reset(before)
