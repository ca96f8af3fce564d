"""Alerts and panels of an error budget: how fast it burns, over a long and a short window at once, and what is left.

Source: *The Site Reliability Workbook*, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". The long window says that it
matters, the short one that it still goes on, so that the alert ends soon after its cause. Where few events happen their
ratio tells little: the alerts stay quiet below a number of events, and one bad event alone makes none fire.

The book's windows are those for 30 days; an objective over another window has them longer or shorter in proportion, as
people would say them: an hour becomes a quarter of one for 7 days, and stays an hour for 28.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bedplate.declarations import SLO, Alert, AlertGroup, Panel, Severity, Threshold, seconds

__all__ = ["BURNS", "Burn", "burn_alerts", "burn_panels", "burn_runbook", "burns", "error_ratio"]

_BOOK = "30d"  # the window that the book's table is for
_DURATIONS = tuple("2m 5m 10m 15m 30m 1h 2h 3h 6h 12h 1d 2d 3d 7d 14d".split())


@dataclass(frozen=True, slots=True)
class Burn:
    """One speed: ``share`` of the whole budget is gone within the ``long`` window."""

    long: str
    short: str
    share: float
    severity: Severity

    def rate(self, slo: SLO) -> float:
        """Return how many times faster than allowed the budget burns at this speed; 14.4 for 2 % of 30 days an hour."""
        return max(1.0, self.share * seconds(slo.window) / seconds(self.long))


BURNS = (
    Burn("1h", "5m", 0.02, "critical"),
    Burn("6h", "30m", 0.05, "critical"),
    Burn("1d", "2h", 0.10, "warning"),
    Burn("3d", "6h", 0.10, "warning"),
)


def burns(slo: SLO) -> tuple[Burn, ...]:
    """Return the speeds that are watched, with windows that fit the objective's.

    Where the objective is low, the highest speeds are left out: not even an outage burns its budget that fast.
    """
    factor = seconds(slo.window) / seconds(_BOOK)
    scaled: dict[str, Burn] = {}
    for burn in BURNS:
        long = _near(factor * seconds(burn.long), 5 * 60)
        scaled.setdefault(long, Burn(long, _near(factor * seconds(burn.short), 2 * 60), burn.share, burn.severity))
    return tuple(burn for burn in scaled.values() if burn.rate(slo) * (1 - slo.objective) < 1)


def burn_alerts(slo: SLO) -> tuple[Alert, ...]:
    """Return the alerts of an objective, one a speed."""
    return tuple(_alert(slo, burn) for burn in burns(slo))


def burn_panels(slo: SLO) -> tuple[Panel, ...]:
    """Return the panels of an objective: what is left of its budget, how fast that burns, and the bad events."""
    name, speeds = slo.summary.strip().rstrip(".") or slo.name, burns(slo)
    budget = f"{1 - slo.objective:.6g}"
    rates = tuple((f"over {burn.long}", f"{error_ratio(slo, burn.long)} / {budget}") for burn in speeds)
    lines = tuple(
        Threshold(value=float(f"{burn.rate(slo):.4g}"), severity=burn.severity, label=f"over {burn.long}")
        for burn in speeds
    )
    row, promise = f"Objective: {name}", f"{slo.objective * 100:.6g} % over {slo.window}"
    bad = f"sum(rate({slo.total}[5m])) - (sum(rate({slo.good}[5m])) or sum(rate({slo.total}[5m])) * 0)"
    return (
        Panel(
            title=f"Error budget left: {slo.name}",
            expr=f"1 - {error_ratio(slo, slo.window)} / {budget}",
            kind="stat",
            unit="percentunit",
            row=row,
            summary=f"How much of what may fail is left? Promised: {promise}. It shows only what Prometheus keeps.",
            thresholds=(
                Threshold(value=0.25, severity="warning", above=False),
                Threshold(value=0.0, severity="critical", above=False),
            ),
        ),
        Panel(
            title=f"Burn rate: {slo.name}",
            expr=rates,
            row=row,
            summary="How many times faster than allowed is the budget spent? 1 spends exactly all of it; each alert "
            "fires above its own line, when a shorter window says so too.",
            thresholds=lines,
            low=0.0,
        ),
        Panel(
            title=f"Bad events: {slo.name}",
            expr=(("bad", bad), ("all", f"sum(rate({slo.total}[5m]))")),
            unit="ops",
            row=row,
            summary="How many are bad, and of how many?",
            low=0.0,
        ),
    )


def error_ratio(slo: SLO, window: str) -> str:
    """Return the expression of the share of bad events in a window; nothing where there were no events at all."""
    return f"(1 - {_good(slo, window)} / {_total(slo, window)})"


def burn_runbook(slo: SLO) -> str:
    """Return the page for an objective whose component's runbook has none of its own."""
    share = f"{(1 - slo.objective) * 100:.6g} %"
    meaning = f"{slo.summary.strip()} " if slo.summary else ""
    return (
        f"{meaning}Over {slo.window}, {share} of the events may be bad; now they are so many more that this budget "
        "burns too fast. Look first at what changed: deploys, settings, flags. Then at the errors and the slow traces "
        "of this time. If a release did it, roll it back before you look for the cause. When the budget is spent, "
        "reliability comes before features until it has recovered."
    )


def _total(slo: SLO, window: str) -> str:
    return f"sum(increase({slo.total}[{window}]))"


def _good(slo: SLO, window: str) -> str:
    # Where nothing was good there may be no series of good events at all; that is all bad, not nothing known.
    return f"(sum(increase({slo.good}[{window}])) or {_total(slo, window)} * 0)"


def _alert(slo: SLO, burn: Burn) -> Alert:
    bound = f"{burn.rate(slo) * (1 - slo.objective):.6g}"
    name = "".join(part[:1].upper() + part[1:] for part in slo.name.replace("-", "_").split("_"))
    total = _total(slo, burn.long)
    # Of a hundred events one is a whole per cent, so a single one would seem a trend. An increase is extrapolated to
    # the whole window, and one event may count for a little more than one.
    enough = f"{total} >= {slo.least:g} and {total} - {_good(slo, burn.long)} > 1.5"
    return Alert(
        name=f"{name}BudgetBurn{burn.long}",
        expr=f"{error_ratio(slo, burn.long)} > {bound} and {error_ratio(slo, burn.short)} > {bound} and {enough}",
        summary=f"Failures use up the budget of {slo.window} more than {burn.rate(slo):.3g} times as fast as it lasts. "
        f"The promise: {slo.summary.strip() or slo.name}",
        severity=burn.severity,
        for_="0s",
        group=AlertGroup(name=f"{slo.name}-{burn.long}", interval=_interval(burn)),
        fires=slo.fires,
        quiet=slo.quiet,
    )


def _interval(burn: Burn) -> str:
    """Return how often to look: the longer the window, the less a minute matters and the more a look costs."""
    short = seconds(burn.short)
    return "30s" if short <= 300 else "1m" if short <= 1800 else "5m"


def _near(wanted: float, least: float) -> str:
    """Return the duration that people would say for this many seconds."""
    return min(_DURATIONS, key=lambda text: abs(math.log(seconds(text) / max(wanted, least))))
