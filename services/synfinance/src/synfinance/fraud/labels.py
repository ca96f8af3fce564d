"""Which rows of a labelled table are positive, and which of its other columns only repeat the label."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

MIN_POSITIVE: Final = 10
"""Fewer positive rows than this teach nothing that could be checked."""

_POSITIVE: Final = frozenset(
    "1 1.0 true t yes y fraud fraudulent positive pos bad chargeback anomaly outlier attack".split()
)
_NEGATIVE: Final = frozenset(
    "0 0.0 -1 -1.0 false f no n none legit legitimate genuine normal negative neg good ok clean honest benign".split()
)
_MAX_VALUES: Final = 1_000
_KIND_WORDS: Final = frozenset("type kind category reason scenario pattern".split())
_SEVERITY_WORDS: Final = frozenset("severity level grade".split())


class BadLabel(ValueError):
    """A label column that nothing can be learned from; the message says why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The label of every row."""

    positive: NDArray[np.bool_]
    known: NDArray[np.bool_]
    """Rows that have a label; the others serve as history only."""
    meaning: str
    """What positive means, in words."""
    notes: tuple[str, ...] = ()


def read_labels(frame: pl.DataFrame, name: str, positive: str | None = None) -> Labels:
    """Read a label column. ``positive`` is the value to detect; where it is evident it need not be given.

    Raises:
        BadLabel: there is no such column or value, or it does not split the rows in two.
    """
    if name not in frame.columns:
        near = difflib.get_close_matches(name, frame.columns, 1, 0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadLabel(f"there is no column {name!r}{hint} The columns are {_listed(frame.columns)}")
    column = frame[name]
    if column.dtype.is_nested() or column.dtype.is_temporal() or column.dtype == pl.Binary:
        raise BadLabel(f"column {name!r} is of type {column.dtype}, which cannot be a label")
    text = column.cast(pl.String).str.strip_chars()
    known = text.is_not_null().to_numpy()
    values = text.drop_nulls().value_counts(sort=True).to_series(0).to_list()
    if not values:
        raise BadLabel(f"column {name!r} is empty")
    if len(values) == 1:
        raise BadLabel(f"column {name!r} has the value {values[0]!r} in every row; a label needs both kinds of rows")
    notes = [] if known.all() else [f"{int((~known).sum()):,} rows have no label; they serve as history only"]
    if positive is not None:
        chosen, meaning = _chosen(name, values, positive), f"{name} is {positive}"
    else:
        chosen, meaning = _evident(name, values)
    is_positive = text.is_in(list(chosen)).fill_null(False).to_numpy()
    count = int(is_positive.sum())
    if count < MIN_POSITIVE:
        raise BadLabel(
            f"only {count} rows are positive ({meaning}); at least {MIN_POSITIVE} are needed to learn and to check"
        )
    if count > len(is_positive[known]) - MIN_POSITIVE:
        raise BadLabel(
            f"all but {len(is_positive[known]) - count} rows are positive ({meaning}); choose another --positive"
        )
    return Labels(is_positive, known, meaning, tuple(notes))


def repeats_label(column: pl.Series, labels: Labels) -> bool:
    """Whether a column is a refinement of the label, known only with it, such as the kind of fraud.

    It is when all negative rows share one value (a missing one counts as a value) that no positive row has.
    """
    mine = column.filter(pl.Series(labels.known))
    positive = pl.Series(labels.positive[labels.known])
    negative_values = mine.filter(~positive).head(1_000).unique()
    if len(negative_values) > 1:
        return False
    negative_values = mine.filter(~positive).unique()
    if len(negative_values) != 1:
        return False
    return bool((~mine.filter(positive).eq_missing(pl.Series([negative_values[0]], dtype=mine.dtype))).all())


def attribute_of(name: str) -> str | None:
    """Whether a column that repeats the label tells the ``type`` or the ``severity`` of what was found."""
    words = set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()))
    if words & _SEVERITY_WORDS:
        return "severity"
    return "type" if words & _KIND_WORDS else None


def _chosen(name: str, values: list[str], positive: str) -> set[str]:
    wanted = {value for value in values if value == positive} or {v for v in values if v.lower() == positive.lower()}
    if not wanted:
        near = difflib.get_close_matches(positive, values, 1, 0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"its values are {_listed(values)}"
        raise BadLabel(f"column {name!r} has no value {positive!r}; {hint}")
    return wanted


def _evident(name: str, values: list[str]) -> tuple[set[str], str]:
    lowered = {value.lower(): value for value in values}
    negative = {original for low, original in lowered.items() if low in _NEGATIVE}
    positive = {original for low, original in lowered.items() if low in _POSITIVE}
    if len(values) == 2 and len(positive) == 1:
        return positive, f"{name} is {next(iter(positive))}"
    if len(negative) == 1 and len(values) <= 100:
        # A value that says "nothing", and names of what there is otherwise.
        return set(values) - negative, f"{name} is not {next(iter(negative))}"
    if len(values) > _MAX_VALUES:
        raise BadLabel(f"column {name!r} has {len(values):,} different values; a label has few")
    example = values[0] if " " not in values[0] else f'"{values[0]}"'
    raise BadLabel(
        f"column {name!r} has {len(values)} values ({_listed(values)}); name the one to detect, "
        f"for example --positive {example}"
    )


def _listed(values: list[str]) -> str:
    shown = ", ".join(values[:8])
    return shown if len(values) <= 8 else f"{shown} … and {len(values) - 8} more"
