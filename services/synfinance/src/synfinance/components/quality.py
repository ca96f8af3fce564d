"""Data quality of what passes through: missing values, outliers, violations, drift, and a score from 0 to 100."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import polars as pl

from bedplate.component import BoundCounter, BoundHistogram, Host, Spec
from bedplate.declarations import Action, Panel
from bedplate.metric import OTHER, Counter, Gauge, Histogram
from bedplate.telemetry.traces import traced
from synfinance.components.compute import Compute
from synfinance.components.rolling import Rolling, RollingSettings, reset_action
from synfinance.quality import Report, Schema, profile
from synfinance.transactions import COLUMNS

__all__ = ["DataQuality", "QualitySettings"]

#: Fields of a transaction are told apart; columns of other people's files are taken together.
FIELDS: Final = COLUMNS
KINDS: Final = ("psi", "wasserstein", "missing")
_FIELD = {"field": FIELDS}

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
    {"field": FIELDS, "kind": KINDS},
    merge="ratio",
)
DRIFT_BOUND = Gauge(
    "synfinance_data_drift_bound",
    "The distance that chance and effects too small to tell stay below.",
    {"field": FIELDS, "kind": KINDS},
    merge="ratio",
)
DRIFTED = Counter(
    "synfinance_data_drift_detections_total",
    "Assessments in which a field was further from the reference than its bound.",
    {"field": FIELDS, "kind": KINDS},
)

_GAUGES: Final[Mapping[str, Gauge]] = {"missing": MISSING, "outliers": OUTLIERS, "invalid": VIOLATING}


class QualitySettings(RollingSettings):
    """Over how long quality is summed up."""


class DataQuality:
    """Assesses tables and keeps account of what it found in a window."""

    def __init__(self, settings: QualitySettings | None = None, *, compute: Compute) -> None:
        self.settings = settings or QualitySettings()
        self._compute = compute

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="data_quality",
            summary="Scores the quality of tables and says what every lost point was lost for.",
            needs=(self._compute,),
            settings=self.settings,
            metrics=(
                *(SCORE, ASSESSED, DURATION, MISSING, OUTLIERS),
                *(VIOLATING, VIOLATIONS, DRIFT, DRIFT_BOUND, DRIFTED),
            ),
            panels=(
                Panel(title="Data quality score", expr=str(SCORE), kind="stat"),
                Panel(title="Missing values", expr=f"max by (field) ({MISSING})", unit="percentunit"),
                Panel(title="Outliers", expr=f"max by (field) ({OUTLIERS})", unit="percentunit"),
                Panel(title="Schema violations", expr=f"sum by (field) (rate({VIOLATIONS}[5m]))", unit="ops"),
                Panel(
                    title="Drift, in multiples of its bound",
                    expr=f"max by (field) ({DRIFT} / {DRIFT_BOUND})",
                    summary="Above 1 a field has drifted.",
                ),
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Keep account."""
        self._host = host
        self._assessed: BoundCounter = host.bind(ASSESSED)
        self._duration: BoundHistogram = host.bind(DURATION)
        self._shown: set[tuple[str, ...]] = set()
        self._rolling: Rolling[tuple[str, ...]] = Rolling(host, "quality", self.settings.window, self._show)
        yield

    async def assess(
        self,
        frame: pl.DataFrame,
        reference: pl.DataFrame | None = None,
        schema: Schema | Mapping[str, Any] | None = None,
    ) -> tuple[Report, float]:
        """Profile a table, against a reference if there is one, count what was found, and return the seconds it took.

        :raises ValueError: when the table has no rows or no columns. :raises BadSchema: when the schema is none.
        :raises Busy: when too much work is waiting.
        """
        report, seconds = await self._compute.run(_profile, frame, reference, schema)
        self._duration.observe(seconds)
        self._record(report)
        return report, seconds

    def summary(self) -> dict[str, Any]:
        """Return what the window says, JSON-able; of this process."""
        totals = self._rolling.totals()
        rows = totals.get(("rows",), 0.0)
        return {
            "window_seconds": self._rolling.seconds,
            "rows": int(rows),
            "score": round(totals[("score",)] / rows, 2) if rows else None,
            "violations": int(sum(count for key, count in totals.items() if key[0] == "invalid")),
        }

    def actions(self) -> Sequence[Action]:
        """Return the button that forgets the window."""
        return (reset_action("Start the quality score, rates and drift anew.", lambda: self._rolling.reset()),)

    def _record(self, report: Report) -> None:
        add, bind = self._rolling.add, self._host.bind
        rows = report.examined_rows
        self._assessed.inc(report.rows)
        add(("rows",), rows)
        add(("score",), report.score * rows)
        for column in report.columns:
            field = _field(column.name)
            add(("values", field), rows)
            for what in _GAUGES:
                add((what, field), getattr(column, what))
            if column.invalid:
                bind(VIOLATIONS, field=field).inc(column.invalid)
        for drift in report.drift:
            field, kind = _field(drift.column), drift.kind
            add(("comparisons", field, kind))
            add(("drift", field, kind), drift.value)
            add(("bound", field, kind), drift.bound)
            if drift.drifted:
                bind(DRIFTED, field=field, kind=kind).inc()
        self._show()

    def _show(self) -> None:
        """Set the gauges to what the window says; what is no longer in it becomes *no data*."""
        totals, bind = self._rolling.totals(), self._host.bind
        bind(SCORE).ratio(totals.get(("score",), 0.0), totals.get(("rows",), 0.0))
        self._shown |= {key for key in totals if key[0] in ("values", "comparisons")}
        for what, *labels in self._shown:
            weight = totals.get((what, *labels), 0.0)
            if what == "values":
                for name, gauge in _GAUGES.items():
                    bind(gauge, field=labels[0]).ratio(totals.get((name, labels[0]), 0.0), weight)
            else:
                field, kind = labels
                bind(DRIFT, field=field, kind=kind).ratio(totals.get(("drift", field, kind), 0.0), weight)
                bind(DRIFT_BOUND, field=field, kind=kind).ratio(totals.get(("bound", field, kind), 0.0), weight)


@traced("quality")
def _profile(
    frame: pl.DataFrame, reference: pl.DataFrame | None, schema: Schema | Mapping[str, Any] | None
) -> tuple[Report, float]:
    begun = perf_counter()
    report = profile(frame, schema=schema, reference=reference)
    return report, perf_counter() - begun


def _field(column: str) -> str:
    return column if column in FIELDS else OTHER
