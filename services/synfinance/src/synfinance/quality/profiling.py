"""Profiling a table: read the columns, run the checks, settle the score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
import polars as pl

from synfinance.quality.comparing import MIN_HALVES, drift_from, drift_within, time_column
from synfinance.quality.faults import Fault
from synfinance.quality.found import found
from synfinance.quality.kinds import Kind, words_of
from synfinance.quality.masking import masked
from synfinance.quality.reading import Column, read_column
from synfinance.quality.report import ColumnReport, Drift, Finding, Report
from synfinance.quality.rows import check_rows
from synfinance.quality.rules import check_rule
from synfinance.quality.schema import ColumnRule, Schema
from synfinance.quality.score import settle
from synfinance.quality.texts import check_texts
from synfinance.quality.values import check_missing, check_outliers, check_unique, check_values

EXAMINED_ROWS: Final = 2_000_000
"""Rows of a larger table that are examined, evenly spread over it."""

_VIOLATIONS: Final = frozenset(
    (
        *(Fault.WRONG_TYPE, Fault.NOT_FINITE, Fault.OUT_OF_RANGE, Fault.NOT_ALLOWED, Fault.BAD_PATTERN),
        *(Fault.FUTURE_DATE, Fault.REQUIRED_MISSING),
    )
)
_INFERABLE: Final = frozenset(Kind) - {Kind.CONSTANT, Kind.EMPTY, Kind.OTHER}
_BY_DESIGN: Final = 0.99
_DESIGNED: Final = 0.2
_MAX_FLAG_VALUES: Final = 20


def profile(
    frame: pl.DataFrame,
    *,
    schema: Schema | Mapping[str, Any] | None = None,
    reference: pl.DataFrame | None = None,
    seed: int = 0,
    now: datetime | None = None,
) -> Report:
    """Judge the quality of a table from 0 to 100 and say what every lost point was lost for.

    Kinds of columns are inferred from names and values, unless ``schema`` gives them or ``reference`` shows them.
    Drift is measured from ``reference`` when there is one, else from the earlier to the later half of the rows when a
    column tells their time. ``now`` (UTC, without zone; default: this moment) is what dates in the future are later
    than. The same arguments give the same report. Of more than :data:`EXAMINED_ROWS` rows a spread sample is examined.

    Raises:
        BadSchema: ``schema`` is a mapping that is not a schema.
        ValueError: the table has no rows or no columns.
    """
    if not frame.width or not frame.height:
        raise ValueError("a table without rows or without columns has no quality to profile")
    rules = schema if isinstance(schema, Schema) else Schema.of(schema) if schema is not None else Schema()
    now = now or datetime.now(UTC).replace(tzinfo=None)
    rows = frame.height
    notes: list[str] = []
    frame, sampled = _sampled(frame)
    if sampled:
        notes.append(f"{frame.height:,} of {rows:,} rows were examined, evenly spread; copies of rows are undercounted")
    expected: dict[str, Column] = {}
    if reference is not None and reference.height:
        old, sampled = _sampled(reference)
        if sampled:
            notes.append(f"{old.height:,} of {reference.height:,} rows of the reference were compared")
        expected = {raw.name: read_column(raw, _wanted(rules, raw.name, {})) for raw in old.iter_columns()}
    columns = [read_column(raw, _wanted(rules, raw.name, expected)) for raw in frame.iter_columns()]
    time = time_column(columns)

    drifts: list[Drift] = []
    drift_findings: list[Finding] = []
    compared = None
    if expected:
        compared = "this file and the reference"
        drifts, drift_findings = drift_from(list(expected.values()), columns, seed)
    elif time is not None and time.known >= MIN_HALVES:
        compared = f"the earlier and the later half by {time.name!r}"
        drifts, drift_findings = drift_within(columns, time, seed)

    flags = [column for column in columns if column.kind in (Kind.BOOLEAN, Kind.CATEGORY, Kind.CODE)]
    flags = [column for column in flags if 2 <= column.distinct <= _MAX_FLAG_VALUES]
    reports = []
    for column in columns:
        rule = rules.columns.get(column.name, ColumnRule())
        drifted = [finding for finding in drift_findings if finding.column == column.name]
        reports.append(_examined(column, rule, flags, drifted, now))
    reports += _absent(frame, rules, expected)
    of_rows = [*_unknown(frame, rules, expected), *check_rows(frame, columns, time)]
    return _settled(
        Report(
            score=math.nan,
            rows=rows,
            columns=tuple(reports),
            findings=tuple(of_rows),
            drift=tuple(drifts),
            compared=compared,
            examined_rows=frame.height,
            time_column=time.name if time else None,
            seed=seed,
            notes=tuple(notes),
        )
    )


def _sampled(frame: pl.DataFrame) -> tuple[pl.DataFrame, bool]:
    step = -(-frame.height // EXAMINED_ROWS)
    return (frame.gather_every(step), True) if step > 1 else (frame, False)


def _wanted(rules: Schema, name: str, expected: Mapping[str, Column]) -> Kind | None:
    """The kind that a column should have: the schema's, else the one it has in the reference."""
    rule = rules.columns.get(name)
    if rule is not None and rule.kind is not None:
        return rule.kind
    kind = expected[name].kind if name in expected else None
    return kind if kind in _INFERABLE else None


def _examined(
    column: Column, rule: ColumnRule, flags: Sequence[Column], drifted: Sequence[Finding], now: datetime
) -> ColumnReport:
    explained, unexplained = _by_design(column, flags) if rule.nullable is None else (None, 0)
    findings = check_missing(column, explained, unexplained, nullable=rule.nullable)
    findings += check_values(column, now)
    if column.kind.wordy or (column.kind is Kind.CONSTANT and column.raw.dtype == pl.String):
        findings += check_texts(column)
    findings += check_unique(column, unique=rule.unique)
    findings += check_rule(column, rule)
    outliers, outlier_findings = check_outliers(column, now)
    findings += outlier_findings
    findings += drifted
    score, settled = settle(findings)
    return ColumnReport(
        name=column.name,
        kind=column.kind,
        dtype=str(column.raw.dtype),
        score=score,
        findings=settled,
        missing=column.nulls + int(column.disguised.sum()),
        invalid=min(len(column), sum(finding.count for finding in findings if finding.fault in _VIOLATIONS)),
        outliers=outliers,
        distinct=column.distinct,
    )


def _by_design(column: Column, flags: Sequence[Column]) -> tuple[str | None, int]:
    """What explains that values are missing, if another column says where they exist; and how many it does not explain.

    A fraud type exists where a row is fraud: the flag has values with which all but 1 % are missing and others with
    which most are there. A flag that is neither yes or no nor a namesake (the channel, for a device) must explain a
    fifth of all rows, and cannot excuse numbers. Rows in which the flag itself is missing explain nothing.
    """
    lost = column.raw.is_null()
    if column.raw.dtype in (pl.Float32, pl.Float64):
        lost |= column.raw.is_nan().fill_null(False)
    share = int(lost.sum()) / len(column)
    if not 0.005 < share < 1.0:
        return None, 0
    for flag in flags:
        akin = flag.kind is Kind.BOOLEAN or bool(words_of(flag.name) & words_of(column.name))
        if flag is column or not (akin or (share >= _DESIGNED and not column.kind.numeric)):
            continue
        levels = (
            pl.DataFrame({"flag": flag.values, "lost": lost})
            .drop_nulls("flag")
            .group_by("flag", maintain_order=True)
            .agg(pl.col("lost").sum().alias("lost"), pl.len().alias("rows"))
            .with_columns(share=pl.col("lost") / pl.col("rows"))
        )
        without, within = levels.filter(pl.col("share") >= _BY_DESIGN), levels.filter(pl.col("share") < 0.5)
        if not without.is_empty() and not within.is_empty() and without.height + within.height == levels.height:
            names = ", ".join(sorted(str(value) for value in within["flag"].to_list())[:3])
            return f"there are values only where {flag.name!r} is {names}", int(lost.sum()) - int(without["lost"].sum())
    return None, 0


def _absent(frame: pl.DataFrame, rules: Schema, expected: Mapping[str, Column]) -> list[ColumnReport]:
    """Reports of score 0 for the columns that should be there and are not."""
    asked = {name: rule.kind for name, rule in rules.columns.items() if rule.required}
    optional = {name for name, rule in rules.columns.items() if not rule.required}
    asked |= {name: column.kind for name, column in expected.items() if name not in asked and name not in optional}
    rows, reports = frame.height, []
    for name, kind in asked.items():
        if name not in frame.columns:
            source = "schema" if name in rules.columns else "reference"
            finding = found(Fault.ABSENT_COLUMN, name, rows, rows, f"the {source} has this column, the file does not")
            score, settled = settle([finding])
            reports.append(ColumnReport(name, kind or Kind.EMPTY, "absent", score, settled, rows, rows, 0, 0))
    return reports


def _unknown(frame: pl.DataFrame, rules: Schema, expected: Mapping[str, Column]) -> list[Finding]:
    """Columns that nobody asked for, when somebody said what there should be."""
    known = (set(rules.columns) if rules.strict else set()) | set(expected)
    extra = [name for name in frame.columns if name not in known and name not in rules.columns] if known else []
    if not extra:
        return []
    names = ", ".join(map(masked, extra[:5]))
    message = f"{len(extra)} columns are not expected: {names}{' …' if len(extra) > 5 else ''}"
    return [found(Fault.UNKNOWN_COLUMN, None, len(extra), frame.width, message, examples=extra)]


def _settled(report: Report) -> Report:
    """The report with its score, and with the points that each finding took from it."""
    mean = float(np.mean([column.score for column in report.columns]))
    score, findings = settle(report.findings, mean)
    columns = tuple(
        replace(
            column,
            findings=tuple(replace(f, overall_points=f.points / len(report.columns)) for f in column.findings),
        )
        for column in report.columns
    )
    findings = tuple(replace(finding, overall_points=finding.points) for finding in findings)
    return replace(report, score=score, columns=columns, findings=findings)
