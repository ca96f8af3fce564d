"""Evaluating the rules of a service: each group by its interval, over whoever answers PromQL; state in memory alone."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from bedplate.clock import Clock
from bedplate.component import Vector
from bedplate.declarations import seconds
from bedplate.monitor.alerts.annotations import template
from bedplate.monitor.alerts.notices import AlertState
from bedplate.monitor.alerts.rules import Rule
from bedplate.monitor.alerts.state import Active, Labels, advanced
from bedplate.problems import BedplateError, UnreachableError

__all__ = ["Change", "Engine", "Evaluated", "GroupPlan", "Round", "RuleState", "told"]

#: Asks for the value of an expression at a moment, Unix seconds.
Ask = Callable[[str, float], Awaitable[Vector]]

#: Seconds, at most, for which a restored alert is believed while there are too few samples to know better.
LONGEST_GRACE = 300.0
_LOOKBACK = 300.0

#: Seconds by which moments may be off the wall clock.
_DRIFT = 0.5


@dataclass(frozen=True, slots=True)
class Change:
    """An alert of a rule that became another one."""

    rule: Rule
    before: AlertState
    alert: Active


@dataclass(slots=True)
class RuleState:
    """A rule, and what became of it.

    :ivar expr: what is evaluated, with the time scale in it. :ivar hold: seconds. :ivar keep: seconds.
    :ivar grace: seconds after a start for which its restored alerts are believed.
    :ivar alone: it was evaluated over our own samples the last time, since the fleet could not be asked.
    :ivar health: of the last evaluation. :ivar error: why it failed. :ivar took: seconds.
    :ivar evaluated_at: Unix seconds, None before the first.
    """

    rule: Rule
    expr: str
    hold: float
    keep: float
    grace: float = 0.0
    active: Mapping[Labels, Active] = field(default_factory=dict)
    restored: set[Labels] = field(default_factory=set)
    alone: bool = False
    health: Literal["unknown", "ok", "err"] = "unknown"
    error: str = ""
    evaluated_at: float | None = None
    took: float = 0.0


@dataclass(frozen=True, slots=True)
class Evaluated:
    """One evaluation of a group.

    :ivar changes: in the order of the rules. :ivar failed: rules that failed. :ivar seconds: how long it took.
    """

    changes: Sequence[Change]
    failed: Sequence[RuleState]
    seconds: float


@dataclass(slots=True)
class GroupPlan:
    """Rules that are evaluated together. :ivar interval: seconds. :ivar rules: without those of others to evaluate."""

    name: str
    interval: float
    rules: list[RuleState]


class Round:
    """When a group is due: again and again, by moments that lie exactly an interval apart.

    Were the moments those at which the event loop happens to wake, an alert that waits for thirty seconds with three
    intervals of ten would often wait for a fourth, since the third came a hair too early.

    :param part: of the interval until the first time.
    :ivar due: monotonic seconds. :ivar at: the moment of the evaluation, Unix seconds.
    """

    def __init__(self, plan: GroupPlan, clock: Clock, part: float) -> None:
        self.plan = plan
        self._clock = clock
        self.due = clock.monotonic() + plan.interval * part
        self.at = round(clock.time() + plan.interval * part, 3)

    def next(self) -> int:
        """Move on to the next time that is to come; return how many were missed."""
        late = self._clock.monotonic() - self.due
        steps = max(1, int(late / self.plan.interval) + 1)
        self.due += steps * self.plan.interval
        self.at += steps * self.plan.interval
        now = self._clock.time() + self.due - self._clock.monotonic()
        if abs(now - self.at) > _DRIFT:
            self.at = round(now, 3)  # the wall clock was set, or has drifted
        return steps - 1


class Engine:
    """The rules of one service with their alerts.

    :param rules: all of them; external ones are kept and never evaluated.
    :param time_scale: a factor on every duration.
    :param ask: evaluates an expression.
    :param alone: evaluates it over our own samples while who is asked otherwise cannot be reached.
    :param own: for how many seconds there are those; rules that look further back wait.
    :param kept: for how many seconds there are samples; a rule that looks further back is external as well, since
        what it said would be of another time than it says. None for as long as any rule needs.
    :ivar away: why the fleet could not be asked the last time; empty when it could.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        ask: Ask,
        clock: Clock,
        time_scale: float = 1.0,
        kept: float | None = None,
        alone: Ask | None = None,
        own: float | None = None,
    ) -> None:
        self._ask = ask
        self._alone = alone
        self._own = own
        self.away = ""
        self._clock = clock
        self._scale = time_scale
        self.started = clock.time()
        self.groups: list[GroupPlan] = []
        #: By name and source: components of one kind share names.
        self.states: dict[tuple[str, str], RuleState] = {}
        self.external: list[Rule] = []
        plans: dict[str, GroupPlan] = {}
        for rule in rules:
            if rule.alert.external:
                self.external.append(rule)
                continue
            state = self._planned(rule)
            if _too_far(state.expr, kept):
                self.external.append(rule)
                continue
            self.states[rule.name, rule.source] = state
            name, interval = rule.group.name, seconds(rule.group.interval) * time_scale
            plans.setdefault(name, GroupPlan(name, interval, [])).rules.append(state)
        self.groups = list(plans.values())

    def _planned(self, rule: Rule) -> RuleState:
        from bedplate.promql import rescaled

        expr = rescaled(rule.expr, self._scale) if self._scale != 1.0 else rule.expr
        hold = seconds(rule.alert.for_) * self._scale
        return RuleState(rule, expr, hold, seconds(rule.alert.keep_firing_for) * self._scale)

    def restore(self, found: Iterable[tuple[tuple[str, str], Active]], downtime: float) -> None:
        """Take alerts up where another process left them; those that are known already stay, if they began earlier.

        What they waited for does not include the time in which nobody looked.

        :param found: names and sources of rules with alerts. :param downtime: seconds in which nobody evaluated.
        """
        for name, alert in found:
            state = self.states.get(name)
            if state is None:
                continue
            known = state.active.get(alert.labels)
            if alert.state == "pending":
                alert = replace(alert, since=alert.since + downtime)
            if known is None:
                state.active = {**state.active, alert.labels: alert}
                if alert.state != "resolved":
                    state.restored.add(alert.labels)
            elif known.state in ("pending", "firing") and alert.state == "firing":
                kept = replace(known, state="firing", since=alert.since, fired_at=alert.fired_at)
                state.active = {**state.active, alert.labels: kept}

    async def evaluate(self, group: GroupPlan, at: float) -> Evaluated:
        """Evaluate the rules of a group, one after the other, at a moment in Unix seconds."""
        began = time.perf_counter()
        changes: list[Change] = []
        failed: list[RuleState] = []
        for state in group.rules:
            rule_began = time.perf_counter()
            try:
                changes += await self._evaluate(state, at)
            except Exception as error:
                # One rule that fails must not keep the others from being evaluated.
                state.health, state.error = "err", told(error)
                failed.append(state)
            else:
                state.health, state.error = "ok", ""
            state.evaluated_at, state.took = at, time.perf_counter() - rule_began
        return Evaluated(changes, failed, time.perf_counter() - began)

    async def _evaluate(self, state: RuleState, at: float) -> list[Change]:
        found = await self._value(state, at)
        rule = state.rule
        if not found and not state.active:
            return []
        if state.restored and not state.alone and at - self.started > self._grace(state):
            state.restored.clear()
        step = advanced(
            state.active,
            found,
            at,
            name=rule.name,
            rule=rule.labels,
            hold=state.hold,
            keep=state.keep,
            summary=template(rule.alert.summary).render,
            held=state.restored.__contains__,
        )
        if state.restored:
            # Those that were seen again are known to hold; from now on they are as any other.
            state.restored -= {labels for labels, alert in step.active.items() if alert is not state.active.get(labels)}
        state.active = step.active
        return [Change(rule, before, alert) for before, alert in step.changes]

    async def _value(self, state: RuleState, at: float) -> Vector:
        """Ask whom we are to ask, and our own samples while that one cannot be reached.

        They know of one instance only: an alert that the fleet showed is believed until they show it, too, or the fleet
        can be asked again.
        """
        try:
            found = await self._ask(state.expr, at)
        except UnreachableError as error:
            self.away = str(error)
            if self._alone is None or _too_far(state.expr, self._own):
                raise
            found = await self._alone(state.expr, at)
            if not state.alone:
                state.alone = True
                state.restored |= {one.labels for one in state.active.values() if one.state != "resolved"}
        else:
            self.away = ""
            if state.alone:
                state.alone = False
                state.restored.clear()
        return found

    def _grace(self, state: RuleState) -> float:
        """Return the seconds after the start until there are samples enough to say that an alert is over."""
        return min(state.grace, LONGEST_GRACE) + seconds(state.rule.group.interval) * self._scale

    def begin(self, *, past: bool) -> None:
        """Begin to evaluate: now, or anew after somebody else did.

        :param past: whether samples from before are there, as Prometheus has them. If so, what is not found has ended,
            and alerts are taken up from the database alone; if not, it may be that too few samples are there yet.
        """
        self.started = self._clock.time()
        for state in self.states.values():
            if past:
                state.active, state.restored, state.alone = {}, set(), False
            state.grace = 0.0 if past else max(0.0, _reach(state.expr) - _LOOKBACK)

    def alerts(self) -> Iterable[tuple[RuleState, Active]]:
        """Yield every alert with its rule, resolved ones included."""
        for state in self.states.values():
            for alert in state.active.values():
                yield state, alert

    def series(self, group: GroupPlan, instance: str) -> dict[Labels, float]:
        """Return ``ALERTS`` and ``ALERTS_FOR_STATE`` of a group as Prometheus would store them."""
        result: dict[Labels, float] = {}
        for state in group.rules:
            for alert in state.active.values():
                if alert.state not in ("pending", "firing"):
                    continue
                labels = {"job": state.rule.service, "instance": instance, **dict(alert.labels)}
                shown = {**labels, "__name__": "ALERTS", "alertstate": alert.state}
                result[tuple(sorted(shown.items()))] = 1.0
                result[tuple(sorted({**labels, "__name__": "ALERTS_FOR_STATE"}.items()))] = alert.since
        return result


def told(error: BaseException) -> str:
    """Return an error in one line for people."""
    text = " ".join(str(error).split())
    return (text if isinstance(error, BedplateError) else f"{type(error).__name__}: {text}")[:500]


def _too_far(expr: str, kept: float | None) -> bool:
    return kept is not None and _reach(expr) >= max(kept, _LOOKBACK + 1)


def _reach(expr: str) -> float:
    """Return how many seconds an expression looks back; 0 when it cannot be evaluated."""
    from bedplate.promql import compiled

    try:
        return compiled(expr, lookback=_LOOKBACK).reach
    except BedplateError:
        return 0.0  # its evaluation will say so
