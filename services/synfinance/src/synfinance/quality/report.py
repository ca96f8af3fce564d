"""What a profile says: frozen values that a program can read, with one dictionary form for JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from synfinance.quality.faults import Dimension, Fault, Severity
from synfinance.quality.kinds import Kind

DriftKind = Literal["psi", "wasserstein", "missing"]
Band = Literal["good", "fair", "poor"]


def band_of(score: float) -> Band:
    """The quality band of a score: good from 90, fair from 70, poor below."""
    return "good" if score >= 90 else "fair" if score >= 70 else "poor"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault of one column, or of the rows of the file when ``column`` is None."""

    fault: Fault
    column: str | None
    dimension: Dimension
    severity: Severity
    count: int
    """Values (or rows) concerned."""
    share: float
    """The same as a fraction of all rows."""
    message: str
    suggestion: str
    examples: tuple[str, ...] = ()
    """At most five of the values concerned; card numbers and e-mail addresses are masked."""
    loss: float = 0.0
    """Fraction of the score that this fault takes by itself; see :mod:`synfinance.quality.faults`."""
    points: float = 0.0
    """Points that the column's score lost to it (the file's, for a fault of rows)."""
    overall_points: float = 0.0
    """Points that the file's score lost to it. Over all findings they add up to 100 − score."""

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "kind": self.fault.value,
            "dimension": self.dimension.value,
            "severity": self.severity.value,
            "count": self.count,
            "share": round(self.share, 6),
            "points": round(self.points, 3),
            "overall_points": round(self.overall_points, 3),
            "message": self.message,
            "examples": list(self.examples),
            "suggestion": self.suggestion,
        }


@dataclass(frozen=True, slots=True)
class Drift:
    """One comparison of a field between two samples: how far they are apart, and how far chance would take them."""

    column: str
    kind: DriftKind
    value: float
    """PSI, Wasserstein distance in robust standard deviations, or difference of the missing rates."""
    bound: float
    """What two clean samples of these sizes stay below, and never less than the smallest effect worth telling."""

    @property
    def drifted(self) -> bool:
        """Whether the difference is larger than chance and large enough to matter."""
        return self.value > self.bound

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "column": self.column,
            "kind": self.kind,
            "value": round(self.value, 6),
            "bound": round(self.bound, 6),
            "drifted": self.drifted,
        }


@dataclass(frozen=True, slots=True)
class ColumnReport:
    """What was found in one column."""

    name: str
    kind: Kind
    dtype: str
    score: float
    """0 to 100."""
    findings: tuple[Finding, ...]
    missing: int
    """Values that are null, or stand for a missing value."""
    invalid: int
    """Values that break the type, range, pattern or list of the column."""
    outliers: int
    distinct: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form."""
        return {
            "name": self.name,
            "score": round(self.score, 2),
            "kind": self.kind.value,
            "dtype": self.dtype,
            "missing": self.missing,
            "invalid": self.invalid,
            "outliers": self.outliers,
            "distinct": self.distinct,
            "findings": [finding.to_dict() for finding in self.findings],
        }


@dataclass(frozen=True)
class Report:
    """The quality of one table, from 0 to 100, with every lost point explained."""

    score: float
    rows: int
    columns: tuple[ColumnReport, ...]
    findings: tuple[Finding, ...]
    """Faults of rows: copies, gaps in time."""
    drift: tuple[Drift, ...]
    compared: str | None
    """What drift was measured between, in words; None when nothing was compared."""
    examined_rows: int
    """Rows that the checks of columns looked at; fewer than :attr:`rows` in a large table."""
    time_column: str | None
    seed: int
    notes: tuple[str, ...] = field(default=())

    @property
    def band(self) -> Band:
        """The quality band of the score."""
        return band_of(self.score)

    def all_findings(self) -> Iterator[Finding]:
        """Findings of rows, then of each column."""
        yield from self.findings
        for column in self.columns:
            yield from column.findings

    @cached_property
    def dimensions(self) -> Mapping[Dimension, float]:
        """For each dimension, 100 less the points that the file lost in it."""
        lost: dict[Dimension, float] = dict.fromkeys(Dimension, 0.0)
        for finding in self.all_findings():
            lost[finding.dimension] += finding.overall_points
        return {dimension: 100.0 - points for dimension, points in lost.items()}

    @cached_property
    def missing_rate(self) -> Mapping[str, float]:
        """Share of missing values (0 to 1) by column."""
        return self._rates("missing")

    @cached_property
    def outlier_rate(self) -> Mapping[str, float]:
        """Share of outliers (0 to 1) by column."""
        return self._rates("outliers")

    @cached_property
    def violation_rate(self) -> Mapping[str, float]:
        """Share of schema violations (0 to 1) by column."""
        return self._rates("invalid")

    @cached_property
    def violations(self) -> Mapping[str, int]:
        """Number of schema violations by column, counted in the rows that were examined."""
        return {column.name: column.invalid for column in self.columns}

    @cached_property
    def drift_by_field(self) -> Mapping[str, Mapping[DriftKind, float]]:
        """Drift by column and kind, for the columns that were compared."""
        fields: defaultdict[str, dict[DriftKind, float]] = defaultdict(dict)
        for item in self.drift:
            fields[item.column][item.kind] = item.value
        return dict(fields)

    def column(self, name: str) -> ColumnReport:
        """The report of one column. Raises :class:`KeyError` when there is none of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready form: ``{score, columns: [{name, score, findings}], …}``."""
        return {
            "score": round(self.score, 2),
            "band": self.band,
            "rows": self.rows,
            "examined_rows": self.examined_rows,
            "time_column": self.time_column,
            "dimensions": {dimension.value: round(score, 2) for dimension, score in self.dimensions.items()},
            "columns": [column.to_dict() for column in self.columns],
            "findings": [finding.to_dict() for finding in self.findings],
            "drift": [item.to_dict() for item in self.drift],
            "compared": self.compared,
            "notes": list(self.notes),
        }

    def _rates(self, attribute: Literal["missing", "outliers", "invalid"]) -> Mapping[str, float]:
        rows = max(1, self.examined_rows)
        return {column.name: getattr(column, attribute) / rows for column in self.columns}
