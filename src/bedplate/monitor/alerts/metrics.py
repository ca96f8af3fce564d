"""What the alert engine measures of itself, and what of it a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram

__all__ = [
    "ACTIVE",
    "ALERTS",
    "DURATION",
    "EVALUATIONS",
    "FAILURES",
    "METRICS",
    "MISSED",
    "OVERDUE",
    "PANELS",
    "WAITING",
]

_GROUP = {"group": 200}

EVALUATIONS = Counter("bedplate_alerts_evaluations_total", "Evaluations of a rule.", _GROUP)
FAILURES = Counter(
    "bedplate_alerts_evaluation_failures_total", "Evaluations of a rule that failed; its alerts stayed as they were.",
    _GROUP,
)  # fmt: skip
MISSED = Counter(
    "bedplate_alerts_evaluations_missed_total", "Evaluations of a group that did not happen, since it was late.", _GROUP
)
DURATION = Histogram(
    "bedplate_alerts_evaluation_duration_seconds",
    "How long the evaluation of a group took, turns of others included.",
    _GROUP,
    unit="seconds",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
)
ACTIVE = Gauge(
    "bedplate_alerts_active",
    "Alerts that this process evaluates and that are pending or fire.",
    {"state": ("pending", "firing"), "severity": ("critical", "warning", "info")},
)
WAITING = Gauge("bedplate_alerts_unsaved", "Changes that wait for the database.")
OVERDUE = Gauge(
    "bedplate_alerts_overdue", "Changes that have waited for the database for longer than two intervals of saving."
)

METRICS = (EVALUATIONS, FAILURES, MISSED, DURATION, ACTIVE, WAITING, OVERDUE)

_FAILURES, _MISSED = FAILURES(group="cache"), MISSED(group="cache")

ALERTS = (
    Alert(
        name="AlertsEvaluationFailing",
        expr=f"sum by (group) (increase({FAILURES}[5m])) > 0",
        summary="Rules of the group {{ $labels.group }} cannot be evaluated; what they watch is watched by nobody.",
        for_="1m",
        fires=(Series(str(_FAILURES), "0 0 0+1x20"),),
        quiet=(Series(str(_FAILURES), "3x30"),),
    ),
    Alert(
        name="AlertsEvaluationLate",
        expr=f"count(sum by (group) (increase({MISSED}[15m])) > 3) > 0",
        summary="Alerts come late, groups that miss evaluations: {{ $value }}. The process has too much to do.",
        fires=(Series(str(_MISSED), "0+1x40"),),
        quiet=(Series(str(_MISSED), "0x5 1x30"),),
    ),
    Alert(
        name="AlertsUnsaved",
        expr=f"sum({OVERDUE}) > 0",
        summary="{{ $value }} changes of alerts wait for the database; a restart now would lose them.",
        fires=(Series(str(OVERDUE), "0 3x20"),),
        quiet=(Series(str(WAITING), "0 3x20"), Series(str(OVERDUE), "0 3 3 0x20")),
    ),
)

PANELS = (
    Panel(
        title="Alerts",
        expr=(("{{state}} {{severity}}", f"sum by (state, severity) ({ACTIVE})"),),
        row="Alerts",
        summary="How many are pending, how many fire?",
    ),
    Panel(
        title="Evaluations and failures",
        expr=(
            ("evaluations", f"sum(rate({EVALUATIONS}[5m]))"),
            ("failures", f"sum(rate({FAILURES}[5m]))"),
            ("missed", f"sum(rate({MISSED}[5m]))"),
        ),
        unit="ops",
        row="Alerts",
    ),
    Panel(
        title="Evaluation of a group, 95th percentile",
        expr=(("{{group}}", f"histogram_quantile(0.95, sum by (le, group) (rate({DURATION.bucket}[5m])))"),),
        unit="s",
        row="Alerts",
    ),
    Panel(
        title="Unsaved changes",
        expr=(("waiting", f"sum({WAITING})"), ("overdue", f"sum({OVERDUE})")),
        row="Alerts",
        summary="Does the database take them?",
    ),
)
