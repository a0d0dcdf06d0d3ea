"""The one owner of compute: all work of all engines goes through it, on as many lanes as there are cores.

It knows nothing of models: a task is begun when its turn comes, which gives a work; the engine steps the work, alone or
with others of its group, until it is heard. The order is by deadline, counted from when the oldest sound of a task
arrived, so that no speaker waits much longer than another; an account that has had more than its fair share goes behind
those that have not (`recognition/fairness.py`). Background tasks leave a lane to live ones while there are any.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial

from lingting import log_ids
from lingting.domain import Account, Seconds
from lingting.errors import EngineRestarted, RecognitionFailed
from lingting.recognition.engine import Engine, Heard, Outcome, Work
from lingting.recognition.fairness import Shares
from lingting.recognition.load import LiveLoad
from lingting.recognition.observer import NOBODY, Observer

log = logging.getLogger(__name__)

LIVE_FOR: Seconds = 3.0
"""So long after its last live task the machine is taken to have live work."""

_GATHER: Seconds = 2.0
"""A batch with room waits for tasks like it that are late at most this much later."""

_LIVE_PENALTY: Seconds = 1.0

_ATTEMPTS = 2
"""How often a task may have been in a step that cost the engine its process."""

_LOOK_AGAIN: Seconds = 0.25
"""What was held back for live work is looked at again after this long."""

_STUCK: Seconds = 60.0
_STUCK_TIMES = 20.0
"""A lane is stuck after so long in one step, or so many times what such a task costs where that is more."""

_UNKNOWN = 0.25
"""What a task of a kind that was never done costs, as a share of the most expensive kind."""

_SMOOTHING = 0.1
_COST: Seconds = 0.2
"""Of a task of a kind that was never done."""


@dataclass(eq=False, slots=True)
class Task:
    """Something to recognise.

    Attributes:
        engine: whose work it is.
        begin: called on a lane when its turn comes, perhaps again when the engine was restarted; gives the first work,
            or None when the task is not wanted any more.
        account: who it is for.
        since: when its oldest sound arrived, by `time.monotonic`.
        within: seconds after `since` at which it is late.
        kind: an engine's tasks of equal kind will probably share batches, and cost about the same.
        live: somebody waits for the text while speaking.
        gives_way: such tasks become fewer when they come late, as each is about what has come since the one before.
        waits: until it is late, it waits for others to share its batch, if some are on the way.
        context: of the request that it is for, whose log id stands in every line about it.
    """

    engine: Engine
    begin: Callable[[], Work | None]
    account: Account = field(default_factory=Account)
    since: float = field(default_factory=time.monotonic)
    within: Seconds = 2.0
    kind: str = ""
    live: bool = False
    gives_way: bool = False
    waits: bool = False
    future: Future[Heard | None] = field(default_factory=Future)
    context: Context = field(default_factory=copy_context)

    @property
    def sort(self) -> tuple[str, str]:
        """Tasks of equal sort cost about the same: the engine and the kind."""
        return self.engine.name, self.kind

    @property
    def deadline(self) -> float:
        """When it is late, by `time.monotonic`."""
        return self.since + self.within


@dataclass(eq=False, slots=True)
class _Item:
    """A task on its way: what is to be done next; `alone` after a step that failed with company.

    It is in the queue since `queued`, by `time.monotonic`.
    """

    task: Task
    queued: float = field(default_factory=time.monotonic)
    work: Work | None = None
    alone: bool = False
    restarts: int = 0
    spent: Seconds = 0.0
    heard: Heard | None = None

    @property
    def together(self) -> bool:
        return self.work is not None and self.work.most > 1 and not self.alone

    def joins(self, other: _Item) -> bool:
        return (
            self.together
            and self.work is not None
            and other.work is not None
            and self.task.engine is other.task.engine
            and self.task.live == other.task.live
            and self.work.group == other.work.group
        )

    def may_join(self, other: _Item) -> bool:
        """Whether, once begun, it may share the other's batch."""
        return (
            not self.together
            and not self.alone
            and self.task.engine is other.task.engine
            and self.task.live == other.task.live
            and self.task.kind == other.task.kind
        )


class Scheduler:
    """Runs tasks on `lanes` threads. All methods are thread-safe."""

    def __init__(self, lanes: int, observer: Observer = NOBODY) -> None:
        self.lanes = lanes
        self._wake = threading.Condition()
        self._ready: list[_Item] = []
        self._running: list[_Item] = []
        self._shares = Shares(lanes)
        self._costs: dict[tuple[str, str], Seconds] = {}
        self._live_until = 0.0
        self._live = LiveLoad()
        self._heard_at = 0.0
        self._stepping: dict[int, tuple[float, tuple[str, str]]] = {}
        self._closed = False
        self._observer = observer
        self._threads = [
            threading.Thread(target=self._lane, name=f"compute-{index}", daemon=True) for index in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task) -> Future[Heard | None]:
        """Queue a task. The future gives None when the task was not wanted any more; cancelling it drops the task.

        Raises (through the future):
            RecognitionFailed: the engine failed on it, or the server is stopping.
        """
        with self._wake:
            if self._closed:
                task.future.set_exception(RecognitionFailed("the server is stopping"))
                return task.future
            if task.live:
                self._live_until = time.monotonic() + LIVE_FOR
            self._shares.enter(task.account)
            self._ready.append(_Item(task))
            self._wake.notify()
        return task.future

    def expect_live(self) -> None:
        """Somebody began to speak: background tasks leave a lane from now on."""
        with self._wake:
            self._live_until = time.monotonic() + LIVE_FOR

    @property
    def queued(self) -> int:
        """Tasks that wait for a lane."""
        return len(self._ready)

    @property
    def queued_by_kind(self) -> dict[str, int]:
        """The same for each kind of task; a kind that was done once is in it with 0."""
        with self._wake:
            counts = dict.fromkeys((kind for _, kind in self._costs), 0)
            for item in self._ready:
                counts[item.task.kind] = counts.get(item.task.kind, 0) + 1
        return counts

    @property
    def busy(self) -> bool:
        """Whether more waits than the lanes can begin at once, so that nothing should be computed on a chance."""
        return self.queued > self.lanes

    def predicted_wait(self, account: Account | None = None, *, live: bool = False) -> Seconds:
        """Seconds until a task of this account would start, from what is queued and what such tasks cost lately.

        Flows take turns, so a flow's backlog counts as one task; tenants take turns, so another tenant counts for as
        much as the account's own, and one task more, at most. A `live` task waits for live ones only.
        """
        account = account or Account()
        flows: dict[Account, Seconds] = {}
        with self._wake:
            for item in self._ready:
                if item.task.live or not live:
                    left = max(0.0, self._costs.get(item.task.sort, _COST) - item.spent)
                    flows[item.task.account] = max(flows.get(item.task.account, 0.0), left)
        tenants: dict[str, Seconds] = defaultdict(float)
        for flow, left in flows.items():
            tenants[flow.tenant] += left
        own = tenants.pop(account.tenant, 0.0)
        turn = own + max(flows.values(), default=0.0)
        return (own + sum(min(left, turn) for left in tenants.values())) / self.lanes

    def cost(self, engine: Engine, kind: str) -> Seconds:
        """What a task of this kind of an engine costs one lane lately.

        Where none was done yet, a quarter of what the most expensive kind does: at first that is a part of a recording,
        and what live speech asks for is smaller. 0 where the engine did nothing yet.
        """
        known = self._costs.get((engine.name, kind))
        if known is not None:
            return known
        with self._wake:
            others = [cost for (name, _), cost in self._costs.items() if name == engine.name]
        return max(others, default=0.0) * _UNKNOWN

    def live_demand(self, within: Seconds) -> float:
        """Lanes that live work would keep busy if its text came `within` so many seconds, as there is lately."""
        lag = self.live_lag()
        with self._wake:
            return self._live.demand(lag, within, time.monotonic())

    def live_lag(self) -> Seconds:
        """How late live text is lately, on average: seconds from the arrival of the oldest sound of a task to its text.

        What waits for more than twice as long counts half.
        """
        now = time.monotonic()
        with self._wake:
            waiting = max((now - item.task.since for item in self._ready if item.task.live), default=0.0)
            return max(waiting / 2, self._live.lag(now))

    @property
    def heard_at(self) -> float:
        """When a task last ended with text, by `time.monotonic`; 0 before the first."""
        return self._heard_at

    def stuck(self) -> int:
        """Lanes that are in one step for far longer than its work can take; only a restart frees them."""
        now = time.monotonic()
        with self._wake:
            return sum(
                now - began > max(_STUCK, _STUCK_TIMES * self._costs.get(sort, 0.0))
                for began, sort in self._stepping.values()
            )

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        for thread in self._threads:
            thread.join()

    # -- lanes --------------------------------------------------------------------------------------------------------

    def _lane(self) -> None:
        while True:
            with self._wake:
                while not (batch := self._take()):
                    if self._closed and not self._ready and not self._running:
                        self._wake.notify_all()
                        return
                    self._wake.wait(_LOOK_AGAIN if self._ready else None)
                self._running += batch
                began = time.monotonic()
                self._stepping[threading.get_ident()] = began, batch[0].task.sort
            if batch[0].work is None:
                self._observer.waited(batch[0].task.kind, began - batch[0].task.since)
            with log_ids.about(log_ids.joined(log_ids.of(item.task.context) for item in batch)):
                outcomes = self._step(batch)
            now = time.monotonic()
            failed = any(outcome is not None and outcome.error is not None for outcome in outcomes)
            self._observer.stepped(batch[0].task.engine.name, len(batch), now - began, failed=failed)
            for item in batch:
                kind, engine = item.task.kind, item.task.engine.name
                passed = partial(self._observer.passed, item.task.context, kind=kind, engine=engine, works=len(batch))
                passed("queue", item.queued, began)
                passed("engine", began, now)
            cost = (now - began) / len(batch)
            with self._wake:
                del self._stepping[threading.get_ident()]
                done = [
                    (item, outcome)
                    for item, outcome in zip(batch, outcomes, strict=True)
                    if self._settle(item, outcome, cost, now) and outcome is not None
                ]
                self._wake.notify_all()
            for item, outcome in done:
                with log_ids.about(log_ids.of(item.task.context)):
                    _resolve(item, outcome)

    def _take(self) -> list[_Item]:
        """What to do next: one item, or several to step together; empty when there is nothing."""
        now = time.monotonic()
        self._drop_cancelled()
        full = now < self._live_until and sum(not item.task.live for item in self._running) >= max(1, self.lanes - 1)
        items = [item for item in self._ready if item.task.live or not full]
        if not items:
            return []
        late = {item: self._late(item.task, now) for item in items}
        free = [item for item in items if not self._waits(item, items, now)] or items
        first = min(free, key=late.__getitem__)
        if not first.together:
            batch = [first]
        else:
            assert first.work is not None
            batch = sorted((item for item in items if item.joins(first)), key=late.__getitem__)[: first.work.most]
            if len(batch) < first.work.most:
                gathered = [i for i in items if i.may_join(first) and late[i] <= late[first] + _GATHER]
                if gathered:
                    batch = [min(gathered, key=late.__getitem__)]
        for item in batch:
            self._ready.remove(item)
        return batch

    def _late(self, task: Task, now: float) -> float:
        """When a task is late, its account's share counted.

        Live flows cannot have much more than their share, as nobody speaks faster than time goes: among those of a
        tenant the age of the sound decides, and a share that was passed costs a second at most.
        """
        if not task.live:
            return max(task.since, self._shares.earliest(task.account)) + task.within
        tenant, flow = self._shares.leads(task.account, now)
        return task.deadline + tenant + min(flow, _LIVE_PENALTY)

    def _drop_cancelled(self) -> None:
        gone = [item for item in self._ready if item.task.future.cancelled()]
        for item in gone:
            self._ready.remove(item)
            self._shares.leave(item.task.account)

    def _waits(self, item: _Item, items: Sequence[_Item], now: float) -> bool:
        """Whether an item waits for company that is on the way, here or on a lane."""
        return (
            item.together
            and item.task.waits
            and item.task.deadline > now
            and any(other.may_join(item) for other in (*items, *self._running))
        )

    def _step(self, batch: list[_Item]) -> Sequence[Outcome | None]:
        """The outcomes of a step; None for an item that goes back to the queue as it is."""
        first = batch[0]
        try:
            if first.work is None:
                first.work = first.task.begin()
                if first.work is None:
                    return [Outcome()]
                if first.together:
                    return [None]
            return first.task.engine.step([item.work for item in batch if item.work is not None])
        except EngineRestarted as error:
            log.warning("%s; %d works begin again", error, len(batch))
            for item in batch:
                item.work = None
                item.restarts += error.guilty
                item.alone = item.alone or error.guilty
            return [None if item.restarts < _ATTEMPTS else Outcome(error=error) for item in batch]
        except Exception as error:
            if len(batch) == 1:
                return [Outcome(error=error)]
            log.warning("a step of %d works failed; each is tried alone", len(batch), exc_info=True)
            for item in batch:
                item.alone = True
            return [None] * len(batch)

    def _settle(self, item: _Item, outcome: Outcome | None, cost: Seconds, now: float) -> bool:
        """Book a step and queue what is left to do; whether the task is done."""
        task = item.task
        self._running.remove(item)
        self._shares.charge(task.account, cost, now)
        item.spent += cost
        if task.live:
            self._live.worked(cost, now, gives_way=task.gives_way)
        if outcome is None or outcome.more is not None:
            if outcome is not None:
                item.work = outcome.more
                item.heard = outcome.heard or item.heard
            item.queued = now
            self._ready.append(item)
            return False
        self._shares.leave(task.account)
        heard = outcome.heard or item.heard
        if outcome.error is None and heard is not None and heard.text:
            self._heard_at = now
        if item.work is not None:
            known = self._costs.get(task.sort, item.spent)
            self._costs[task.sort] = known + _SMOOTHING * (item.spent - known)
            if task.live:
                self._live.told(now - task.since, now)
        return True


def _resolve(item: _Item, outcome: Outcome) -> None:
    future = item.task.future
    if not future.set_running_or_notify_cancel():
        return
    if outcome.error is None:
        future.set_result(outcome.heard or item.heard)
        return
    log.error("the engine %s failed", item.task.engine.name, exc_info=outcome.error)
    failure = RecognitionFailed("the engine failed")
    failure.__cause__ = outcome.error
    future.set_exception(failure)
