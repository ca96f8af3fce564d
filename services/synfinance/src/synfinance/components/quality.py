"""Data quality of what passes through: missing values, outliers, violations, drift, and a score from 0 to 100."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, Final

import polars as pl

from bedplate.component import BoundCounter, BoundHistogram, Host, Spec
from bedplate.declarations import Action
from bedplate.metric import OTHER, Gauge
from bedplate.telemetry.traces import traced
from synfinance.components.compute import Compute
from synfinance.components.rolling import Rolling, RollingSettings, reset_action
from synfinance.components.signals.quality import (
    ALERTS,
    ASSESSED,
    DRIFT,
    DRIFT_BOUND,
    DRIFTED,
    DURATION,
    FIELDS,
    METRICS,
    MISSING,
    OUTLIERS,
    PANELS,
    RUNBOOK,
    SCORE,
    VIOLATING,
    VIOLATIONS,
)
from synfinance.quality import Report, Schema, profile

__all__ = ["DataQuality", "QualitySettings"]

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
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
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
            # Also where there are none: what begins at 0 can be seen to rise.
            bind(VIOLATIONS, field=field).inc(column.invalid)
        for drift in report.drift:
            field, kind = _field(drift.column), drift.kind
            add(("comparisons", field, kind))
            add(("drift", field, kind), drift.value)
            add(("bound", field, kind), drift.bound)
            bind(DRIFTED, field=field, kind=kind).inc(float(drift.drifted))
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
