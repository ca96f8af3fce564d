"""What the alert engine asks of the rest of the service, and how it shows its rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bedplate.component import Component, Vector
from bedplate.declarations import seconds
from bedplate.monitor.alerts.engine import RuleState
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.alerts.rules import Rule
from bedplate.promql.source import Labels

__all__ = ["Queried", "RuleView", "Sampled", "rule_view"]


class Sampled(Component, Protocol):
    """Who keeps the samples of this host; :class:`~bedplate.monitor.samples.component.Samples` does."""

    @property
    def active(self) -> bool:
        """Whether this process samples; one of a host does."""
        ...

    @property
    def instance(self) -> str:
        """The ``instance`` label of the samples."""
        ...

    def record(self, series: Mapping[Labels, float], at: float, *, group: str = "") -> None:
        """Put further series into the next row."""
        ...


class Queried(Protocol):
    """Who answers PromQL; :class:`~bedplate.monitor.samples.queries.Queries` does."""

    async def vector(self, expr: str, at: float | None = None, *, scope: Literal["host", "fleet"] = "host") -> Vector:
        """Return the value of an expression at a moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleView:
    """A rule as it is evaluated here.

    :ivar expr: with the time scale in it. :ivar hold: its ``for`` in seconds. :ivar keep: ``keep_firing_for``.
    :ivar interval: of its group, seconds. :ivar external: it is Prometheus' alone, and never evaluated here.
    :ivar health: of the last evaluation. :ivar evaluated_at: Unix seconds. :ivar took: seconds.
    :ivar alerts: pending and firing ones that this process evaluates.
    """

    rule: Rule
    expr: str
    hold: float
    keep: float
    interval: float
    external: bool
    health: Literal["unknown", "ok", "err"] = "unknown"
    error: str = ""
    evaluated_at: float | None = None
    took: float = 0.0
    alerts: tuple[AlertView, ...] = ()


def rule_view(rule: Rule, state: RuleState | None, alerts: Iterable[AlertView], scale: float) -> RuleView:
    """Return a rule as others see it.

    :param state: what became of it; None for one that is not evaluated here. :param alerts: all that are known.
    """
    interval = seconds(rule.group.interval) * scale
    if state is None:
        return RuleView(rule=rule, expr=rule.expr, hold=0.0, keep=0.0, interval=interval, external=True)
    own = (one for one in alerts if (one.name, one.source) == (rule.name, rule.source))
    return RuleView(
        rule=rule,
        expr=state.expr,
        hold=state.hold,
        keep=state.keep,
        interval=interval,
        external=False,
        health=state.health,
        error=state.error,
        evaluated_at=state.evaluated_at,
        took=state.took,
        alerts=tuple(one for one in own if one.state in ("pending", "firing")),
    )
