"""A card transaction as programs exchange it: its columns, how tables get them, and how they become JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl
import polars.selectors as cs

from synfinance.fraud import Roles, UnfitTable
from synfinance.fraud.roles import as_milliseconds, as_number, is_number

__all__ = ["COLUMNS", "SCHEMA", "as_json", "scorable"]

SCHEMA: Final = {
    "transaction_id": pl.Int64(),
    "timestamp": pl.Datetime("ms"),
    "customer_id": pl.String(),
    "age_band": pl.String(),
    "home_city": pl.String(),
    "home_country": pl.String(),
    "card_id": pl.String(),
    "card_type": pl.String(),
    "card_network": pl.String(),
    "card_number": pl.String(),
    "transaction_type": pl.String(),
    "amount": pl.Decimal(18, 2),
    "amount_minor": pl.Int64(),
    "currency": pl.String(),
    "channel": pl.String(),
    "entry_mode": pl.String(),
    "merchant_id": pl.String(),
    "merchant_name": pl.String(),
    "category": pl.String(),
    "mcc": pl.Int64(),
    "merchant_city": pl.String(),
    "merchant_country": pl.String(),
    "latitude": pl.Float64(),
    "longitude": pl.Float64(),
    "device_id": pl.String(),
    "is_fraud": pl.Boolean(),
    "fraud_type": pl.String(),
    "severity": pl.String(),
}
"""Columns of a transaction and the types they have in JSON: times in UTC, money exact."""
COLUMNS: Final = tuple(SCHEMA)


def scorable(frame: pl.DataFrame, roles: Roles) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Return a table with every column that a model uses, in types that tables share, and what had to be assumed.

    Columns that only help are taken to be unknown where they are missing. Times become milliseconds in UTC, numbers
    floats (scores need no cents), categories text.

    Raises:
        UnfitTable: the table has no time, no amount or nobody to follow although the model needs one, or a column
            that holds something else.
    """
    essential = [name for name in (roles.time, roles.amount, roles.entity) if name is not None]
    lacking = [name for name in essential if name not in frame.columns]
    if lacking:
        found = ", ".join(frame.columns[:12]) + (" …" if frame.width > 12 else "")
        raise UnfitTable(f"the table has no column {_listed(lacking)}; its columns are {found}")
    nested = [name for name in roles.used if name in frame.columns and frame[name].dtype.is_nested()]
    if nested:
        raise UnfitTable(f"column {nested[0]!r} holds lists or objects, not single values")
    unknown = [name for name in roles.used if name not in frame.columns]
    frame = frame.with_columns(pl.lit(None, SCHEMA.get(name, pl.String())).alias(name) for name in unknown)
    notes = (f"not given and taken as unknown: {', '.join(unknown)}",) if unknown else ()
    frame = frame.with_columns(cs.by_dtype(pl.Categorical, pl.Enum).cast(pl.String))
    return frame.with_columns(*_times(frame, roles), *_numbers(frame, roles)), notes


def _times(frame: pl.DataFrame, roles: Roles) -> Iterator[pl.Series]:
    if roles.time is None:
        return
    column = frame[roles.time]
    moments = as_milliseconds(column)
    if moments.null_count() - column.null_count() > 0.5 * frame.height:
        raise UnfitTable(f"column {roles.time!r} cannot be read as dates or times")
    yield moments.cast(pl.Datetime("ms")).alias(roles.time)


def _numbers(frame: pl.DataFrame, roles: Roles) -> Iterator[pl.Series]:
    for name in (roles.amount, roles.latitude, roles.longitude, *roles.numbers):
        if name is not None:
            column = frame[name]
            if column.null_count() < frame.height and not is_number(column):
                raise UnfitTable(f"column {name!r} should be numbers; here it is not")
            yield as_number(column).alias(name)


def as_json(frame: pl.DataFrame) -> str:
    """Return rows as a JSON array of objects; amounts are decimal strings, times ISO 8601 in UTC."""
    return frame.with_columns(
        cs.decimal().cast(pl.String), cs.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")
    ).write_json()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
