"""Counting in this process: synchronous, and on the path of every request."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Generator
from typing import Any

from starlette.types import Scope

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, BoundGauge, Host
from bedplate.declarations import Verdict
from bedplate.state.limits.answers import Answers, refusal, too_much
from bedplate.state.limits.buckets import MemoryBuckets
from bedplate.state.limits.limit import Decision
from bedplate.state.limits.metrics import DECISIONS, FORGOTTEN, KEYS
from bedplate.state.limits.terms import Keyed, Terms

__all__ = ["InProcess"]

_SECOND = 1_000_000_000


class InProcess:
    """Judges requests by :class:`~bedplate.state.limits.buckets.MemoryBuckets`."""

    def __init__(self, terms: Terms, clock: Clock | None) -> None:
        self._terms = terms
        self._paths, self._exempt, self._methods = terms.paths, terms.exempt, terms.methods
        self._everywhere = terms.everywhere
        self._key = terms.key
        self._shadow = terms.shadow
        self._buckets = MemoryBuckets(terms.limits, terms.capacity)
        self._clock = clock
        self._now = _nanoseconds(clock or SystemClock())
        self._plans = tuple((limit.interval, limit.tolerance) for limit in terms.limits)
        # What most have, one limit and one unit a request, is done without further calls.
        self._plan = self._plans[0] if len(self._plans) == 1 and terms.cost == 1 else None
        self._answers = Answers(terms.limits, _SECOND)
        self._verdicts = self._answers.verdicts
        # What most are told: that they have used one unit, and nothing before it that is not refilled.
        self._first, (self._unit, _) = self._fresh(), self._plans[0]
        self._allowed: BoundCounter | None = None
        # The word of that counter; one that nobody reads while it is not measured.
        self._word: Any = [0.0]
        self._refused: BoundCounter | None = None
        self._forgotten: BoundCounter | None = None
        self._keys: BoundGauge | None = None
        self._entered = self._lost = 0

    def start(self, host: Host) -> None:
        """Measure from now on, by the host's clock."""
        if self._clock is None:
            self._now = _nanoseconds(host.clock)
        name = self._terms.name
        allowed: Any = host.bind(DECISIONS, rate_limit=name, outcome="allowed")
        self._allowed, self._word = allowed, allowed.word
        self._refused = host.bind(DECISIONS, rate_limit=name, outcome="shadowed" if self._shadow else "refused")
        self._forgotten = host.bind(FORGOTTEN, rate_limit=name)
        self._keys = host.bind(KEYS, rate_limit=name)

    def stop(self) -> None:
        """Measure no more."""
        self._allowed = self._refused = self._forgotten = self._keys = None
        self._word = [0.0]

    def guard(self, scope: Scope) -> Verdict | None:
        """Judge a request; None when it is not limited."""
        path: str = scope["path"]
        root = scope.get("root_path")
        if root:
            path = path.removeprefix(root)
        if path in self._exempt or not (self._everywhere or self._terms.selects(scope)):
            return None
        key = self._key(scope)
        if key is None:
            return None
        if self._plan is None:
            return self._judge(key, scope)
        # What _take() and said() do, for the one limit that most have.
        now = self._now()
        debt = self._buckets.spend(key, now)
        if debt >= 0:
            self._word[0] += 1.0
            if debt == self._unit:
                return self._first
        else:
            allowed, debts = self._take(key, 1, now)
            if not allowed:
                return None if self._shadow else refusal(self._decide(False, debts, 1))
            debt = debts[0]
        interval, tolerance = self._plan
        said = ((tolerance - debt) // interval, -(-debt // _SECOND))
        verdict = self._verdicts.get(said)
        return self._answers.verdict(said) if verdict is None else verdict

    def check(self, key: str, cost: int = 1) -> Decision:
        """Use units, or none when a limit refuses; 0 only looks.

        :raises ValueError: when the cost can never pass.
        """
        allowed, debts = self._take(key, self._terms.checked(cost))
        decision = self._decide(allowed, debts, cost)
        return decision._replace(allowed=True) if self._shadow else decision

    async def take(self, key: Keyed, cost: int) -> Decision:
        """Do :meth:`check`."""
        return self.check(self._one(key), cost)

    async def look(self, key: Keyed, cost: int) -> Decision:
        """Return what :meth:`check` would, and use nothing."""
        _, debts = self._buckets.take(self._one(key), 0, self._now())
        waits = self._waits(debts, self._terms.checked(cost))
        return self._decide(max(waits) <= 0, debts, cost)

    async def charge(self, key: Keyed, cost: int) -> None:
        """Charge units whatever is left, or give them back."""
        self._buckets.charge(self._one(key), cost, self._now())

    def reset(self, key: Keyed) -> Awaitable[None]:
        """Let a key start anew; it is done when this returns."""
        self._buckets.forget(self._one(key))
        return _Done()

    def overview(self) -> dict[str, object]:
        """Return present numbers."""
        return {"keys": len(self._buckets), "forgotten": self._buckets.forgotten}

    def _fresh(self) -> Verdict:
        """Return the verdict on the first unit of a key, where there is one limit."""
        debts = [interval for interval, _ in self._plans]
        return self._answers.verdict(self._answers.said([(t - i) // i for i, t in self._plans], debts))

    def _one(self, key: Keyed) -> str:
        if isinstance(key, str):
            return key
        name = self._terms.name
        raise ValueError(f"The rate limit {name} counts in the process, by one key for all its limits.")

    def _judge(self, key: str, scope: Scope) -> Verdict | None:
        """Judge a request with several limits, or with a cost of its own."""
        given = self._terms.cost
        cost = given if isinstance(given, int) else given(scope)
        if not 0 <= cost <= self._terms.most:
            return too_much(self._terms, cost)
        allowed, debts = self._take(key, cost)
        if not allowed:
            return None if self._shadow else refusal(self._decide(False, debts, cost))
        said = self._answers.said(self._left(debts), debts)
        return self._verdicts.get(said) or self._answers.verdict(said)

    def _take(self, key: str, cost: int, now: int | None = None) -> tuple[bool, tuple[int, ...]]:
        buckets = self._buckets
        allowed, debts = buckets.take(key, cost, self._now() if now is None else now)
        counter = self._allowed if allowed else self._refused
        if counter is not None:
            counter.inc()
        if buckets.entered != self._entered:
            self._count()
        return allowed, debts

    def _count(self) -> None:
        self._entered = self._buckets.entered
        if self._keys is not None:
            self._keys.set(len(self._buckets))
        if self._forgotten is not None and self._buckets.forgotten != self._lost:
            self._forgotten.inc(self._buckets.forgotten - self._lost)
            self._lost = self._buckets.forgotten

    def _left(self, debts: tuple[int, ...]) -> list[int]:
        return [
            max(0, tolerance - debt) // interval for debt, (interval, tolerance) in zip(debts, self._plans, strict=True)
        ]

    def _waits(self, debts: tuple[int, ...], cost: int) -> list[int]:
        return [
            max(0, debt + cost * interval - tolerance)
            for debt, (interval, tolerance) in zip(debts, self._plans, strict=True)
        ]

    def _decide(self, allowed: bool, debts: tuple[int, ...], cost: int) -> Decision:
        return self._answers.decision(allowed, self._left(debts), debts, self._waits(debts, cost))


class _Done:
    """What was done already; to await it is not needed, and does no harm."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


def _nanoseconds(clock: Clock) -> Callable[[], int]:
    """Return a function for the clock's time; the machine's own has one that is cheaper."""
    if isinstance(clock, SystemClock):
        return time.monotonic_ns
    return lambda: int(clock.monotonic() * 1e9)
