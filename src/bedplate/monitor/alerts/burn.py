"""Alerts on an error budget: how fast it burns, over a long and a short window at once.

Source: *The Site Reliability Workbook*, chapter 5, "Multiwindow, Multi-Burn-Rate Alerts". The long window says that it
matters, the short one that it still goes on, so that the alert ends soon after its cause. A guard keeps quiet where so
few events happened that their ratio tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from bedplate.declarations import SLO, Alert, Severity, seconds

__all__ = ["BURNS", "Burn", "burn_alerts", "burn_runbook", "error_ratio"]


@dataclass(frozen=True, slots=True)
class Burn:
    """One speed: ``share`` of the whole budget is gone within the ``long`` window."""

    long: str
    short: str
    share: float
    severity: Severity

    def rate(self, slo: SLO) -> float:
        """Return how many times faster than allowed the budget burns at this speed; 14.4 for 2 % of 30 days an hour."""
        return self.share * seconds(slo.window) / seconds(self.long)


BURNS = (
    Burn("1h", "5m", 0.02, "critical"),
    Burn("6h", "30m", 0.05, "critical"),
    Burn("1d", "2h", 0.10, "warning"),
    Burn("3d", "6h", 0.10, "warning"),
)


def burn_alerts(slo: SLO) -> tuple[Alert, ...]:
    """Return the alerts of an objective: one a speed that is faster than the budget allows."""
    return tuple(_alert(slo, burn) for burn in BURNS if burn.rate(slo) >= 1.0)


def error_ratio(slo: SLO, window: str) -> str:
    """Return the expression of the share of bad events in a window."""
    total = f"sum(increase({slo.total}[{window}]))"
    # Where nothing was good there may be no series of good events at all; that is all bad, not nothing known.
    return f"(1 - (sum(increase({slo.good}[{window}])) or {total} * 0) / {total})"


def burn_runbook(slo: SLO) -> str:
    """Return the page for an objective whose component's runbook has none of its own."""
    share = f"{(1 - slo.objective) * 100:g} %"
    meaning = f"{slo.summary.strip()} " if slo.summary else ""
    return (
        f"{meaning}Over {slo.window}, {share} of the events may be bad; now they are so many more that this budget "
        "burns too fast. Look first at what changed: deploys, settings, flags. Then at the errors and the slow traces "
        "of this time. If a release did it, roll it back before you look for the cause. When the budget is spent, "
        "reliability comes before features until it has recovered."
    )


def _alert(slo: SLO, burn: Burn) -> Alert:
    bound = f"{burn.rate(slo) * (1 - slo.objective):.6g}"
    name = "".join(part[:1].upper() + part[1:] for part in slo.name.replace("-", "_").split("_"))
    long, short = error_ratio(slo, burn.long), error_ratio(slo, burn.short)
    return Alert(
        name=f"{name}BudgetBurn{burn.long}",
        expr=f"{long} > {bound} and {short} > {bound} and sum(increase({slo.total}[{burn.long}])) >= {slo.least:g}",
        summary=f"{slo.summary or slo.name}: the error budget burns {burn.rate(slo):.3g} times too fast.",
        severity=burn.severity,
        for_="0s",
        fires=slo.fires,
        quiet=slo.quiet,
    )
