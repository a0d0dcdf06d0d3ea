"""Helpers of the tests of access: a clock to turn, and credentials in one call."""

from __future__ import annotations

from dataclasses import dataclass

from lingting.access import Access, Principal, Usage
from lingting.access.directory import Directory
from lingting.access.principal import DEFAULT_SCOPES
from lingting.access.records import CreatedApp, CreatedKey, NewCredential

START = 1_800_000_000.5


class Clock:
    """Unix seconds, and seconds that only go forward, that only a test moves."""

    def __init__(self, now: float = START) -> None:
        self.now = now
        self.elapsed = 1000.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.elapsed

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
        self.elapsed += seconds

    def reset(self, seconds: float) -> None:
        """Set the time of day forward or back, while no time passes."""
        self.now += seconds


@dataclass
class Door:
    """A server's access, the operator who manages it from another process, and the clock of both."""

    access: Access
    operator: Directory
    clock: Clock

    def app(self, name: str = "app", **fields: object) -> CreatedApp:
        return self.operator.create_app(new(name, **fields))

    def key(self, name: str = "key", **fields: object) -> CreatedKey:
        return self.operator.create_key(new(name, **fields))

    async def token(self, app: CreatedApp) -> str:
        return (await self.access.issue_token(app.app.id, app.app_secret)).token


def new(name: str, **fields: object) -> NewCredential:
    values: dict[str, object] = {"tenant": "default", "scopes": DEFAULT_SCOPES, **fields}
    return NewCredential(name, **values)  # type: ignore[arg-type]


def record(
    usage: Usage, who: Principal, interface: str, model: str, audio_seconds: float, *, error: bool = False
) -> None:
    """Count a request with its audio, as an interface does in two steps."""
    usage.charge(who, interface, model, audio_seconds)
    usage.record(who, interface, model, error=error)
