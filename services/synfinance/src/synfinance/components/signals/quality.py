"""How good the data are that pass through: missing values, outliers, violations, drift, and a score."""

from __future__ import annotations

from functools import partial
from typing import Final

from bedplate.declarations import Alert, Panel, Series
from bedplate.metric import Counter, Gauge, Histogram
from synfinance.components.signals.boards import (
    DATA_QUALITY,
    PERFORMANCE,
    QUALITY,
    QUALITY_BANDS,
    quantiles,
    runbook_of,
)
from synfinance.transactions import COLUMNS

__all__ = [
    "ALERTS",
    "ASSESSED",
    "DRIFT",
    "DRIFTED",
    "DRIFT_BOUND",
    "DURATION",
    "FIELDS",
    "KINDS",
    "METRICS",
    "MISSING",
    "OUTLIERS",
    "PANELS",
    "RUNBOOK",
    "SCORE",
    "VIOLATING",
    "VIOLATIONS",
]

#: Fields of a transaction are told apart; columns of other people's files are taken together.
FIELDS: Final = COLUMNS
KINDS: Final = ("psi", "wasserstein", "missing")
_FIELD: Final = {"field": FIELDS}
_FIELD_AND_KIND: Final = {"field": FIELDS, "kind": KINDS}

SCORE = Gauge(
    "synfinance_data_quality_score",
    "Quality of the data assessed in the last minutes, from 0 to 100, weighted by rows.",
    merge="ratio",
)
ASSESSED = Counter("synfinance_data_assessed_rows_total", "Rows whose quality was assessed.")
DURATION = Histogram("synfinance_data_assessment_time_seconds", "Time to assess one table.", unit="seconds")
MISSING = Gauge(
    "synfinance_data_missing_ratio", "Share of recent values that are missing.", _FIELD, unit="ratio", merge="ratio"
)
OUTLIERS = Gauge(
    "synfinance_data_outlier_ratio", "Share of recent values that are outliers.", _FIELD, unit="ratio", merge="ratio"
)
VIOLATING = Gauge(
    "synfinance_data_violation_ratio",
    "Share of recent values that break their column's type, range, list or pattern.",
    _FIELD,
    unit="ratio",
    merge="ratio",
)
VIOLATIONS = Counter(
    "synfinance_data_schema_violations_total", "Values that break their column's type, range, list or pattern.", _FIELD
)
DRIFT = Gauge(
    "synfinance_data_drift",
    "Distance of recent values from the reference: PSI, robust standard deviations, or a difference of missing rates.",
    _FIELD_AND_KIND,
    merge="ratio",
)
DRIFT_BOUND = Gauge(
    "synfinance_data_drift_bound",
    "The distance that chance and effects too small to tell stay below.",
    _FIELD_AND_KIND,
    merge="ratio",
)
DRIFTED = Counter(
    "synfinance_data_drift_detections_total",
    "Assessments in which a field was further from the reference than its bound.",
    _FIELD_AND_KIND,
)
METRICS: Final = (SCORE, ASSESSED, DURATION, MISSING, OUTLIERS, VIOLATING, VIOLATIONS, DRIFT, DRIFT_BOUND, DRIFTED)

RUNBOOK: Final = runbook_of(__file__)

#: A purchase with the card in hand has no device, so most rows lack one by nature.
_MISSING: Final = f'max by (field) ({MISSING}{{field!="device_id"}})'
_OUTLIERS: Final = f"max by (field) ({OUTLIERS})"
_VIOLATIONS: Final = f"sum by (field) (rate({VIOLATIONS}[15m])) / scalar(sum(rate({ASSESSED}[15m])))"
_DRIFT: Final = f"max by (field) ({DRIFT} / {DRIFT_BOUND})"

# The shares are means of five minutes, and looked at every five: whatever is true once has lasted.
ALERTS: Final = (
    Alert(
        name="HighMissingValueRate",
        expr=f"{_MISSING} > 0.15",
        summary="{{ $value | humanizePercentage }} of the values of {{ $labels.field }} are missing; what is computed "
        "from them is wrong or not computed.",
        for_="0s",
        group=QUALITY,
        fires=(Series(str(MISSING(field="merchant_city")), "0.02x4 0.4x10"),),
        quiet=(
            Series(str(MISSING(field="merchant_city")), "0.12x15"),
            Series(str(MISSING(field="device_id")), "0.7x15"),
        ),
    ),
    Alert(
        name="HighOutlierRate",
        expr=f"{_OUTLIERS} > 0.05",
        summary="{{ $value | humanizePercentage }} of the values of {{ $labels.field }} are outliers: another unit, "
        "a shifted decimal point, or fraud.",
        for_="0s",
        group=QUALITY,
        fires=(Series(str(OUTLIERS(field="amount")), "0.001x4 0.08x10"),),
        quiet=(Series(str(OUTLIERS(field="amount")), "0.02x15"),),
    ),
    Alert(
        name="SchemaValidationFailures",
        expr=f"{_VIOLATIONS} > 0.01 and on () sum(rate({ASSESSED}[15m])) > 0.1",
        summary="{{ $value | humanizePercentage }} of the rows break the schema in {{ $labels.field }}; whoever sends "
        "them sends something else than was agreed.",
        for_="0s",
        group=QUALITY,
        fires=(Series(str(VIOLATIONS(field="currency")), "0x4 0+60x20"), Series(str(ASSESSED), "0+1200x25")),
        quiet=(Series(str(VIOLATIONS(field="currency")), "0x4 0+3x20"), Series(str(ASSESSED), "0+1200x25")),
    ),
    Alert(
        name="DistributionDriftDetected",
        expr=f"{_DRIFT} > 1",
        summary="The values of {{ $labels.field }} have drifted, to {{ $value | humanize }} times the distance that "
        "chance explains; models that learned from the old ones err.",
        for_="0s",
        group=QUALITY,
        fires=(
            Series(str(DRIFT(field="amount", kind="psi")), "0.04x4 0.6x10"),
            Series(str(DRIFT_BOUND(field="amount", kind="psi")), "0.3x14"),
        ),
        quiet=(
            Series(str(DRIFT(field="amount", kind="psi")), "0.1x15"),
            Series(str(DRIFT_BOUND(field="amount", kind="psi")), "0.3x15"),
        ),
    ),
    Alert(
        name="LowDataQualityScore",
        expr=f"{SCORE} < 90",
        summary="The data that pass through score {{ $value | humanize }} of 100; below 90 they need mending before "
        "they are used.",
        for_="0s",
        group=QUALITY,
        fires=(Series(str(SCORE), "98x4 82x10"),),
        quiet=(Series(str(SCORE), "98x4 93x10"),),
    ),
)

_good = partial(Panel, dashboard=DATA_QUALITY, row="How good?")
_wrong = partial(Panel, dashboard=DATA_QUALITY, row="What is wrong?", low=0)
_changed = partial(Panel, dashboard=DATA_QUALITY, row="Did it change?", low=0)
PANELS: Final = (
    _good(
        title="Quality score",
        expr=str(SCORE),
        kind="stat",
        thresholds=QUALITY_BANDS,
        low=0,
        high=100,
        summary="How good were the data of the last minutes, of 100 points?",
    ),
    _good(
        title="Rows assessed a second",
        expr=f"sum(rate({ASSESSED}[5m]))",
        kind="stat",
        unit="ops",
        summary="How much does the score rest on?",
    ),
    _good(
        title="Worst share of missing values",
        expr=f"max({_MISSING})",
        kind="stat",
        unit="percentunit",
        summary="How much does the worst field lack? Devices are left out, which most purchases have none of.",
    ),
    _good(
        title="Fields that drifted",
        expr=f"count({_DRIFT} > 1) or vector(0)",
        kind="stat",
        summary="How many fields changed by more than chance explains?",
    ),
    _good(
        title="Quality score over time",
        expr=(("score", str(SCORE)),),
        thresholds=QUALITY_BANDS,
        low=0,
        high=100,
        summary="When did it begin to get worse?",
    ),
    _wrong(
        title="Missing values",
        expr=(("{{field}}", _MISSING),),
        unit="percentunit",
        summary="Which fields are not filled in?",
    ),
    _wrong(
        title="Outliers",
        expr=(("{{field}}", _OUTLIERS),),
        unit="percentunit",
        summary="Which fields hold values far from all others?",
    ),
    _wrong(
        title="Schema violations",
        expr=(("{{field}}", _VIOLATIONS),),
        unit="percentunit",
        summary="Which fields break their type, range, list or pattern, in what share of the rows?",
    ),
    _wrong(
        title="Values that break the schema now",
        expr=(("{{field}}", f"max by (field) ({VIOLATING})"),),
        unit="percentunit",
        summary="What share of the latest values does?",
    ),
    _changed(
        title="Drift, in multiples of its bound",
        expr=(("{{field}}", _DRIFT),),
        summary="Which fields drift? Above 1 it is more than chance explains.",
    ),
    _changed(
        title="Drift by how it is measured",
        expr=(("{{kind}}", f"max by (kind) ({DRIFT} / {DRIFT_BOUND})"),),
        summary="Did the shares of values change (psi), their size (wasserstein), or how many are missing?",
    ),
    _changed(
        title="Assessments that found drift",
        expr=(("{{field}}", f"sum by (field) (rate({DRIFTED}[5m]))"),),
        unit="ops",
        summary="How often is it found, and in which field?",
    ),
    Panel(
        title="Quality of a table",
        expr=quantiles(DURATION, 0.5, 0.95),
        unit="s",
        low=0,
        summary="How long does it take to assess a table?",
        dashboard=PERFORMANCE,
        row="What takes how long?",
    ),
    Panel(
        title="Assessed a second",
        expr=f"sum(rate({ASSESSED}[5m]))",
        kind="stat",
        unit="ops",
        summary="How many rows had their quality assessed?",
        dashboard=PERFORMANCE,
        row="How much is done?",
    ),
)
