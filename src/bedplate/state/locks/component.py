"""Locks as a component."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from uuid_utils import uuid4

from bedplate.clock import SystemClock
from bedplate.component import BoundCounter, BoundGauge, Environment, Host, Spec
from bedplate.declarations import Action, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import DeclarationError, Refusal
from bedplate.state.locks.actions import actions_of
from bedplate.state.locks.attempt import ALIVE, Attempt
from bedplate.state.locks.cells import Cells
from bedplate.state.locks.debts import Debts
from bedplate.state.locks.errors import LockTakenError, LockUnavailableError, unavailable
from bedplate.state.locks.hold import Hold
from bedplate.state.locks.keeping import RENEW_AFTER, Keeping
from bedplate.state.locks.leader import Leader
from bedplate.state.locks.lock import Held, LockInfo, Place
from bedplate.state.locks.metrics import AVAILABLE, CANDIDATES, LEADERS, LEADING, LED, METRICS, alerts, panels
from bedplate.state.locks.operations import ACQUIRE, EXTEND, FORCE, LOOK, RELEASE, TRY
from bedplate.state.locks.settings import LocksSettings
from bedplate.state.locks.timers import Timers
from bedplate.state.reach import Reach
from bedplate.state.roles import forgetful
from bedplate.state.store import Store, StoreError, StoreUnavailableError

__all__ = ["Locks", "LocksSettings"]

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_ALONE = "Each process has locks of its own, so several may work on the same, and lead. Set REDIS_URL."
#: Seconds that a lock is taken for at least: below it, a garbage collection may lose it.
_LEAST = 0.1
_PLACES = 4096


class Locks:
    """Locks that all instances share: ``Locks(shared)``.

    .. code-block:: python

        async with locks.hold("portfolio:7", ttl=10, wait=5) as held:
            await portfolio.write(7, fence=held.fence)

    A lock goes to those who wait in the order in which they came, from all instances; nobody polls. It is renewed
    while it is held. A holder that cannot renew it in time is told before somebody else can have it, and its body is
    cancelled. It is not reentrant. A lock alone is no proof, since a process may be stopped at any moment and go on
    later: what is written to should refuse a fence that is smaller than one that it has seen.

    :param store: where locks are kept. :param name: which locks; two components of one store have their own.
    :param ttl: seconds for which a lock is taken and renewed, unless a caller says otherwise; at least 0.1.
    :param wait: seconds to wait for one.
    """

    def __init__(self, store: Store, name: str = "default", *, ttl: float = 10.0, wait: float = 5.0) -> None:
        if ttl < _LEAST or wait < 0:
            raise DeclarationError(f"Locks {name} have a ttl of {ttl} s.", f"Give at least {_LEAST} s.")
        self.store = store
        self.name = name
        self.ttl = ttl
        self.default_wait = wait
        self.now: Callable[[], float] = SystemClock().monotonic
        self.timers = Timers()
        self.waiting: dict[str, Attempt] = {}
        self.held: dict[str, Held] = {}
        self._leaders: dict[str, Leader] = {}
        self._places: dict[str, Place] = {}
        self._host: Host | None = None
        self._prefix = self._me = ""
        self._number = 0
        self._spec = Spec(
            kind="locks",
            name=name,
            summary="Lets one process at a time work on something, and elects leaders.",
            needs=(store,),
            settings=LocksSettings(ttl=ttl, wait=wait),
            scope="cluster",
            degradation=Degradation(
                policy="refuse",
                summary="Nobody gets a lock (503); holders that cannot renew are cancelled.",
                gauge=AVAILABLE(locks=name),
                alert="LocksUnavailable",
            ),
            metrics=tuple(metric(locks=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    def refusals(self, environment: Environment, settings: Mapping[str, Any]) -> Iterable[Refusal]:
        """Refuse a store that forgets."""
        return forgetful(self._spec.label, self.store, "locks")

    @property
    def running(self) -> bool:
        """Whether locks can be asked for."""
        return self._host is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Serve locks; at the end, those that are still held are given back and their holders told."""
        self._me = f"{socket.gethostname().replace('/', '-')}-{os.getpid()}-{uuid4().hex[:12]}"
        self._prefix = f"{host.service}:locks:{self.name}"
        self.now = time.monotonic if isinstance(host.clock, SystemClock) else host.clock.monotonic
        self.cells = Cells(host)
        self._reach = Reach(host, self._spec, alone=_ALONE)
        self.timers = Timers()
        self.debts = Debts(self.store, self.timers, self.now, self.handed)
        self.keeping = Keeping(self, host)
        self._places.clear()
        self._host = host
        listening = self.store.listen(f"{self._prefix}:to:{self._me}", self._heard, missed=self._missed)
        unwatch = self.store.watch(self._told)
        self._reach.show(self.store.available)
        host.spawn("keep", self.keeping.run)
        host.spawn("give-back", self.debts.run)
        host.spawn("count", self.keeping.count)
        try:
            yield
        finally:
            self._host = None
            unwatch()
            listening.close()
            await self._end()

    async def _end(self) -> None:
        self._missed()
        for held in list(self.held.values()):
            self.lose(held, "stopped")
        self.keeping.end()
        if len(self.debts):
            with suppress(StoreError):
                await self.debts.flush()

    def hold(self, name: str, *, ttl: float | None = None, wait: float | None = None, cancel: bool = True) -> Hold:
        """Hold a lock while inside, ``async with locks.hold("portfolio:7") as held``.

        :param ttl: seconds for which it is taken and renewed again and again: how long it stays taken when the holder
            dies. :param wait: seconds to wait for it; 0 to try once, ``math.inf`` for as long as it takes.
        :param cancel: cancel the body when the lock is lost, and raise LockLostError; else only ``held.lost`` is set.
        :raises LockTakenError: when somebody else held it all the time (409 in a request). :raises
            LockUnavailableError: when the store is away (503). :raises LockLostError: when it was lost (503).
        :raises LockHeldError: when this task holds it already.
        """
        return Hold(self, name, ttl, wait, cancel)

    async def acquire(self, name: str, *, ttl: float | None = None, wait: float | None = None) -> Held:
        """Take a lock that ``release`` gives back; prefer :meth:`hold`, which never forgets it.

        A caller who is cancelled while it waits has nothing: the lock or the turn is given back, also when the answer
        of the store comes later or never.

        :raises LockTakenError: when somebody else has it. :raises LockUnavailableError: when the store is away.
        """
        return await self.take(name, ttl, self.default_wait if wait is None else wait)

    async def try_acquire(self, name: str, *, ttl: float | None = None) -> Held | None:
        """Take a lock if nobody has it or waits for it; return None if somebody does.

        :raises LockUnavailableError: when the store is away.
        """
        try:
            return await self.take(name, ttl, 0.0)
        except LockTakenError:
            return None

    async def take(self, name: str, ttl: float | None, wait: float, leader: Leader | None = None) -> Held:
        """See :meth:`acquire`."""
        host = self._host
        if host is None:
            raise LockUnavailableError(name, "the component does not run.")
        ttl = self.ttl if ttl is None else ttl
        if ttl < _LEAST:
            raise ValueError(f"A lock is taken for at least {_LEAST} s, not {ttl}.")
        self._number += 1
        cells, place = self.cells, self._places.get(name) or self._place(name)
        token = f"{self._me}/{self._number}/{int(ttl * 1000)}"
        held = Held(self, place, token, ttl)
        asked = held.began
        try:
            reply = await self.store.run(ACQUIRE if wait > 0 else TRY, place.keys, (token,), parsed=held.answered)
            if reply[0]:
                held.have(int(reply[1]), asked)
            elif wait > 0:
                held.have(*await Attempt(self, held, leader).wait(wait, reply[1]))
            else:
                raise LockTakenError(name, 0.0)
        except BaseException as error:
            if isinstance(error, StoreError) and not isinstance(error, LockUnavailableError):
                if not (isinstance(error, StoreUnavailableError) and error.sent):
                    held.under_way = 0  # the first question has not left, or was refused
                self._none(held, error)
                raise unavailable(name, error) from error
            self._none(held, error)
            raise
        cells.acquired.inc()
        cells.waited.observe(self.now() - asked)
        held.leader = leader
        self.held[token] = place.holder = held
        self.timers.add(held, held.began + ttl * RENEW_AFTER)
        return held

    async def release(self, held: Held) -> bool:
        """Give a lock back to the next who waits; return whether it was ours until now."""
        if held.released or held.why:
            return False
        held.released = True
        self._forget(held)
        began = held.began = self.now()
        self.cells.holding.observe(began - held.since)
        try:
            reply = await self.store.run(RELEASE, held.place.keys, (held.token,), parsed=held.parsed)
        except BaseException as error:
            # It has ended by itself when its time is over, if the store does not hear of it before.
            self.debts.owe(held.place, held.token, began + held.ttl, certain=True)
            if isinstance(error, StoreError):
                return began < held.deadline
            raise
        if not reply[0]:
            held.tell("expired")
            self.cells.lost["expired"].inc()
        return bool(reply[0])

    async def extend(self, held: Held, ttl: float) -> None:
        """See :meth:`Held.extend <bedplate.state.locks.lock.Held.extend>`."""
        if ttl < _LEAST:
            raise ValueError(f"A lock is taken for at least {_LEAST} s, not {ttl}.")
        held.check()
        began = self.now()
        try:
            ours = await self.store.run(EXTEND, held.place.renewed, (held.token, int(ttl * 1000)))
        except BaseException as error:
            if getattr(error, "sent", True):
                self.keeping.doubted(held, began, ttl)
            if isinstance(error, StoreError):
                raise unavailable(held.name, error) from error
            raise
        if not ours:
            self.lose(held, "expired")
        else:
            held.ttl = ttl
            self.keeping.renewed(held, began, ttl)
        held.check()

    async def info(self, name: str) -> LockInfo:
        """Say who has a lock.

        :raises LockUnavailableError: when the store is away.
        """
        holder, left, fence, waiting = await self._ask(LOOK, name)
        free = holder is None
        instance = "" if free else holder.decode().rsplit("/", 2)[0]
        return LockInfo(name, instance, 0.0 if free else max(0, left) / 1000, fence, waiting)

    async def force(self, name: str) -> str:
        """Take a lock from whoever has it, and let the next one have it; return the instance that had it.

        Its body is cancelled, if it runs; whatever it still writes is refused where fences are checked.

        :raises LockUnavailableError: when the store is away.
        """
        holder = await self._ask(FORCE, name)
        return "" if holder is None else str(holder.decode().rsplit("/", 2)[0])

    def lease(self, name: str, *, ttl: float = 15.0) -> Leader:
        """Return the lease ``name`` for ``host.spawn(…, lease=locks.lease("digest"))``: one of all instances has it."""
        return self._leaders.setdefault(name, Leader(self, name, ttl=ttl))

    def overview(self) -> Mapping[str, Any]:
        """Return the locks of this process, and how many wait for one."""
        now = self.now() if self.running else 0.0
        held = sorted(self.held.values(), key=lambda one: one.since)
        return {
            "available": self.store.available,
            "held": {one.name: {"seconds": round(now - one.since, 1), "fence": one.fence} for one in held[:100]},
            "waiting": len(self.waiting),
            "notGivenBack": len(self.debts) if self.running else 0,
            "leads": sorted(one.name for one in self._leaders.values() if one.leading),
        }

    def actions(self) -> Sequence[Action]:
        """Return what operators may do: look at a lock, release one that is stuck."""
        return actions_of(self)

    # What the parts of the component ask of it.

    def give_up(self, wanted: Held) -> None:
        """See to it that a token has neither the lock nor a turn."""
        wanted.given_up = True
        until = self.now() + max(wanted.ttl, ALIVE) + 1.0
        self.debts.owe(wanted.place, wanted.token, until, certain=wanted.under_way == 0)

    def _none(self, wanted: Held, error: BaseException) -> None:
        self.give_up(wanted)
        self.cells.failed(error)

    def handed(self, reply: Any, began: float) -> None:
        """Give a lock to whom a release has handed it, when he is one of this process."""
        if len(reply) < 3:
            return
        token = reply[1].decode()
        attempt = self.waiting.get(token)
        if attempt is not None:
            attempt.grant(int(reply[2]), began)
        # Else it is another instance's, which is told, or nobody's any more, and has been given back meanwhile.

    def renew(self, held: Held, now: float) -> None:
        """Renew a lock whose time has come, or tell its holder that it is lost."""
        self.keeping.due(held, now)

    def lose(self, held: Held, why: str) -> None:
        """Tell a holder that its lock is lost, and give it back should it be there nevertheless."""
        if held.why or held.released:
            return
        self._forget(held)
        self.cells.lost[why].inc()
        if self._host is not None:
            self._host.log.warning("lock_lost", lock=held.name, fence=held.fence, why=why)
        self.debts.owe(held.place, held.token, self.now() + held.ttl, certain=True)
        held.tell(why)

    def _forget(self, held: Held) -> None:
        self.held.pop(held.token, None)
        self.timers.remove(held)
        if held.place.holder is held:
            held.place.holder = None

    def _place(self, name: str) -> Place:
        if not name:
            raise ValueError("A lock needs a name.")
        if len(self._places) >= _PLACES:
            self._places = {one: place for one, place in self._places.items() if place.holder is not None}
        place = self._places[name] = Place(name, self._prefix)
        return place

    def key(self, kind: str, name: str) -> str:
        """Return the key of something else that belongs to these locks."""
        return f"{self._prefix}:{kind}:{name}"

    def lease_cells(self, name: str) -> tuple[BoundGauge, BoundGauge, BoundGauge, BoundCounter]:
        """Return the cells of a lease.

        :raises LockUnavailableError: when the component does not run.
        """
        host = self._host
        if host is None:
            raise LockUnavailableError(name, "the component does not run.")
        gauges = [host.bind(metric, lease=name) for metric in (CANDIDATES, LEADING, LED)]
        return gauges[0], gauges[1], gauges[2], host.bind(LEADERS, lease=name)

    def holder(self, name: str) -> Held | None:
        """Return who of this process has a lock."""
        place = self._places.get(name)
        return None if place is None else place.holder

    async def _ask(self, operation: Any, name: str) -> Any:
        if self._host is None:
            raise LockUnavailableError(name, "the component does not run.")
        try:
            return await self.store.run(operation, (self._places.get(name) or self._place(name)).keys)
        except StoreError as error:
            raise unavailable(name, error) from error

    def _heard(self, message: bytes) -> None:
        token = message.decode()
        if token.startswith("!"):
            held = self.held.get(token[1:])
            if held is not None:
                self.lose(held, "taken")
        elif (attempt := self.waiting.get(token)) is not None:
            attempt.wake()

    def _missed(self) -> None:
        for attempt in list(self.waiting.values()):
            attempt.wake()

    def _told(self, available: bool) -> None:
        if self._host is None:
            return
        self._reach.show(available)
        if available:
            self.debts.settle_all()
            self._missed()
