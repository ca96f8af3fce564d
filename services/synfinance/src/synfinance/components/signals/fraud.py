"""How much fraud is found, of which kind, how sure the detector is, and how right."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from synfinance.components.signals.boards import (
    CRITICAL,
    FRAUD_DETECTION,
    PERFORMANCE,
    SLA,
    WARNING,
    p95,
    quantiles,
    runbook_of,
)
from synfinance.generator import FRAUD_TYPES, SEVERITIES

__all__ = [
    "ALERTS",
    "ALL",
    "ANOMALIES",
    "ANOMALY_RATE",
    "CONFIDENCE",
    "DETECTIONS",
    "F1",
    "FEATURES",
    "FRAUD_RATE",
    "METRICS",
    "MODEL_MISSING",
    "OUTCOME",
    "OUTCOMES",
    "PANELS",
    "PRECISION",
    "PREDICTION",
    "RECALL",
    "RUNBOOK",
    "SCORED",
    "TRAINED",
    "TYPES",
]

#: What an alert may be said to be: kinds that were learned, or what a detector without labels says.
TYPES: Final = (*FRAUD_TYPES, "fraud", "anomaly")
ALL: Final = "all"
OUTCOMES: Final = ("true_positive", "false_positive", "true_negative", "false_negative")

_PARTS: Final = {"fraud_type": (*TYPES, ALL), "severity": (*SEVERITIES, ALL)}

SCORED = Counter("synfinance_transactions_scored_total", "Transactions that the detector has judged.")
DETECTIONS = Counter(
    "synfinance_fraud_detections_total",
    "Transactions alerted, by the kind and severity that the detector says they are.",
    {"fraud_type": TYPES, "severity": SEVERITIES},
)
CONFIDENCE = Histogram(
    "synfinance_fraud_confidence_ratio",
    "Probability of fraud, between 0 and 1, that the detector gives to what it alerts.",
    {"fraud_type": TYPES},
    unit="ratio",
    buckets=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
ANOMALIES = Counter("synfinance_anomaly_detections_total", "Transactions that are unusual, whatever their label.")
FEATURES = Histogram(
    "synfinance_feature_engineering_time_seconds", "Time to derive the features of one batch.", unit="seconds"
)
PREDICTION = Histogram("synfinance_prediction_time_seconds", "Time to predict one batch.", unit="seconds")
TRAINED = Gauge(
    "synfinance_model_trained", "Whether a model trained on labels is in use: 1, or 0 for anomalies only.", merge="min"
)
FRAUD_RATE = Gauge(
    "synfinance_fraud_rate_ratio", "Share of scored transactions that were alerted.", unit="ratio", merge="ratio"
)
ANOMALY_RATE = Gauge(
    "synfinance_anomaly_rate_ratio", "Share of scored transactions that are anomalies.", unit="ratio", merge="ratio"
)
OUTCOME = Counter(
    "synfinance_fraud_outcomes_total",
    "Scored transactions whose label is known, by what the detector made of them: the confusion matrix.",
    {"outcome": OUTCOMES},
)
PRECISION = Gauge(
    "synfinance_fraud_precision_ratio", "Share of recent alerts that are right.", _PARTS, unit="ratio", merge="ratio"
)
RECALL = Gauge(
    "synfinance_fraud_recall_ratio", "Share of recent fraud that was alerted.", _PARTS, unit="ratio", merge="ratio"
)
F1 = Gauge(
    "synfinance_fraud_f1_ratio",
    "Harmonic mean of precision and recall; over several processes, weighted by their fraud.",
    _PARTS,
    unit="ratio",
    merge="ratio",
)
METRICS: Final = (
    *(SCORED, DETECTIONS, CONFIDENCE, ANOMALIES, FEATURES, PREDICTION, TRAINED),
    *(FRAUD_RATE, ANOMALY_RATE, OUTCOME, PRECISION, RECALL, F1),
)

RUNBOOK: Final = runbook_of(__file__)


def _sum(selector: object, window: str) -> str:
    return f"sum(rate({selector}[{window}]))"


def _of(outcomes: str, window: str = "15m") -> str:
    return _sum(f'{OUTCOME}{{outcome=~"{outcomes}"}}', window)


def _alerted(window: str) -> str:
    return f"{_sum(DETECTIONS, window)} / {_sum(SCORED, window)}"


def _by_part(gauge: Gauge, part: str) -> str:
    # Types and severities are each told over all of the other; fixed, so that choosing one of them leaves the others.
    whole = next(name for name in _PARTS if name != part)
    return f'max by ({part}) ({gauge}{{{whole}="{ALL}",{part}!="{ALL}"}})'


_RIGHT: Final = _of("true_positive")
_FRAUD: Final = _of("true_positive|false_negative")
_SAID: Final = _of("true_positive|false_positive")
_CRITICAL: Final = f"sum by (fraud_type) (rate({DETECTIONS(severity='critical')}[5m])) / scalar({_sum(SCORED, '5m')})"
_CONFIDENCE: Final = f"{_sum(CONFIDENCE.sum, '15m')} / {_sum(CONFIDENCE.count, '15m')}"
_ANOMALOUS: Final = f"{_sum(ANOMALIES, '15m')} / {_sum(SCORED, '15m')}"


def _detections(fraud: str, values: str, severity: str = "medium") -> Series:
    return Series(str(DETECTIONS(fraud_type=fraud, severity=severity)), values)


def _outcomes(right: int, false: int, missed: int) -> tuple[Series, ...]:
    """Return the series of an hour in which so many are counted a minute."""
    a_minute = {"true_positive": right, "false_positive": false, "true_negative": 900, "false_negative": missed}
    return tuple(Series(str(OUTCOME(outcome=name)), f"0+{count}x30") for name, count in a_minute.items())


def _confidence(mean: float) -> tuple[Series, ...]:
    """Return the series of six alerts a minute with this mean probability."""
    narrowed = CONFIDENCE(fraud_type="card_testing")
    return (Series(narrowed.sum, f"0+{6 * mean:g}x30"), Series(narrowed.count, "0+6x30"))


def _times(histogram: Histogram, quick: int) -> tuple[Series, ...]:
    """Return the series of a batch a second, of which ``quick`` of 60 take half a second and the others two."""
    reached = {"0.5": quick, "1.0": quick, "2.5": 60, "+Inf": 60}
    buckets = (Series(f'{histogram.bucket}{{le="{le}"}}', f"0+{count}x30") for le, count in reached.items())
    return (*buckets, Series(histogram.count, "0+60x30"))


MODEL_MISSING: Final = Alert(
    name="FraudModelMissing",
    expr=f"min({TRAINED}) == 0",
    summary="No trained model is in use; only anomalies are detected, and most fraud passes.",
    severity="critical",
    for_="15m",
    group=CRITICAL,
    fires=(Series(str(TRAINED), "0x20"),),
    quiet=(Series(str(TRAINED), "0x10 1x20"),),
)

ALERTS: Final = (
    Alert(
        name="CriticalFraudDetected",
        # Rare ones are what a detector is for; one in five hundred is an attack.
        expr=f"{_CRITICAL} > 0.002 and on () {_sum(SCORED, '5m')} > 0.2",
        summary="{{ $value | humanizePercentage }} of the transactions are {{ $labels.fraud_type }} of the gravest "
        "kind; money is being lost now.",
        severity="critical",
        for_="0s",
        group=CRITICAL,
        fires=(_detections("account_takeover", "0x5 0+6x10", "critical"), Series(str(SCORED), "0+600x15")),
        quiet=(
            _detections("account_takeover", "0x5 1x15", "critical"),
            _detections("structuring", "0+60x20", "high"),
            Series(str(SCORED), "0+600x20"),
        ),
    ),
    Alert(
        name="HighFraudRate",
        expr=f"{_alerted('5m')} > 0.1 and {_sum(SCORED, '5m')} > 1",
        summary="{{ $value | humanizePercentage }} of the transactions are alerted as fraud: an attack, or a detector "
        "that has gone wrong.",
        severity="critical",
        for_="2m",
        group=CRITICAL,
        fires=(_detections("card_testing", "0+18x5 108+180x10"), Series(str(SCORED), "0+600x15")),
        quiet=(_detections("card_testing", "0+24x20"), Series(str(SCORED), "0+600x20")),
    ),
    Alert(
        name="HighPredictionLatency",
        expr=f"{p95(PREDICTION)} > 1 and {_sum(PREDICTION.count, '5m')} > 0.05",
        summary="One batch in twenty waits {{ $value | humanizeDuration }} for its prediction; payments cannot be "
        "held back that long.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=_times(PREDICTION, 50),
        quiet=_times(PREDICTION, 59),
    ),
    Alert(
        name="LowFraudRecall",
        expr=f"{_RIGHT} / {_FRAUD} < 0.4 and {_FRAUD} > 0.05",
        summary="Only {{ $value | humanizePercentage }} of the fraud whose label is known was alerted; the rest "
        "passed.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=_outcomes(right=5, false=3, missed=15),
        quiet=_outcomes(right=14, false=6, missed=6),
    ),
    Alert(
        name="LowFraudPrecision",
        expr=f"{_RIGHT} / {_SAID} < 0.3 and {_SAID} > 0.05",
        summary="Only {{ $value | humanizePercentage }} of the alerts are fraud; honest customers are held up, and "
        "whoever looks at alerts looks in vain.",
        severity="critical",
        for_="5m",
        group=CRITICAL,
        fires=_outcomes(right=5, false=25, missed=3),
        quiet=_outcomes(right=14, false=6, missed=6),
    ),
    Alert(
        name="ElevatedFraudRate",
        expr=f"{_alerted('15m')} > 0.06 and {_sum(SCORED, '15m')} > 1",
        summary="{{ $value | humanizePercentage }} of the transactions are alerted as fraud, twice as many as usual.",
        for_="10m",
        group=WARNING,
        fires=(_detections("card_testing", "0+48x30"), Series(str(SCORED), "0+600x30")),
        quiet=(_detections("card_testing", "0+24x30"), Series(str(SCORED), "0+600x30")),
    ),
    Alert(
        name="LowFraudConfidence",
        expr=f"{_CONFIDENCE} < 0.3 and {_sum(CONFIDENCE.count, '15m')} > 0.02",
        summary="The detector is sure of its alerts to {{ $value | humanizePercentage }} only; transactions no longer "
        "look like those it learned from.",
        for_="10m",
        group=WARNING,
        fires=_confidence(0.2),
        quiet=_confidence(0.6),
    ),
    Alert(
        name="HighAnomalyRate",
        expr=f"{_ANOMALOUS} > 0.08 and {_sum(SCORED, '15m')} > 1",
        summary="{{ $value | humanizePercentage }} of the transactions are unlike what is usual, where one in a "
        "hundred is expected.",
        for_="10m",
        group=WARNING,
        fires=(Series(str(ANOMALIES), "0+60x30"), Series(str(SCORED), "0+600x30")),
        quiet=(Series(str(ANOMALIES), "0+9x30"), Series(str(SCORED), "0+600x30")),
    ),
    Alert(
        name="ElevatedFeatureEngineeringTime",
        expr=f"{p95(FEATURES, '15m')} > 0.5 and {_sum(FEATURES.count, '15m')} > 0.02",
        summary="One batch in twenty takes {{ $value | humanizeDuration }} to derive its features; scores come late.",
        for_="10m",
        group=WARNING,
        fires=_times(FEATURES, 50),
        quiet=_times(FEATURES, 59),
    ),
)

_stat = partial(Panel, dashboard=FRAUD_DETECTION, row="How much?", kind="stat")
_kind, _right, _sure = (
    partial(Panel, dashboard=FRAUD_DETECTION, row=row, low=0) for row in ("Of which kind?", "How right?", "How sure?")
)
_WHOLE: Final = {"fraud_type": ALL, "severity": ALL}
PANELS: Final = (
    _stat(title="Alerted", expr=_alerted("5m"), unit="percentunit", summary="What share of the transactions?"),
    _stat(title="Anomalies", expr=f"max({ANOMALY_RATE})", unit="percentunit", summary="What share is unusual?"),
    _stat(title="Precision", expr=str(PRECISION(**_WHOLE)), unit="percentunit", summary="What share of them is right?"),
    _stat(title="Recall", expr=str(RECALL(**_WHOLE)), unit="percentunit", summary="What share of fraud is alerted?"),
    _stat(title="F1", expr=str(F1(**_WHOLE)), unit="percentunit", summary="Both in one number: their harmonic mean."),
    _stat(title="Trained model", expr=f"min({TRAINED})", summary="1 when one is in use, 0 for anomalies alone."),
    _kind(
        title="Alerts by type",
        expr=(("{{fraud_type}}", f"sum by (fraud_type) (rate({DETECTIONS}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="What kinds of fraud does the detector see?",
    ),
    _kind(
        title="Alerts by severity",
        expr=(("{{severity}}", f"sum by (severity) (rate({DETECTIONS}[5m]))"),),
        unit="ops",
        stacked=True,
        summary="How grave are they?",
    ),
    _kind(
        title="Gravest fraud, share of all transactions",
        expr=(("{{fraud_type}}", _CRITICAL),),
        unit="percentunit",
        summary="Is somebody attacking?",
    ),
    _right(
        title="What became of labelled transactions",
        expr=(("{{outcome}}", f'sum by (outcome) (rate({OUTCOME}{{outcome!="true_negative"}}[5m]))'),),
        unit="ops",
        summary="How much fraud is caught, how much missed, and how many honest ones are alerted?",
    ),
    _right(
        title="Precision by type",
        expr=(("{{fraud_type}}", _by_part(PRECISION, "fraud_type")),),
        unit="percentunit",
        high=1,
        summary="Of the alerts said to be of this type, how many are?",
    ),
    _right(
        title="Recall by type",
        expr=(("{{fraud_type}}", _by_part(RECALL, "fraud_type")),),
        unit="percentunit",
        high=1,
        summary="Which types of fraud pass?",
    ),
    _right(
        title="Recall by severity",
        expr=(("{{severity}}", _by_part(RECALL, "severity")),),
        unit="percentunit",
        high=1,
        summary="Is the grave fraud caught?",
    ),
    _sure(
        title="Confidence of alerts",
        expr=(("mean", _CONFIDENCE), *quantiles(CONFIDENCE, 0.1, 0.5)),
        unit="percentunit",
        high=1,
        summary="How probable is fraud where it is alerted?",
    ),
    _sure(
        title="Distribution of the confidence",
        expr=f"sum by (le) (increase({CONFIDENCE.bucket}[5m]))",
        kind="heatmap",
        unit="percentunit",
        summary="Does it move towards the threshold? Then less and less tells fraud from the rest.",
    ),
    _sure(
        title="Share alerted, share unusual",
        expr=(("alerted", f"max({FRAUD_RATE})"), ("anomalies", _ANOMALOUS)),
        unit="percentunit",
        summary="Do both move together? A new kind of fraud shows as anomalies first.",
    ),
    Panel(
        title="Scored a second",
        expr=_sum(SCORED, "5m"),
        kind="stat",
        unit="ops",
        summary="How many transactions were judged?",
        dashboard=PERFORMANCE,
        row="How much is done?",
    ),
    Panel(
        title="Features of a batch",
        expr=quantiles(FEATURES, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does it take to derive what the model sees?",
        dashboard=PERFORMANCE,
        row="What takes how long?",
    ),
    Panel(
        title="Prediction of a batch",
        expr=quantiles(PREDICTION, 0.5, 0.95),
        unit="s",
        low=0,
        thresholds=(SLA,),
        summary="How long does the model take?",
        dashboard=PERFORMANCE,
        row="What takes how long?",
    ),
)
