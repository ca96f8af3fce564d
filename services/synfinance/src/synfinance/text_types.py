"""Types for columns of text: integers, floats, booleans, dates and times, decided from every value of the column."""

from __future__ import annotations

from typing import Final

import polars as pl

NULL_TOKENS: Final = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-")
"""Texts, in lower case, that stand for a missing value where the rest of the column is of one type."""

_DATETIME_FORMATS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
)
_DATE_FORMATS: Final = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d.%m.%Y", "%d-%m-%Y", "%d %b %Y", "%d-%b-%Y")
_GROUPED: Final = {
    "grouped": r"^[+-]?[£$€]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?$",
    "grouped_comma": r"^[+-]?[£$€]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$",
}
"""Numbers as people write them: with grouped thousands, a decimal comma, or a currency sign before them."""
_PROBE_ROWS: Final = 200


def typed(column: pl.Series) -> pl.Series:
    """Give a text column the narrowest type that **all** of its values have, or return it as it is.

    Integers with leading zeros stay text: they are identifiers. :data:`NULL_TOKENS` become null once the other values
    agree on a type other than text. Columns that are not text are returned unchanged.
    """
    if column.dtype != pl.String:
        return column
    text = column.str.strip_chars()
    known = text.set(text.str.to_lowercase().is_in(NULL_TOKENS).fill_null(True), None)
    values = known.drop_nulls()
    if values.is_empty():
        return column
    for probe in (values.head(_PROBE_ROWS), values):
        if (kind := _kind(probe)) is None:
            return column
    return _cast(known, kind) if kind is not None else column


def temporal(column: pl.Series, *, agreement: float = 1.0) -> pl.Series | None:
    """Read a text column as dates or times.

    Returns a Date or Datetime column (values that do not parse are null), or None when fewer than ``agreement`` of
    the values that are not null parse with one format. Day-first is preferred where a date reads both ways.
    """
    if column.dtype.is_temporal():
        return column if column.dtype in (pl.Date, pl.Datetime) else None
    if column.dtype != pl.String:
        return None
    known = column.str.strip_chars()
    present = known.len() - known.null_count()
    if not present:
        return None
    probe = known.drop_nulls().head(_PROBE_ROWS)
    best: pl.Series | None = None
    for kind in _temporal_kinds(probe, agreement * 0.9):
        parsed = _cast(known, kind)
        if best is None or parsed.null_count() < best.null_count():
            best = parsed
    if best is None or best.len() - best.null_count() < agreement * present:
        return None
    return best


def _kind(values: pl.Series) -> str | None:
    """The name of the type that all of these non-null texts have, or None for text."""
    if not values.str.contains(r"^[+-]?0\d").any() and _all_parse(values, "int"):
        return "int"
    if not values.str.contains(r"^[+-]?0\d+$").any() and _all_parse(values, "float"):
        return "float"
    for kind, form in _GROUPED.items():
        if not values.str.contains(r"^[+-]?0\d").any() and values.str.contains(form).all():
            return kind
    if values.str.to_lowercase().is_in(["true", "false"]).all():
        return "bool"
    return next(iter(_temporal_kinds(values, 1.0)), None)


def _temporal_kinds(values: pl.Series, agreement: float) -> list[str]:
    kinds = [*(f"date:{f}" for f in _DATE_FORMATS), "iso", *(f"time:{f}" for f in _DATETIME_FORMATS)]
    if not values.str.contains(r"\d").any():
        return []
    return [
        kind for kind in kinds if values.len() - _cast(values, kind).null_count() >= max(1, agreement * values.len())
    ]


def _all_parse(values: pl.Series, kind: str) -> bool:
    return _cast(values, kind).null_count() == 0


def _cast(values: pl.Series, kind: str) -> pl.Series:
    """Read texts as ``kind``; those that do not fit become null."""
    name, _, form = kind.partition(":")
    if name == "int":
        return values.cast(pl.Int64, strict=False)
    if name == "float":
        return values.cast(pl.Float64, strict=False)
    if name in _GROUPED:
        plain = values.str.replace_all(r"[£$€,]" if name == "grouped" else r"[£$€.]", "").str.replace(
            ",", ".", literal=True
        )
        return plain.cast(pl.Float64, strict=False)
    if name == "bool":
        return values.str.to_lowercase() == "true"
    if name == "date":
        return values.str.to_date(form, strict=False, exact=True)
    if name == "iso":
        zoned = values.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="us", strict=False, time_zone="UTC")
        return zoned.dt.replace_time_zone(None)
    return values.str.to_datetime(form, time_unit="us", strict=False, exact=True)
