"""The homes as a door sees them: who is there, whom it trusts, which one a new stream gets, and the links to them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections import Counter
from collections.abc import Collection
from contextvars import Context

from lingting.cluster.connecting import dial
from lingting.cluster.directory import LOOK_SECONDS, Directory, HomeState, Place
from lingting.cluster.handshake import HomeGone, LinkError
from lingting.cluster.link import Link
from lingting.errors import Overloaded
from lingting.streams.journal import JournalError

DISTRUST_SECONDS = 3.0
"""An address that broke a connection or did not answer is passed over for so long."""
_NEAR = 0.1
"""Homes whose load is above the least by no more than this share are as good."""

log = logging.getLogger(__name__)


class Homes:
    """Event loop only.

    Args:
        directory: where homes are registered.
        secret: of the cluster.
        node: name of this door.

    Attributes:
        breaks: connections that broke, or whose home did not answer.
    """

    def __init__(self, directory: Directory, secret: bytes, node: str) -> None:
        self._directory = directory
        self._secret = secret
        self._node = node
        self._states: dict[str, HomeState] = {}
        self._given: Counter[str] = Counter()
        self._links: dict[str, Link] = {}
        self._dialling: dict[str, asyncio.Task[Link]] = {}
        self._distrusted: dict[str, float] = {}
        self._looking: asyncio.Task[None] | None = None
        self.breaks = 0

    def __len__(self) -> int:
        return len(self._states)

    @property
    def links(self) -> int:
        """Connections to homes that are open."""
        return sum(link.lost is None for link in self._links.values())

    @property
    def states(self) -> list[HomeState]:
        """The homes that are there."""
        return list(self._states.values())

    async def start(self) -> None:
        """Look for homes now, and from now on."""
        await self._look()
        self._looking = asyncio.create_task(self._look_forever(), name="cluster-homes")

    async def stop(self) -> None:
        """Let go of all links."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        for link in self._links.values():
            link.close()

    def trusts(self, address: str) -> bool:
        """Whether an address has answered, as far as is known."""
        return self._distrusted.get(address, 0.0) <= time.monotonic()

    def distrust(self, address: str, error: LinkError) -> None:
        """An address does not answer."""
        if self.trusts(address):
            self.breaks += 1
            log.warning("home at %s is passed over for %g s: %s", address, DISTRUST_SECONDS, error)
        self._distrusted[address] = time.monotonic() + DISTRUST_SECONDS

    def better(self, place: Place, avoid: Collection[str]) -> bool:
        """Whether a home that is not trusted should lose a stream to another."""
        others = {*avoid, place.owner}
        return not self.trusts(place.address) and any(
            self.trusts(home.address) and home.id not in others and not self._leaves(home)
            for home in self._states.values()
        )

    def choose(self, name: str, avoid: Collection[str] = ()) -> HomeState:
        """The home that gets a new stream of this name: by rendezvous hashing among the least loaded.

        Args:
            name: of the stream.
            avoid: ids of homes that have refused it.

        Raises:
            Overloaded: there is none.
        """
        usable = self._usable(avoid)
        least = min(self._load(home) for home in usable)
        near = [home for home in usable if self._load(home) <= least * (1 + _NEAR) + 1 / home.lanes]
        chosen = max(near, key=lambda home: hashlib.blake2b(f"{home.id}/{name}".encode(), digest_size=8).digest())
        self._given[chosen.id] += 1
        return chosen

    def least_wait(self, avoid: Collection[str] = ()) -> HomeState:
        """The home in which a recording waits least; raises as `choose`."""
        usable = self._usable(avoid)
        chosen = min(usable, key=lambda home: (home.wait, self._load(home)))
        self._given[chosen.id] += 1
        return chosen

    def _usable(self, avoid: Collection[str]) -> list[HomeState]:
        """Homes that are trusted, else those that are there at all."""
        there = [home for home in self._states.values() if home.id not in avoid and not self._leaves(home)]
        if not there:
            raise Overloaded("no home of the cluster takes new work now; try again shortly", 1.0)
        return [home for home in there if self.trusts(home.address)] or there

    async def link(self, address: str, owner: str) -> Link:
        """The link to the home `owner` at an address; it is made where there is none.

        Raises:
            LinkError: nobody answers there; HomeGone where another home does.
        """
        link = self._links.get(address)
        if link is None or link.lost is not None:
            link = await self._dial(address)
        if link.peer != owner:
            raise HomeGone(f"{owner} is gone from {address}")
        return link

    async def _dial(self, address: str) -> Link:
        dialling = self._dialling.get(address)
        if dialling is None:
            # in a context of its own: the link outlives the request that needs it first
            work = dial(address, self._secret, self._node)
            dialling = asyncio.get_running_loop().create_task(work, context=Context())
            self._dialling[address] = dialling
            dialling.add_done_callback(lambda _: self._dialling.pop(address, None))
        link = self._links[address] = await asyncio.shield(dialling)
        return link

    def _leaves(self, home: HomeState) -> bool:
        """Whether a home has said that it stops, or its connection broke since it was seen."""
        link = self._links.get(home.address)
        return link is not None and link.peer == home.id and (link.leaving or link.lost is not None)

    def _load(self, home: HomeState) -> float:
        return (home.live + self._given[home.id]) / home.lanes

    async def _look_forever(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        with contextlib.suppress(JournalError):
            self._states = {state.id: state for state in await self._directory.look()}
            self._given.clear()
        now = time.monotonic()
        self._distrusted = {address: until for address, until in self._distrusted.items() if until > now}
        for address, link in list(self._links.items()):
            if link.lost is not None:
                del self._links[address]
