"""How a rate limit goes on while its store is away, and how it comes back.

One question that fails is enough: from then on this instance counts alone, by its part of every quota, and no request
waits for the store. A task of its own asks whether it is back. What was used meanwhile is charged to the store before
it decides again, so that nobody starts anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, BoundGauge, Host, Spec
from bedplate.state.limits.membership import BEATS, Membership
from bedplate.state.limits.metrics import ERRORS, FORGOTTEN, INSTANCES, KEYS, LOCAL
from bedplate.state.limits.operations import TAKE
from bedplate.state.limits.plan import Asked, Plans
from bedplate.state.limits.share import Owed, Share
from bedplate.state.limits.terms import Terms
from bedplate.state.reach import Reach
from bedplate.state.store import Call, Listening, Store, StoreError, StoreReplyError, StoreTimeoutError

__all__ = ["Outage"]

#: Seconds between two questions whether the store is back.
_AGAIN = 1.0
#: Debts that a store which is back is told in one go.
_TOLD = 200
#: Errors that are a key's own, and say nothing of the store.
_OWN_FAULTS = frozenset({"WRONGTYPE", "ERR"})


class Outage:
    """Whether this instance counts alone, and its part.

    :param least: how many instances there are at least.
    :ivar alone: whether it does.
    """

    def __init__(self, terms: Terms, store: Store, *, timeout: float | None, least: int) -> None:
        self._terms, self._store, self._timeout, self._least = terms, store, timeout, least
        self._share = Share(terms.limits, terms.capacity)
        self._clock: Clock = SystemClock()
        self._host: Host | None = None
        self._plans: Plans | None = None
        self._members: Membership | None = None
        self._unwatch: Callable[[], None] = _nothing
        self._beating = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._listening: Listening | None = None
        self._channel = ""
        self._errors: dict[str, BoundCounter] = {}
        self._gauges: dict[str, BoundGauge] = {}
        self._decided: BoundCounter | None = None
        self._forgotten: BoundCounter | None = None
        self._lost = 0
        self.alone = False

    @property
    def instances(self) -> int:
        """How many count together, as far as is known."""
        return self._least if self._members is None else self._members.known

    @property
    def keys(self) -> int:
        """Keys that are counted here."""
        return len(self._share)

    def start(self, host: Host, spec: Spec, plans: Plans) -> None:
        """Begin: count among the others, and watch the store."""
        name = self._terms.name
        self._host, self._plans, self._clock = host, plans, host.clock
        self._beating, self._wanted = asyncio.Lock(), asyncio.Event()
        self._errors = {
            kind: host.bind(ERRORS, rate_limit=name, kind=kind) for kind in ("timeout", "unavailable", "reply")
        }
        self._reach = Reach(host, spec)
        for metric in (INSTANCES, KEYS):
            self._gauges[metric.name] = host.bind(metric, rate_limit=name)
        self._decided = host.bind(LOCAL, rate_limit=name, why="away")
        self._forgotten = host.bind(FORGOTTEN, rate_limit=name)
        counts = host.role != "ops"
        key = f"{plans.root}{{{name}}}:instances"
        self._members = Membership(self._store, key, least=self._least, counts=counts, timeout=self._timeout)
        self._tell()
        self._reach.show(True)
        self._channel = f"{plans.root}{name}:instances"
        self._listening = self._store.listen(self._channel, self._joined)
        self._unwatch = self._store.watch(self._told)
        host.spawn("count", self._keep)
        host.spawn("return", self._return)

    async def stop(self) -> None:
        """End: the others have this one's part."""
        self._unwatch()
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        members, self._members, self._unwatch, self._host = self._members, None, _nothing, None
        self._gauges.clear()
        self._errors.clear()
        self._decided = self._forgotten = None
        self.alone = False
        if members is not None and await members.leave():
            await self._say()

    # Counting alone.

    def take(self, asked: Asked, cost: int) -> Sequence[int]:
        """Decide by this instance's own part, in the form of the store's reply."""
        if self._decided is not None:
            self._decided.inc()
        return self._share.take(asked.plan.numbers, asked.keys, cost, self._now())

    def look(self, asked: Asked, cost: int) -> Sequence[int]:
        """Return what :meth:`take` would."""
        return self._share.take(asked.plan.numbers, asked.keys, cost, self._now(), takes=False)

    def charge(self, asked: Asked, cost: int) -> None:
        """Charge units whatever is left."""
        self._share.charge(asked.plan.numbers, asked.keys, cost, self._now())

    def forget(self, asked: Asked) -> None:
        """Let keys start anew."""
        self._share.forget(asked.keys)

    # Going, and coming back.

    def failed(self, error: StoreError) -> None:
        """Take note of a question that was not answered; from now on this instance counts alone."""
        kind = "reply" if isinstance(error, StoreReplyError) else "unavailable"
        kind = "timeout" if isinstance(error, StoreTimeoutError) else kind
        if kind in self._errors:
            self._errors[kind].inc()
        if not isinstance(error, StoreReplyError) or error.code not in _OWN_FAULTS:
            self._go(str(error))

    def _go(self, why: str) -> None:
        host = self._host
        if self.alone or host is None:
            return
        self.alone = True
        self._share.divide(self.instances)
        self._tell()
        part = "all of every quota" if self.instances == 1 else f"1/{self.instances} of every quota"
        self._reach.show(False, f"This instance lets {part} through by itself. {why}")
        host.log.warning("rate_limit_alone", instances=self.instances, error=why)
        # It may have been one question that came late, on a machine that was busy: then this is over in a moment.
        self._wanted.set()

    def _told(self, available: bool) -> None:
        if available:
            self._wanted.set()
        else:
            self._go("It cannot be reached.")

    def _joined(self, message: bytes) -> None:
        """Somebody has come or gone: see how many there are."""
        self._wanted.set()

    async def _say(self) -> None:
        """Tell the others that there is one more or less."""
        with suppress(StoreError):
            await self._store.publish(self._channel, b"")

    async def _keep(self) -> None:
        """Say that this one is there; while the store is away, find out when it is back."""
        beat = 0.0
        while True:
            now = self._clock.monotonic()
            if self.alone or now >= beat:
                await self._beat()
                beat = now + BEATS
            self._measure()
            await self._clock.sleep(_AGAIN)

    async def _return(self) -> None:
        """Do at once what is done every few seconds, when the store is back or another instance comes or goes."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._beat()

    async def _beat(self) -> None:
        async with self._beating:
            members = self._members
            if members is None:
                return
            try:
                new = await members.beat(self._clock.monotonic())
            except StoreError as error:
                self.failed(error)
                return
            if new:
                await self._say()
            # While the store is told, this instance still counts alone, and goes on with what its part has left.
            if self.alone and await self._charged():
                self.alone = False
                assert self._host is not None
                self._reach.show(True)
                self._host.log.info("rate_limit_together", instances=members.known)
                # What was decided meanwhile.
                if await self._charged() and not self.alone:
                    self._share.clear()
            self._tell()

    async def _charged(self) -> bool:
        """Charge to the store what this instance let through alone; return whether it could be told."""
        keys = self._share.keys()
        for place in range(0, len(keys), _TOLD):
            # Whoever else wants to run does so between two parts, also where the store answers without a wait.
            await asyncio.sleep(0)
            owed = self._share.tell(keys[place : place + _TOLD], self._now())
            if owed and not await self._told_of(owed):
                return False
        return True

    async def _told_of(self, owed: list[Owed]) -> bool:
        calls = [Call(TAKE, (key,), self._charge(number, units)) for key, number, units in owed]
        try:
            replies = await self._store.run_many(calls, timeout=self._timeout)
        except StoreError as error:
            self._share.untell(owed)
            self.failed(error)
            return False
        except asyncio.CancelledError:
            self._share.untell(owed)
            raise
        failed = [(debt, reply) for debt, reply in zip(owed, replies, strict=True) if isinstance(reply, StoreError)]
        away = next((error for _, error in failed if not isinstance(error, StoreReplyError)), None)
        if away is not None:
            self._share.untell(debt for debt, _ in failed)
            self.failed(away)
            return False
        if failed and self._errors:
            # The store is there, and refuses these keys: nothing is gained by asking again.
            self._errors["reply"].inc(len(failed))
        return True

    def _charge(self, number: int, units: int) -> Sequence[str]:
        assert self._plans is not None
        return self._plans.single[number].charge(units)

    def _now(self) -> float:
        return self._clock.monotonic() * 1e6

    def _tell(self) -> None:
        if self._gauges:
            self._gauges[INSTANCES.name].set(float(self.instances))

    def _measure(self) -> None:
        if self._gauges:
            self._gauges[KEYS.name].set(float(len(self._share)))
        if self._forgotten is not None and self._share.forgotten != self._lost:
            self._forgotten.inc(self._share.forgotten - self._lost)
            self._lost = self._share.forgotten


def _nothing() -> None:
    """Watch nothing."""
