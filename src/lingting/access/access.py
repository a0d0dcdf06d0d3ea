"""Access: who a bearer is, tokens for apps, and the limits and usage of tenants."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as SilentDatabase

from lingting.access import credentials, lookup, tokens
from lingting.access.database import CHECK_SECONDS, Changes, Database
from lingting.access.directory import Directory
from lingting.access.errors import AccessUnavailable, InvalidCredential, UnknownApp, UserToken, WrongSecret
from lingting.access.invitations import Invitations
from lingting.access.limits import Limits
from lingting.access.lookup import Grant
from lingting.access.principal import Principal
from lingting.access.records import CreatedApp, CreatedKey
from lingting.access.refusals import Refusals
from lingting.access.signing import SigningKeys
from lingting.access.time_of_day import TimeOfDay
from lingting.access.usage import Usage
from lingting.settings import Settings

CALL_SECONDS = 5.0
"""The longest that a caller waits for the database, queues and all."""
KNOWN_SECONDS = 3600.0
"""How long credentials in memory go on working while the database does not answer."""

_TRANSACTION_SECONDS = 4.0
_REFRESH_SECONDS = 0.5
_OUTAGE_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 0.05
_ANSWER_SECONDS = 1.5
_ASK_AGAIN_SECONDS = 1.0
_THREADS = 4
_CACHED_GRANTS = 10_000
_LONGEST_BEARER = 512
_logger = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A tenant access token and for how many seconds it is good."""

    token: str = field(repr=False)
    expires_in: int


class Access:
    """Authenticates callers against the database of tenants; every async method belongs to the event loop.

    What was looked up stays in memory until the database changes, which costs microseconds to find out, so a
    credential that another process disables is refused from the next request on (on databases other than SQLite, a
    quarter of a second later). While the database does not answer, credentials in memory go on working for
    `KNOWN_SECONDS`, with at most half a second's delay, and others raise AccessUnavailable within `CALL_SECONDS`.

    Attributes:
        directory: management of tenants, apps and keys; synchronous, so not for the event loop.
        limits: rates, places and budgets of tenants.
        usage: what tenants used.
        invitations: codes that sign in on the page once.
        outages: how often the database did not answer, and memory stood in for it or callers were refused.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float] = time.time,
        check_seconds: float = CHECK_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is opened yet.

        Args:
            settings: the database, where limits are counted, and the limits.
            clock: Unix seconds, for expiry and days.
            check_seconds: how often to look for changes in databases that cannot tell cheaply; 0 is every request.
            monotonic: seconds that only go forward, for windows and leases.
        """
        self._clock = clock
        self._monotonic = monotonic
        self._time_of_day = TimeOfDay(clock, monotonic)
        self._check_seconds = check_seconds
        self._database = Database(settings.database, _TRANSACTION_SECONDS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="lingting-access")
        # What everybody waits for does not wait behind look-ups of unknown credentials.
        self._own_threads = ThreadPoolExecutor(2, thread_name_prefix="lingting-access-own")
        self._grants: dict[bytes, Grant] = {}
        self._refusals = Refusals(monotonic)
        self._changes: Changes | None = None
        self._seen: tuple[int, int] | None = None
        self._silent_since: float | None = None
        self._asking: asyncio.Task[bool] | None = None
        self._asked_at = -inf
        self.outages = 0
        self._skip_until = self._look_again_at = -inf
        self._generation = -1
        self._refreshing: asyncio.Task[None] | None = None
        self._signing_keys = SigningKeys()
        self.directory = Directory(self._database, clock)
        self.usage = Usage(self._database, self._run, clock, monotonic)
        self.limits = Limits(settings, self.usage, clock, monotonic)
        self.invitations = Invitations(self.directory, clock, monotonic)

    async def start(self) -> None:
        """Open the database, bring it up to date, and begin to write usage.

        Raises:
            DatabaseError: the database cannot be opened; the message says what to do.
        """
        await asyncio.get_running_loop().run_in_executor(self._own_threads, self._database.open)
        self._generation, self._signing_keys = await self._run(lookup.state_of, self._database)
        self._changes = await self._run(Changes, self._database, self._check_seconds)
        await self.usage.start()
        await self.limits.start()

    async def close(self) -> None:
        """Write what was counted and let everything go; harmless when `start` failed or never ran."""
        if self._changes is not None:
            await self.limits.close()
            await self.usage.close()
            if self._refreshing is not None:
                await asyncio.gather(self._refreshing, return_exceptions=True)
            self._changes.close()
            self._changes = None
        for threads in (self._threads, self._own_threads):
            await asyncio.to_thread(threads.shutdown)
        self._database.close()

    async def authenticate(self, bearer: str) -> Principal:
        """Who sends this tenant access token or API key.

        Raises:
            InvalidCredential: nobody, or nobody any more.
            UserToken: it is a user's token.
            AccessUnavailable: the database does not answer and the credential is not in memory.
        """
        if bearer.startswith(("u-", "eyJ")):
            raise UserToken("user tokens are not accepted here; use a tenant access token or an API key")
        if len(bearer) > _LONGEST_BEARER:
            raise InvalidCredential("the bearer is too long to be a token or an API key", "malformed")
        digest = hashlib.sha256(bearer.encode("utf-8", "surrogatepass")).digest()
        if digest in self._grants or self._refusals.find(digest):
            await self._refresh(_REFRESH_SECONDS)
        if (refusal := self._refusals.find(digest)) is not None:
            raise refusal
        grant = self._grants.get(digest)
        if grant is None or grant.valid_until <= self._clock() or self._silent_for() > KNOWN_SECONDS:
            grant = await self._answered(self._refusing(digest, partial(self._look_up, bearer, digest)))
        self.usage.touch(grant.principal)
        return grant.principal

    async def issue_token(self, app_id: str, app_secret: str, address: str = "") -> IssuedToken:
        """The tenant access token of an app: the same one while 30 minutes or more of it remain, else a fresh one.

        `address` is where the login came from: failures are counted for it. The right secret always passes.

        Raises:
            UnknownApp: no enabled app has this id.
            WrongSecret: the secret is another.
            TooManyFailures: either of the two, too often.
            AccessUnavailable: the database does not answer.
        """
        try:
            if not credentials.is_app_id(app_id):
                raise UnknownApp("an app_id is cli_ and 16 hexadecimal digits; `lingting apps list` shows all")
            return await self._log_in(app_id, credentials.hashed(app_secret))
        except UnknownApp:
            await self.limits.login_failed("?", address)  # one count for all names: there are too many to count each
            raise
        except WrongSecret:
            await self.limits.login_failed(app_id, address)
            raise

    async def create_demo(self) -> tuple[CreatedApp, CreatedKey] | None:
        """The first start's app and key with their secrets; None when this database ever had any."""
        made: tuple[CreatedApp, CreatedKey] | None = await self._run(self.directory.create_demo)
        return made

    async def _log_in(self, app_id: str, secret_hash: str) -> IssuedToken:
        digest = hashlib.sha256(f"{app_id} {secret_hash}".encode()).digest()
        if self._refusals.find(digest) is not None:
            await self._refresh(_REFRESH_SECONDS)
        if (refusal := self._refusals.find(digest)) is not None:
            raise refusal
        query = partial(self._query, lookup.log_in, app_id, secret_hash, self._clock())
        token, expires_in = await self._answered(self._refusing(digest, query))
        return IssuedToken(token, expires_in)

    async def _refusing(self, digest: bytes, work: Callable[[], Awaitable[_T]]) -> _T:
        """The result of a look-up; a refusal is remembered unless credentials changed meanwhile."""
        await self._refresh()
        before = self._generation, self._database.changes
        try:
            return await work()
        except (InvalidCredential, UnknownApp, WrongSecret) as error:
            lasting = not isinstance(error, InvalidCredential) or error.reason != "expired"  # by a clock that is behind
            if lasting and before == (self._generation, self._database.changes):
                self._refusals.add(digest, error)
            raise

    async def _look_up(self, bearer: str, digest: bytes) -> Grant:
        self._grants.pop(digest, None)
        now, *before = self._time_of_day.readings()
        grant: Grant
        if bearer.startswith(credentials.KEY_PREFIX):
            grant = await self._query(lookup.by_key, digest.hex(), now)
        else:
            proven = self._signing_keys.decode(bearer, now)
            if proven is None and tokens.has_form(bearer) and self._may_look_again():
                self._seen = None  # another node may have signed it with a key that is too new to have been noticed
                await self._refresh()
                proven = self._signing_keys.decode(bearer, now)
            if proven is None:
                raise InvalidCredential("this is no tenant access token or API key of this server", "malformed")
            grant = await self._query(lookup.by_token, *proven, now, before)
        if grant.generation == self._generation:
            while len(self._grants) >= _CACHED_GRANTS:
                del self._grants[next(iter(self._grants))]
            self._grants[digest] = grant
        return grant

    async def answers(self) -> bool:
        """Whether the database answers a question within `_ANSWER_SECONDS`; asked again after a second at the soonest.

        Those who ask at the same time share the question, so that a silent database holds one thread.
        """
        now = self._monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at > _ASK_AGAIN_SECONDS):
            self._asking, self._asked_at = asyncio.create_task(self._ask()), now
        done, _ = await asyncio.wait({self._asking}, timeout=_ANSWER_SECONDS)
        return bool(done) and self._asking.result()

    async def _ask(self) -> bool:
        try:
            await self._run(lookup.state_of, self._database)
        except SQLAlchemyError:
            return False
        return True

    def _may_look_again(self) -> bool:
        """Whether to look for changes out of turn, which forged tokens may not make us do all the time."""
        now = self._monotonic()
        if self._changes is None or self._changes.exact or now < self._look_again_at:
            return False
        self._look_again_at = now + _LOOK_AGAIN_SECONDS
        return True

    async def _refresh(self, within: float | None = None) -> None:
        """Return once what is in memory is at least as new as this call, or the database is silent.

        `within`: wait no longer than so many seconds, and not at all while the database is known to be silent.
        """
        if self._changes is None:
            raise RuntimeError("Access is used before start() or after close()")
        for _ in range(2):  # a reload that was under way may have read too early; the next one has not
            version = (self._changes.version(), self._database.changes)
            if version == self._seen or self._monotonic() < self._skip_until:
                return
            if self._refreshing is None:
                self._refreshing = asyncio.create_task(self._reload(version))
                self._refreshing.add_done_callback(self._refreshed)
            if within is not None and self._silent_since is not None:
                return
            done, _ = await asyncio.wait({self._refreshing}, timeout=within)
            if not done:
                return

    def _refreshed(self, _task: asyncio.Task[None]) -> None:
        self._refreshing = None

    async def _reload(self, version: tuple[int, int]) -> None:
        try:
            generation, keys = await self._run(lookup.state_of, self._database)
        except SQLAlchemyError as error:
            self._is_silent(error)
            return
        self._silent_since = None
        if generation != self._generation:
            self._grants.clear()
            self._refusals.clear()
            self._generation, self._signing_keys = generation, keys
        self._seen = version

    async def _query(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._monotonic() < self._skip_until:
            raise _unavailable()
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, function, self._database, *arguments)
        except SQLAlchemyError as error:
            self._is_silent(error)
            raise _unavailable() from None

    async def _answered(self, work: Awaitable[_T]) -> _T:
        """The result of work on the database, in time for the caller."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await work
        except TimeoutError as error:
            self._is_silent(error)
            raise _unavailable() from None

    def _is_silent(self, error: Exception) -> None:
        _logger.warning("the database of credentials does not answer (%s)", type(error).__name__)
        now = self._monotonic()
        self._seen, self._skip_until = None, now + _OUTAGE_SECONDS
        self.outages += 1
        if self._silent_since is None:
            self._silent_since = now

    def _silent_for(self) -> float:
        return 0.0 if self._silent_since is None else self._monotonic() - self._silent_since

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in a thread; TimeoutError of SQLAlchemy when that takes longer than a caller may wait."""
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(self._own_threads, function, *arguments)
        except TimeoutError:
            raise SilentDatabase(f"the database did not answer within {CALL_SECONDS:g} s") from None


def _unavailable() -> AccessUnavailable:
    return AccessUnavailable("the database of credentials does not answer", retry_after=_OUTAGE_SECONDS)
