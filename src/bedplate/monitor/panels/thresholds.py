"""Which alerts belong to a panel, and the lines that they draw in it."""

from __future__ import annotations

from collections.abc import Iterable

from bedplate.declarations import Alert, Panel, Threshold
from bedplate.monitor.panels.reading import Bound, bounds, core, same

__all__ = ["bad_value", "related_alerts", "thresholds_of"]


def related_alerts(panel: Panel, alerts: Iterable[Alert]) -> tuple[Alert, ...]:
    """Return the alerts that compare one of the panel's expressions with a number."""
    return tuple(alert for alert in alerts if any(_of(panel, bound) for bound in bounds(alert.expr)))


def thresholds_of(panel: Panel, alerts: Iterable[Alert]) -> tuple[Threshold, ...]:
    """Return the panel's own thresholds and those of alerts on the same expressions, ascending.

    Alerts that ask for equality draw no line: a value that is wrong is no bound. Neither does what stands after
    ``and``, such as how much traffic there must be for a share to tell something: it is no bad value.
    """
    found = {(each.value, each.above): each for each in panel.thresholds}
    for alert in alerts:
        for bound in bounds(alert.expr)[:1]:
            if bound.operator not in ("==", "!=") and _of(panel, bound):
                above = bound.operator in (">", ">=")
                line = Threshold(value=bound.value, severity=alert.severity, label=alert.name, above=above)
                found.setdefault((line.value, line.above), line)
    return tuple(sorted(found.values(), key=lambda each: each.value))


def bad_value(panel: Panel, alerts: Iterable[Alert]) -> int | None:
    """Return which of 0 and 1 is the bad value of a panel that shows nothing else; None when it shows numbers.

    An alert says so that fires when the same is, or is not, equal to one of them. A panel of states is bad at 0.
    """
    for alert in alerts:
        for bound in bounds(alert.expr):
            if bound.value in (0, 1) and any(same(core(bound.expr), core(expr)) for expr in panel.exprs):
                if bound.operator == "==":
                    return int(bound.value)
                if bound.operator == "!=":
                    return 1 - int(bound.value)
    return 0 if panel.kind == "state" else None


def _of(panel: Panel, bound: Bound) -> bool:
    return any(same(bound.expr, expr) for expr in panel.exprs)
