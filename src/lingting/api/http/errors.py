"""How a protocol says what went wrong: one table each, from the type of an error to a row of the protocol's answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from lingting.access.errors import LimitExceeded, TooManyFailures
from lingting.errors import LingtingError, Overloaded, StreamBehind

RowT = TypeVar("RowT")


class ErrorTable(Generic[RowT]):
    """Rows by type of error. An error that has no row of its own takes that of the nearest class it derives from.

    Args:
        rows: for each type of error what makes its row; it is called with the error.
        other: the row of every error that is not in `rows`.
    """

    def __init__(self, rows: Mapping[type[Exception], Callable[[Any], RowT]], other: RowT) -> None:
        self._rows = rows
        self._other = other

    def row(self, error: Exception) -> RowT:
        """The row of an error."""
        for kind in type(error).__mro__:
            if (make := self._rows.get(kind)) is not None:
                return make(error)
        return self._other


class Unforeseen(LingtingError):
    """The request failed for a reason that nobody foresaw; callers are not told which."""

    def __init__(self) -> None:
        super().__init__("the server failed on this request; try again")


def always(row: RowT) -> Callable[[object], RowT]:
    """What gives the same row for every error of a type."""
    return lambda _: row


def wait_of(error: Exception) -> float | None:
    """Seconds after which trying again makes sense, where the error knows; what `Retry-After` is made of."""
    match error:
        case LimitExceeded():
            return error.reset_seconds
        case TooManyFailures() | Overloaded() | StreamBehind():
            return error.retry_after
    return None


def retry_after(seconds: float) -> str:
    """A `Retry-After` value: whole seconds, at least one."""
    return str(max(1, -int(-seconds // 1)))


def retry_header(error: Exception) -> dict[str, str]:
    """`Retry-After` for an error that knows when to come again, else nothing."""
    wait = wait_of(error)
    return {} if wait is None else {"Retry-After": retry_after(wait)}
