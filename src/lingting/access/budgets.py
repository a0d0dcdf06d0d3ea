"""Audio budgets: seconds that a tenant may have recognised in a day and in a month (UTC)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from lingting.access.principal import Principal
from lingting.settings import Settings

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Budget:
    """The budget of one day or month.

    Attributes:
        period: `2026-11-21` or `2026-11`.
        limit: seconds of audio that may be charged in it.
        spent: seconds charged so far, as far as this node knows.
    """

    period: str
    limit: int
    spent: float

    def holds(self, held: float, seconds: float) -> bool:
        """Whether there is room for so many seconds more, where `held` are set aside besides what is spent."""
        taken = self.spent + held
        return taken < self.limit and taken + seconds <= self.limit + _ROUNDING

    @property
    def unit(self) -> str:
        """ "day" or "month"."""
        return "day" if len(self.period) > len("2026-11") else "month"

    def seconds_left(self, now: float) -> float:
        """Seconds from a moment in Unix seconds until the period is over."""
        if self.unit == "day":
            return 86400 - now % 86400
        today = datetime.fromtimestamp(now, UTC)
        year, month = (today.year + 1, 1) if today.month == 12 else (today.year, today.month + 1)
        return math.ceil(datetime(year, month, 1, tzinfo=UTC).timestamp() - now)


def limits_of(principal: Principal, settings: Settings) -> tuple[int, int]:
    """Seconds of audio per day and per month that a tenant may use; 0 sets no limit."""
    own = principal.limits
    return (
        settings.audio_seconds_per_day if own.audio_seconds_per_day is None else own.audio_seconds_per_day,
        settings.audio_seconds_per_month if own.audio_seconds_per_month is None else own.audio_seconds_per_month,
    )


def budgets(limits: tuple[int, int], spent: tuple[float, float], today: str) -> list[Budget]:
    """The budgets that limit a tenant, where `limits` and `spent` are those of the day and of the month."""
    periods = (today, today[: len("2026-11")])
    return [Budget(*each) for each in zip(periods, limits, spent, strict=True) if each[1]]
