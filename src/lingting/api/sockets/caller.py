"""Who speaks on a connection: what they may open, and what they pay."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

from lingting.access.errors import LimitExceeded
from lingting.access.leases import Reservation
from lingting.access.principal import Principal
from lingting.api.http.context import Backend
from lingting.api.http.models import chosen
from lingting.api.sockets.live import LiveOptions, LiveSession
from lingting.domain import Seconds
from lingting.served_models import ServedModels
from lingting.settings import Settings

_BLOCK: Seconds = 5.0
"""Audio is charged so much at a time and ahead, so that a budget is not asked for every frame."""


class Caller:
    """An authenticated caller on one connection. Event loop only.

    Args:
        service: what recognises.
        principal: who it is.
        interface: the protocol, by which usage is counted.
    """

    def __init__(self, service: Backend, principal: Principal, interface: str) -> None:
        self._service = service
        self._interface = interface
        self._paid: Seconds = 0.0
        self._used: Seconds = 0.0
        self._reservation: Reservation | None = None
        self._kept: AbstractContextManager[object] | None = None
        self.principal = principal
        self.model = ""
        """Whose text the caller gets, once `choose` is done."""

    @property
    def settings(self) -> Settings:
        """The settings of the server."""
        return self._service.settings

    @property
    def served(self) -> ServedModels:
        """The models that may be asked for."""
        return self._service.models

    @property
    def hot_words(self) -> tuple[str, ...]:
        """The caller's own hot words."""
        return self.principal.hot_words

    async def choose(self, asked: str = "") -> None:
        """Choose the model by the name that the caller sends, empty for the default one; it stays until `settle`.

        Raises:
            UnknownModel, ModelForbidden: it is not there, or not for this caller.
            ModelLoading: it is not loaded yet.
        """
        name = await chosen(self._service, self.principal, self._interface, asked)
        kept = self._service.hold_model(name)
        kept.__enter__()
        self._let_go()
        self._kept, self.model = kept, name

    def open_live(self, options: LiveOptions) -> LiveSession:
        """A live session; raises Overloaded."""
        recognition = replace(options.recognition, model=self.model)
        return self._service.open_live(self.principal, recognition, options.endpoint)

    async def pay(self, seconds: Seconds) -> None:
        """Charge audio that comes now.

        Raises:
            LimitExceeded: the tenant's budget has no room for it.
        """
        owed = self._used + seconds - self._paid
        if owed > 0 or not self._paid:
            try:
                await self._charge(max(_BLOCK, owed))
            except LimitExceeded:
                if not 0 < owed < _BLOCK:
                    raise
                await self._charge(owed)  # the last of a budget
        self._used += seconds

    def settle(self) -> None:
        """Take back what was charged ahead, at the end of the connection, and give up the model."""
        self._let_go()
        ahead, self._paid = self._paid - self._used, self._used
        if ahead > 0 and self._reservation is not None:
            self._reservation.charge(-ahead)

    def _let_go(self) -> None:
        """Give up the model; an exit stack for it would cost every idle connection a kilobyte."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.__exit__(None, None, None)

    async def _charge(self, seconds: Seconds) -> None:
        limits = self._service.access.limits
        with await limits.reserve_audio(
            self.principal, seconds, interface=self._interface, model=self.model
        ) as self._reservation:
            self._reservation.charge(seconds)
            self._paid += seconds
