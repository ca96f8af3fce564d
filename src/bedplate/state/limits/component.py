"""Rate limits as a component: a guard before every request, and a plain call for everything else."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.types import Scope

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, BoundGauge, Host, Spec
from bedplate.declarations import Degradation, Panel, Verdict
from bedplate.metric import Counter, Gauge
from bedplate.problems import DeclarationError
from bedplate.state.limits.buckets import MemoryBuckets
from bedplate.state.limits.keys import Key, by_client
from bedplate.state.limits.limit import Decision, Limit

__all__ = ["RateLimit", "RateLimitSettings"]

DECISIONS = Counter(
    "bedplate_rate_limit_decisions_total",
    "Requests that a rate limit allowed or refused.",
    {"rate_limit": 50, "outcome": ("allowed", "refused")},
)
KEYS = Gauge("bedplate_rate_limit_keys", "Keys that a rate limit has in memory.", {"rate_limit": 50})
FORGOTTEN = Counter(
    "bedplate_rate_limit_forgotten_total",
    "Keys that a rate limit forgot before their time, because more were active than it may keep.",
    {"rate_limit": 50},
)

#: What is asked by probes and scrapers, which must not be refused.
PROBES = ("/livez", "/readyz", "/healthz", "/metrics")

_SECOND = 1_000_000_000
#: Answers remembered by what they say; beyond it the memory starts anew.
_REMEMBERED = 4096


class RateLimitSettings(BaseModel):
    """What a rate limit enforces, for people."""

    model_config = ConfigDict(frozen=True)

    limits: tuple[str, ...]
    """Each as units in seconds."""

    capacity: int
    """Keys kept in memory at most."""

    paths: tuple[str, ...]
    """Prefixes of the paths that are limited."""

    exempt: tuple[str, ...]
    """Paths that are not."""

    methods: tuple[str, ...]
    """Methods that are limited; empty for all."""


class RateLimit:
    """Limits how often something may be done, counted in this process.

    As a component of a service it guards the requests that ``paths``, ``exempt`` and ``methods`` select; refused ones
    are answered with a 429 problem and ``Retry-After``, all of them carry ``RateLimit`` headers. With
    ``paths=()`` it guards none and is there for :meth:`check` and :meth:`enforce`. Each process counts for itself, so
    N workers allow up to N times the quota.

    :param name: unique among a service's rate limits.
    :param limits: all must allow; as :class:`Limit` or text such as ``100/minute``.
    :param key: whom to count; see :func:`by_client` and :func:`by_header`.
    :param paths: prefixes of paths, as seen from the root of the service.
    :param capacity: keys kept at most; about 200 bytes each.
    :raises DeclarationError: when there is no limit, or two have one name.
    """

    def __init__(
        self,
        name: str = "default",
        *,
        limits: Sequence[Limit | str] | Limit | str,
        key: Key | None = None,
        paths: Sequence[str] = ("/",),
        exempt: Iterable[str] = PROBES,
        methods: Iterable[str] = (),
        capacity: int = 100_000,
        clock: Clock | None = None,
    ) -> None:
        given = [limits] if isinstance(limits, Limit | str) else limits
        self.name = name
        self.limits = tuple(Limit.parse(limit) if isinstance(limit, str) else limit for limit in given)
        if not self.limits or len({limit.name for limit in self.limits}) != len(self.limits):
            raise DeclarationError(f"Rate limit {name} needs limits of different names.", "Name each Limit.")
        self._paths = tuple(paths)
        self._exempt = frozenset(exempt)
        self._methods = frozenset(method.upper() for method in methods)
        self._capacity = capacity
        self._everywhere = self._paths == ("/",) and not self._methods
        self._key = key or by_client()
        self._buckets = MemoryBuckets(self.limits, capacity)
        self._clock = clock
        self._now = _nanoseconds(clock or SystemClock())
        self._plans = tuple((limit.interval, limit.tolerance) for limit in self.limits)
        self._plan = self._plans[0] if len(self._plans) == 1 else None
        self._most = min(limit.burst for limit in self.limits)
        self._policy = (b"ratelimit-policy", ", ".join(limit.policy for limit in self.limits).encode())
        self._verdicts: dict[tuple[int, ...], Verdict] = {}
        self._allowed: BoundCounter | None = None
        self._refused: BoundCounter | None = None
        self._forgotten: BoundCounter | None = None
        self._keys: BoundGauge | None = None
        self._entered = self._lost = 0

    @property
    def spec(self) -> Spec:
        """See :class:`RateLimit`."""
        refused = f"sum by (rate_limit) (rate({DECISIONS(outcome='refused')}[5m]))"
        return Spec(
            kind="rate_limit",
            name=self.name,
            summary="Refuses clients that ask too often.",
            scope="process",
            settings=RateLimitSettings(
                limits=tuple(map(str, self.limits)),
                capacity=self._capacity,
                paths=self._paths,
                exempt=tuple(sorted(self._exempt)),
                methods=tuple(sorted(self._methods)),
            ),
            degradation=Degradation(
                policy="limit",
                summary="Every process counts for itself; clients beyond what it may remember start anew.",
            ),
            metrics=(DECISIONS, KEYS, FORGOTTEN),
            panels=(Panel(title="Refused requests", expr=(("{{rate_limit}}", refused),), unit="reqps"),),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Measure while inside; limits are enforced before and after, too."""
        if self._clock is None:
            self._now = _nanoseconds(host.clock)
        self._allowed = host.bind(DECISIONS, rate_limit=self.name, outcome="allowed")
        self._refused = host.bind(DECISIONS, rate_limit=self.name, outcome="refused")
        self._forgotten = host.bind(FORGOTTEN, rate_limit=self.name)
        self._keys = host.bind(KEYS, rate_limit=self.name)
        try:
            yield
        finally:
            self._allowed = self._refused = self._forgotten = self._keys = None

    def guard(self, scope: Scope) -> Verdict | None:
        """Judge a request; None when it is not limited."""
        path: str = scope["path"]
        root = scope.get("root_path")
        if root:
            path = path.removeprefix(root)
        if path in self._exempt or not (self._everywhere or self._selects(path, scope)):
            return None
        key = self._key(scope)
        if key is None:
            return None
        if self._plan is None:
            allowed, debts = self._take(key, 1)
            said = self._said(debts)
        else:
            # What _take() and _said() do, for the one limit that most have: two calls less on every request.
            buckets, (interval, tolerance) = self._buckets, self._plan
            allowed, debts = buckets.take(key, 1, self._now())
            counter = self._allowed if allowed else self._refused
            if counter is not None:
                counter.inc()
            if buckets.entered != self._entered:
                self._count()
            said = ((tolerance - debts[0]) // interval, -(-debts[0] // _SECOND))
        if not allowed:
            decision = self._decide(False, debts, 1)
            return Verdict(decision.headers, 429, "Too Many Requests", _advice(decision))
        verdict = self._verdicts.get(said)
        return self._verdict(said) if verdict is None else verdict

    def check(self, key: str, cost: int = 1) -> Decision:
        """Use ``cost`` units for ``key``, or none when a limit refuses; 0 only looks.

        :raises ValueError: when the cost is negative, or more than a limit allows at once, which would never pass.
        """
        if not 0 <= cost <= self._most:
            raise ValueError(f"A cost of {cost} can never pass {self.name}; it may be 0 to {self._most}.")
        allowed, debts = self._take(key, cost)
        return self._decide(allowed, debts, cost)

    def enforce(self, key: str, cost: int = 1) -> Decision:
        """Do :meth:`check`, and answer the request at hand with a 429 problem when it is refused.

        :raises HTTPException: with the status 429 and the headers of the decision.
        """
        decision = self.check(key, cost)
        if decision.allowed:
            return decision
        headers = {name.decode(): value.decode() for name, value in decision.headers}
        raise HTTPException(429, _advice(decision), headers)

    def reset(self, key: str) -> None:
        """Let ``key`` start anew."""
        self._buckets.forget(key)

    def _selects(self, path: str, scope: Scope) -> bool:
        if self._methods and scope.get("method", "GET") not in self._methods:
            return False
        return path.startswith(self._paths)

    def _take(self, key: str, cost: int) -> tuple[bool, tuple[int, ...]]:
        buckets = self._buckets
        allowed, debts = buckets.take(key, cost, self._now())
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

    def _said(self, debts: tuple[int, ...]) -> tuple[int, ...]:
        """Return what the headers say of the debts: units left and whole seconds until reset, limit by limit."""
        said: list[int] = []
        for (interval, tolerance), debt in zip(self._plans, debts, strict=True):
            said += (tolerance - debt) // interval, -(-debt // _SECOND)
        return tuple(said)

    def _verdict(self, said: tuple[int, ...]) -> Verdict:
        """Return the verdict that lets a request pass with these numbers, and remember it: they come again."""
        if len(self._verdicts) >= _REMEMBERED:
            self._verdicts.clear()
        pairs = zip(self.limits, said[::2], said[1::2], strict=True)
        items = ", ".join([f'"{limit.name}";r={remaining};t={reset}' for limit, remaining, reset in pairs])
        verdict = self._verdicts[said] = Verdict((self._policy, (b"ratelimit", items.encode())))
        return verdict

    def _decide(self, allowed: bool, debts: tuple[int, ...], cost: int) -> Decision:
        said = self._said(debts)
        headers = (self._verdicts.get(said) or self._verdict(said)).headers
        number = 0
        retry_after = 0.0
        if not allowed:
            waits = [
                debt + cost * interval - tolerance
                for debt, (interval, tolerance) in zip(debts, self._plans, strict=True)
            ]
            number = waits.index(max(waits))
            retry_after = waits[number] / _SECOND
            headers = (*headers, (b"retry-after", b"%d" % math.ceil(retry_after)))
        elif len(debts) > 1:
            left = said[::2]
            number = left.index(min(left))
        return Decision(allowed, self.limits[number], said[2 * number], debts[number] / _SECOND, retry_after, headers)


def _advice(decision: Decision) -> str:
    """Return what the client who was refused should know."""
    return f"{decision.limit} are allowed. Try again in {math.ceil(decision.retry_after)} s."


def _nanoseconds(clock: Clock) -> Callable[[], int]:
    """Return a function for the clock's time; the machine's own has one that is cheaper."""
    if isinstance(clock, SystemClock):
        return time.monotonic_ns
    return lambda: int(clock.monotonic() * 1e9)
