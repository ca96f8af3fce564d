"""Violations of the rules that a given schema sets for a column."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from synfinance.quality.faults import Fault
from synfinance.quality.found import counted, found, percent
from synfinance.quality.kinds import Kind
from synfinance.quality.reading import Column
from synfinance.quality.report import Finding
from synfinance.quality.schema import ColumnRule


def check_rule(column: Column, rule: ColumnRule) -> Iterator[Finding]:
    """Values that are of the right type and yet not what the schema allows."""
    for fault, broken, what in _broken(column, rule):
        mask = broken.fill_null(False)
        if count := int(mask.sum()):
            message = f"{counted(count, 'value')} ({percent(count / len(column))}) {what}"
            yield found(fault, column.name, count, len(column), message, examples=column.instances(mask))


def _broken(column: Column, rule: ColumnRule) -> Iterator[tuple[Fault, pl.Series, str]]:
    values = column.values
    numeric = values.dtype.is_numeric()
    if rule.integer and numeric:
        yield Fault.WRONG_TYPE, values % 1 != 0, "are not whole numbers"
    for limit, below in ((rule.low, True), (rule.high, False)):
        if limit is None:
            continue
        comparable = values if numeric or column.kind is Kind.TIMESTAMP else values.cast(pl.Float64, strict=False)
        if isinstance(limit, datetime) != (comparable.dtype == pl.Datetime):
            continue
        broken = comparable < limit if below else comparable > limit
        yield Fault.OUT_OF_RANGE, broken, f"are {'less' if below else 'greater'} than {_plain(limit)}"
    if rule.values is None and rule.pattern is None:
        return
    text = _as_text(values)
    if rule.values is not None:
        allowed = sorted(rule.values)
        yield Fault.NOT_ALLOWED, ~text.is_in(allowed), f"are not among the {len(allowed)} allowed values"
    if rule.pattern is not None:
        yield Fault.BAD_PATTERN, ~text.str.contains(rule.pattern), f"do not match {rule.pattern[4:-2]}"


def _plain(limit: float | datetime) -> str:
    return limit.isoformat(" ") if isinstance(limit, datetime) else f"{limit:,.12g}"


def _as_text(values: pl.Series) -> pl.Series:
    """Values as a schema writes them: whole numbers without a fraction, booleans in lower case."""
    if values.dtype.is_float():
        whole = bool((values.drop_nulls() % 1 == 0).all())
        return (values.cast(pl.Int64, strict=False) if whole else values).cast(pl.String)
    return values.cast(pl.String)
