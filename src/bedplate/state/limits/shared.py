"""Counting in a store, with all instances."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from starlette.types import Scope

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, Host, Spec
from bedplate.declarations import Verdict
from bedplate.state.limits.answers import refusal, too_much
from bedplate.state.limits.limit import Decision
from bedplate.state.limits.metrics import DECISIONS, LOCAL, REFUSALS
from bedplate.state.limits.operations import RESET, TAKE
from bedplate.state.limits.outage import Outage
from bedplate.state.limits.plan import SECOND, Asked, Plan, Plans
from bedplate.state.limits.refusals import Refusals
from bedplate.state.limits.share import Part
from bedplate.state.limits.terms import Keyed, Terms
from bedplate.state.store import Listening, Store, StoreError

__all__ = ["Shared"]


class Shared:
    """Judges requests with :data:`~bedplate.state.limits.operations.TAKE`.

    :param timeout: seconds to wait for the store; the first question that takes longer makes this instance count alone.
    :param instances: how many there are at least.
    """

    def __init__(self, terms: Terms, store: Store, *, timeout: float | None, instances: int) -> None:
        self._terms, self._store, self._timeout = terms, store, timeout
        self._run = store.run
        self._limit = terms.limits[0]
        self._plans = Plans(terms, "")
        self._plan = self._plans.all
        self._verdicts = self._plan.answers.verdicts
        self._refusals = Refusals(terms.capacity)
        self._outage = Outage(terms, store, timeout=timeout, least=instances)
        # What most have, one limit and one unit a request, is asked without further calls.
        self._simple = len(terms.limits) == 1 and terms.cost == 1 and terms.keys is None
        self._key, self._exempt, self._everywhere = terms.key, terms.exempt, terms.everywhere
        self._clock: Clock = SystemClock()
        self._listening: Listening | None = None
        self._channel = ""
        self._allowed: BoundCounter | None = None
        self._refused: BoundCounter | None = None
        self._remembered: BoundCounter | None = None
        self._by_limit: dict[str, BoundCounter] = {}

    def start(self, host: Host, spec: Spec) -> None:
        """Count with the others from now on."""
        name = self._terms.name
        self._clock = host.clock
        self._plans = Plans(self._terms, host.service)
        self._plan = self._plans.all
        self._verdicts = self._plan.answers.verdicts
        self._channel = f"{self._plans.root}{name}:resets"
        self._refusals.clear()
        self._allowed = host.bind(DECISIONS, rate_limit=name, outcome="allowed")
        self._refused = host.bind(DECISIONS, rate_limit=name, outcome="shadowed" if self._terms.shadow else "refused")
        self._remembered = host.bind(LOCAL, rate_limit=name, why="remembered")
        self._by_limit = {
            limit.name: host.bind(REFUSALS, rate_limit=name, limit=limit.name) for limit in self._terms.limits
        }
        self._listening = self._store.listen(self._channel, self._heard, missed=self._refusals.clear)
        self._outage.start(host, spec, self._plans)

    async def stop(self) -> None:
        """Count no more."""
        if self._listening is not None:
            self._listening.close()
        self._listening = None
        self._allowed = self._refused = self._remembered = None
        self._by_limit.clear()
        await self._outage.stop()

    def guard(self, scope: Scope) -> Verdict | Awaitable[Verdict | None] | None:
        """Judge a request; what has to be asked of the store is answered later."""
        path: str = scope["path"]
        root = scope.get("root_path")
        if root:
            path = path.removeprefix(root)
        if path in self._exempt or not (self._everywhere or self._terms.selects(scope)):
            return None
        if not self._simple:
            return self._guarded(scope)
        key = self._key(scope)
        if key is None:
            return None
        if self._outage.alone or key in self._refusals.young or key in self._refusals.old:
            reply = self._known(Asked(self._plan, self._plan.keys(key), key), 1)
            if reply is not None:
                return self._verdict(reply, self._plan)
        return self._judge(key)

    async def _judge(self, key: str) -> Verdict | None:
        """Ask for one unit of the one limit."""
        plan = self._plan
        keys = plan.keys(key)
        try:
            reply = await self._run(TAKE, keys, plan.one, timeout=self._timeout)
        except StoreError as error:
            return self._verdict(self._unanswered(Asked(plan, keys, key), 1, error), plan)
        if not reply[0]:
            self._refusals.put(key, 1, reply, self._clock.monotonic())
            self._count(reply, plan)
            return self._verdict(reply, plan)
        if self._allowed is not None:
            self._allowed.inc()
        said = (reply[1], -(-reply[2] // SECOND))
        return self._verdicts.get(said) or plan.answers.verdict(said)

    def _guarded(self, scope: Scope) -> Verdict | Awaitable[Verdict | None] | None:
        terms = self._terms
        asked = self._plans.of_scope(scope)
        if asked is None:
            return None
        cost = terms.cost if isinstance(terms.cost, int) else terms.cost(scope)
        if not 0 <= cost <= terms.most:
            return too_much(terms, cost)
        reply = self._known(asked, cost)
        return self._later(asked, cost) if reply is None else self._verdict(reply, asked.plan)

    async def _later(self, asked: Asked, cost: int) -> Verdict | None:
        return self._verdict(await self._ask(asked, cost), asked.plan)

    def _verdict(self, reply: Sequence[int], plan: Plan) -> Verdict | None:
        left, whole = reply[1::3], reply[2::3]
        if reply[0]:
            said = plan.answers.said(left, whole)
            return plan.answers.verdicts.get(said) or plan.answers.verdict(said)
        return None if self._terms.shadow else refusal(plan.answers.decision(False, left, whole, reply[3::3]))

    async def take(self, key: Keyed, cost: int) -> Decision:
        """Take units of all limits, or of none when one refuses."""
        if not isinstance(key, str) or cost != 1 or not self._simple:
            return await self._taken(key, cost)
        if self._outage.alone or key in self._refusals.young or key in self._refusals.old:
            return await self._taken(key, cost)
        plan = self._plan
        keys = plan.keys(key)
        try:
            reply = await self._run(TAKE, keys, plan.one, timeout=self._timeout)
        except StoreError as error:
            return self._shown(self._unanswered(Asked(plan, keys, key), 1, error), plan)
        if not reply[0]:
            self._refusals.put(key, 1, reply, self._clock.monotonic())
            self._count(reply, plan)
            return self._shown(reply, plan)
        if self._allowed is not None:
            self._allowed.inc()
        _, left, whole, _ = reply
        said = (left, -(-whole // SECOND))
        verdict = self._verdicts.get(said) or plan.answers.verdict(said)
        # With all arguments it is made in half the time.
        return Decision(True, self._limit, left, whole / SECOND, 0.0, verdict.headers, False)

    async def _taken(self, key: Keyed, cost: int) -> Decision:
        self._terms.checked(cost)
        asked = self._plans.of_key(key)
        reply = self._known(asked, cost)
        if reply is None:
            reply = await self._ask(asked, cost)
        return self._shown(reply, asked.plan)

    def _shown(self, reply: Sequence[int], plan: Plan) -> Decision:
        decision = self._decision(reply, plan)
        return decision._replace(allowed=True) if self._terms.shadow else decision

    async def look(self, key: Keyed, cost: int) -> Decision:
        """Return what :meth:`take` would, and take nothing."""
        self._terms.checked(cost)
        asked = self._plans.of_key(key)
        if not self._outage.alone:
            try:
                reply = await self._run(TAKE, asked.keys, asked.plan.look(cost), timeout=self._timeout)
                return self._decision(reply, asked.plan)
            except StoreError as error:
                self._outage.failed(error)
        return self._decision(self._outage.look(asked, cost), asked.plan)

    async def charge(self, key: Keyed, cost: int) -> None:
        """Charge units whatever is left; a negative cost gives back."""
        asked = self._plans.of_key(key)
        if cost < 0:
            self._ask_again(asked.name)
        if not self._outage.alone:
            try:
                await self._run(TAKE, asked.keys, asked.plan.charge(cost), timeout=self._timeout)
                return
            except StoreError as error:
                self._outage.failed(error)
        self._outage.charge(asked, cost)

    async def reset(self, key: Keyed) -> None:
        """Let a key start anew, for all instances.

        :raises StoreUnavailableError: when the store is away; for this instance it is done.
        """
        asked = self._plans.of_key(key)
        self._ask_again(asked.name)
        self._outage.forget(asked)
        await self._run(RESET, asked.keys)
        await self._store.publish(self._channel, asked.name.encode("utf-8", "surrogatepass"))

    def overview(self) -> dict[str, object]:
        """Return present numbers."""
        return {
            "alone": self._outage.alone,
            "instances": self._outage.instances,
            "keys": self._outage.keys,
            "refused_for_now": len(self._refusals),
        }

    def _known(self, asked: Asked, cost: int) -> Sequence[int] | None:
        """Return a decision that needs no question: a refusal that is still true, or one by the own part."""
        reply: Sequence[int] | None = self._refusals.get(asked.name, cost, self._clock.monotonic())
        if reply is not None:
            if self._remembered is not None:
                self._remembered.inc()
        elif self._outage.alone:
            reply = self._outage.take(asked, cost)
        if reply is not None:
            self._count(reply, asked.plan)
        return reply

    async def _ask(self, asked: Asked, cost: int) -> Sequence[int]:
        try:
            reply: Sequence[int] = await self._run(TAKE, asked.keys, asked.plan.take(cost), timeout=self._timeout)
        except StoreError as error:
            return self._unanswered(asked, cost, error)
        if not reply[0]:
            self._refusals.put(asked.name, cost, reply, self._clock.monotonic())
        self._count(reply, asked.plan)
        return reply

    def _unanswered(self, asked: Asked, cost: int, error: StoreError) -> Sequence[int]:
        self._outage.failed(error)
        reply = self._outage.take(asked, cost)
        self._count(reply, asked.plan)
        return reply

    def _count(self, reply: Sequence[int], plan: Plan) -> None:
        if self._allowed is None or self._refused is None:
            return
        if reply[0]:
            self._allowed.inc()
            return
        self._refused.inc()
        waits = reply[3::3]
        self._by_limit[plan.limits[waits.index(max(waits))].name].inc()

    def _decision(self, reply: Sequence[int], plan: Plan) -> Decision:
        left, whole, waits = reply[1::3], reply[2::3], reply[3::3]
        return plan.answers.decision(bool(reply[0]), left, whole, waits, alone=reply.__class__ is Part)

    def _heard(self, message: bytes) -> None:
        """Somebody has let a key start anew."""
        self._ask_again(message.decode("utf-8", "surrogatepass"))

    def _ask_again(self, name: str) -> None:
        if self._terms.keys is None:
            self._refusals.forget(name)
        else:
            # Who was refused for this key was remembered together with other keys.
            self._refusals.clear()
