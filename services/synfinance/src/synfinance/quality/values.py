"""Faults of the values of one column, by what kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from synfinance.quality import kinds
from synfinance.quality.faults import Fault
from synfinance.quality.found import counted, found, percent
from synfinance.quality.kinds import Kind, words_of
from synfinance.quality.masking import masked
from synfinance.quality.missing import PLACEHOLDERS
from synfinance.quality.outliers import fences_of
from synfinance.quality.reading import CODE_SHAPED, Column
from synfinance.quality.report import Finding

_WHAT: Final = {
    Kind.TIMESTAMP: "are not dates",
    Kind.AMOUNT: "are not numbers",
    Kind.NUMBER: "are not numbers",
    Kind.CODE: "are not numbers like the others",
    Kind.ID: "are not numbers like the others",
    Kind.BOOLEAN: "are neither true nor false",
    Kind.EMAIL: "are not e-mail addresses",
    Kind.PHONE: "are not telephone numbers",
    Kind.CARD: "are not card numbers",
    Kind.CURRENCY: "are not ISO 4217 currency codes",
    Kind.COUNTRY: "are not ISO 3166 country codes",
}
_KEY_DISTINCT: Final = 0.5
_FUTURE_FILE: Final = 0.9
_REFUNDS: Final = 0.25
_EXTREMES: Final = 2
_NEAR_CONSTANT: Final = 0.999


def check_missing(column: Column, structural: str | None, unexplained: int, *, nullable: bool | None) -> list[Finding]:
    """Null values and those in disguise. ``structural`` says which column explains all but ``unexplained`` nulls."""
    rows, findings = len(column), []
    nulls = column.nulls
    if nulls and nullable is not True:
        if structural is not None:
            findings.append(
                found(
                    Fault.STRUCTURAL_MISSING,
                    column.name,
                    nulls - unexplained,
                    rows,
                    f"{percent((nulls - unexplained) / rows)} are missing by design: {structural}",
                )
            )
        count = nulls if structural is None else unexplained
        if count:
            fault = Fault.REQUIRED_MISSING if nullable is False else Fault.MISSING
            findings.append(found(fault, column.name, count, rows, _missing_words(count, rows)))
    disguised = int(column.disguised.sum())
    if disguised and nullable is not True:
        shown = column.raw.filter(column.disguised).value_counts(sort=True)[column.raw.name].head(5)
        forms = ", ".join(repr(masked(value)) if isinstance(value, str) else masked(value) for value in shown.to_list())
        findings.append(
            found(
                Fault.DISGUISED_MISSING,
                column.name,
                disguised,
                rows,
                f"{counted(disguised, 'value')} ({percent(disguised / rows)}) stand for a missing one: {forms}",
                examples=shown,
            )
        )
    return findings


def _missing_words(count: int, rows: int) -> str:
    return (
        "all values are missing"
        if count == rows
        else f"{counted(count, 'value')} ({percent(count / rows)}) are missing"
    )


def check_values(column: Column, now: datetime) -> Iterator[Finding]:
    """What is wrong with the values that are there."""
    rows = len(column)
    yield from _misfits(column)
    if column.as_text and column.known:
        fault = Fault.DATE_AS_TEXT if column.kind is Kind.TIMESTAMP else Fault.NUMBER_AS_TEXT
        what = "dates" if column.kind is Kind.TIMESTAMP else "numbers"
        yield found(fault, column.name, column.known, rows, f"{what} are stored as text")
    if column.minority_formats:
        count = column.minority_formats
        message = f"{counted(count, 'date')} ({percent(count / rows)}) are not written in the commonest format"
        yield found(Fault.MIXED_FORMATS, column.name, count, rows, message)
    if column.kind is Kind.TIMESTAMP:
        yield from _future(column, now)
    if column.kind is Kind.AMOUNT:
        yield from _signs(column)
    if limit := _coordinate(column):
        values, _ = column.finite()
        if count := int((np.abs(values) > limit).sum()):
            message = f"{counted(count, 'coordinate')} ({percent(count / rows)}) lie beyond ±{limit}°"
            off = values[np.abs(values) > limit][:50].tolist()
            yield found(Fault.OUT_OF_RANGE, column.name, count, rows, message, examples=off)
    if column.kind is Kind.CARD and column.known:
        message = "full card numbers are readable in this file"
        yield found(
            Fault.SENSITIVE,
            column.name,
            column.known,
            rows,
            message,
            examples=column.instances(column.values.is_not_null()),
        )
    if column.kind in (Kind.CATEGORY, Kind.TEXT):
        words = pl.col("value").str.strip_chars().str.to_lowercase()
        standing = column.vocabulary.filter(words.is_in(sorted(PLACEHOLDERS)))
        if count := int(standing["count"].sum()):
            message = f"{counted(count, 'value')} ({percent(count / rows)}) read like a placeholder"
            yield found(Fault.PLACEHOLDER, column.name, count, rows, message, examples=standing["value"].head(5))
    yield from _variety(column)


def _coordinate(column: Column) -> int | None:
    """The greatest value that a geographic coordinate can have, or None for a column of something else."""
    if not column.kind.numeric:
        return None
    words = words_of(column.name)
    return 90 if words & kinds.LATITUDE_WORDS else 180 if words & kinds.LONGITUDE_WORDS else None


def _misfits(column: Column) -> Iterator[Finding]:
    rows = len(column)
    wrong = column.invalid
    count = int(wrong.sum())
    if column.raw.dtype in (pl.Float32, pl.Float64) and count:
        message = f"{counted(count, 'value')} ({percent(count / rows)}) are infinite"
        yield found(Fault.NOT_FINITE, column.name, count, rows, message)
    elif count:
        what = _WHAT.get(column.kind, "do not fit the type")
        yield found(
            Fault.WRONG_TYPE,
            column.name,
            count,
            rows,
            f"{counted(count, 'value')} ({percent(count / rows)}) {what}",
            examples=column.instances(wrong),
        )


def _late(column: Column, now: datetime) -> pl.Series | None:
    """Which dates lie in the future, for a column whose dates should not."""
    if column.kind is not Kind.TIMESTAMP or words_of(column.name) & kinds.LATER_WORDS:
        return None
    return (column.values > now + timedelta(days=1)).fill_null(False)


def _future(column: Column, now: datetime) -> Iterator[Finding]:
    late = _late(column, now)
    if late is None:
        return
    count = int(late.sum())
    # A file that lies in the future as a whole is a simulation, or this machine's clock is wrong.
    if count and count < _FUTURE_FILE * column.known:
        message = f"{counted(count, 'date')} ({percent(count / len(column))}) lie in the future"
        yield found(Fault.FUTURE_DATE, column.name, count, len(column), message, examples=column.instances(late))


def _signs(column: Column) -> Iterator[Finding]:
    values, _ = column.finite()
    negative, positive = int((values < 0).sum()), int((values > 0).sum())
    lesser, what = min((negative, "negative"), (positive, "positive"))
    if 0 < lesser <= _REFUNDS * (negative + positive):
        side = values[values < 0] if what == "negative" else values[values > 0]
        message = (
            f"{counted(lesser, 'amount')} ({percent(lesser / len(column))}) are {what}, likely refunds or corrections"
        )
        extremes = side[np.argsort(-np.abs(side))[:3]].tolist()
        yield found(Fault.MINORITY_SIGN, column.name, lesser, len(column), message, examples=extremes)


def _variety(column: Column) -> Iterator[Finding]:
    if column.kind is Kind.OTHER or column.known < 20:
        return
    if column.distinct == 1 and column.kind is not Kind.EMPTY:
        value = column.raw.filter(column.values.is_not_null()).first()
        yield found(
            Fault.CONSTANT, column.name, column.known, len(column), "every value that is there is the same",
            examples=[value],
        )  # fmt: skip
    elif column.kind in (Kind.CATEGORY, Kind.CODE) and column.known >= 1_000:
        top = column.values.drop_nulls().value_counts(sort=True)
        count = int(top["count"][0])
        if count >= _NEAR_CONSTANT * column.known:
            yield found(
                Fault.NEAR_CONSTANT,
                column.name,
                column.known - count,
                len(column),
                f"all but {column.known - count:,} values are the same",
                examples=top[column.values.name].head(4),
            )


def check_outliers(column: Column, now: datetime) -> tuple[int, list[Finding]]:
    """How many values are outliers, and what to say about them."""
    # Places lie where people live, in clusters far apart.
    if not (column.kind.numeric or column.kind is Kind.TIMESTAMP) or _coordinate(column):
        return 0, []
    values, mask = column.finite()
    late = _late(column, now)
    if late is not None and late.any():  # a finding of their own already
        mask &= ~late.to_numpy()
        values = column.floats[mask]
    fences = fences_of(values)
    if fences is None:
        return 0, []
    beyond = fences.beyond(values)
    count = int(beyond.sum())
    if not count:
        return 0, []
    rows = np.flatnonzero(mask)[beyond]
    order = np.argsort(-np.abs(values[beyond] - np.median(values)), kind="stable")[:50]
    extremes = column.raw.gather(rows[order]).to_list()
    low, high = bool((values < fences.low).any()), bool((values > fences.high).any())
    if column.kind is Kind.TIMESTAMP:
        where = "far before or after the others"
    elif low and high:
        where = f"outside {_plain(fences.low)} … {_plain(fences.high)}"
    else:
        where = f"below {_plain(fences.low)}" if low else f"above {_plain(fences.high)}"
    where += ", which the spread of the others does not reach"
    message = f"{counted(count, 'value')} ({percent(count / len(column))}) {'lies' if count == 1 else 'lie'} {where}"
    # One or two in a small file are the extremes that every sample has.
    charged = max(0, count - _EXTREMES) / len(column)
    return count, [found(Fault.OUTLIER, column.name, count, len(column), message, examples=extremes, charged=charged)]


def _plain(value: float) -> str:
    return f"{value:,.2f}" if abs(value) < 1e6 else f"{value:,.3g}"


def check_unique(column: Column, *, unique: bool | None) -> Iterator[Finding]:
    """Values of a key that occur more than once. Without a rule, :func:`is_key` says what is a key."""
    if unique is False or (unique is None and not is_key(column)):
        return
    copies = column.known - column.distinct
    if copies <= 0:
        return
    twice = column.values.is_duplicated() & column.values.is_not_null()
    conflicting = column.raw.filter(twice).value_counts(sort=True)[column.raw.name]
    message = (
        f"{counted(copies, 'row')} ({percent(copies / len(column))}) repeat an id; "
        f"{len(conflicting):,} different ids occur more than once"
    )
    yield found(Fault.DUPLICATE_ID, column.name, copies, len(column), message, examples=conflicting.head(5))


def is_key(column: Column) -> bool:
    """Whether a column seems meant to name each row once: an id, not of something else, with few repetitions."""
    words = words_of(column.name)
    if column.kind is not Kind.ID or column.known < 2 or words & kinds.OWNER_WORDS:
        return False
    if column.distinct == column.known:
        return True
    named = bool(words & kinds.ID_WORDS)
    shaped = column.raw.dtype != pl.String or bool(column.raw.drop_nulls().head(1_000).str.contains(CODE_SHAPED).all())
    return column.distinct >= (_KEY_DISTINCT if named else 0.95) * column.known and shaped
