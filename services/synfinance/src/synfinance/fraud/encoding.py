"""What labelled rows taught about the values of columns: codes of categories, and how often names and words were fraud.

While a table with labels is encoded for training, a row sees the labels of rows only that are older than the delay
after which labels come to be known; so what a model learns from is what it will have when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.fraud.features import key_codes
from synfinance.fraud.history import History
from synfinance.fraud.roles import Roles

_MAX_CODES: Final = 200
"""Category values with a code of their own."""
_MAX_KEPT: Final = 50_000
"""Names and words whose record is kept."""
_PRIOR_ROWS: Final = 10.0
"""Rows of the overall rate that every record begins with."""
_WORDS_IN_TEXT: Final = 5
_WITH: Final = " + "
"""Between the names of two columns, and their values, that are recorded together."""

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Record = dict[str, tuple[int, int]]
"""For each value, how many rows had it and how many of those were positive."""


@dataclass(slots=True)
class Encoder:
    """Codes and records of the columns that a model uses as they are."""

    categories: dict[str, dict[str, int]] = field(default_factory=dict)
    """For each category column, the code of each value."""
    names: dict[str, Record] = field(default_factory=dict)
    """For each category and text column, the record of its values."""
    words: dict[str, Record] = field(default_factory=dict)
    """For each text column made of words, the record of the words."""
    rows: int = 0
    positive: int = 0

    @classmethod
    def fit(
        cls, frame: pl.DataFrame, roles: Roles, labels: NDArray[np.bool_], time: Whole, delay: int
    ) -> tuple[Self, NDArray[np.float32]]:
        """Learn from rows in order of time, and encode them as they would have been encoded at their time.

        ``delay`` is the time in milliseconds after which a label is known.
        """
        encoder = cls(rows=len(labels), positive=int(labels.sum()))
        label = labels.astype(np.int64)
        overall = _record_before(np.zeros(len(label), np.int64), time, label, delay)
        columns: list[Reals] = []
        texts = _texts(frame, _recorded(roles))
        for name in roles.categories:
            counts = texts[name].drop_nulls().value_counts(sort=True)
            values = counts.to_series(0).head(_MAX_CODES).to_list()
            encoder.categories[name] = {value: code for code, value in enumerate(sorted(values))}
            columns.append(_apply_codes(texts[name], encoder.categories[name]))
        for name, text in texts.items():
            encoder.names[name] = _record(text, label)
            before = _record_before(_codes(text), time, label, delay)
            columns.append(_log_odds(*before, *overall))
            if name in roles.texts and _wordy(text):
                row, word = _words(text)
                encoder.words[name] = _record(word, label[row])
                before = _record_before(_codes(word), time[row], label[row], delay)
                odds = _log_odds(*before, overall[0][row], overall[1][row])
                columns += _by_row(odds, row, len(text))
        return encoder, _stack(columns, len(label))

    def transform(self, frame: pl.DataFrame) -> NDArray[np.float32]:
        """Encode rows by all that was learned. A value never seen has no code and the overall rate."""
        texts = _texts(frame, list(self.names))
        columns: list[Reals] = [_apply_codes(texts[name], codes) for name, codes in self.categories.items()]
        whole = (np.array(float(self.rows)), np.array(float(self.positive)))
        for name, record in self.names.items():
            text = texts[name]
            seen = _look_up(text, record)
            columns.append(_log_odds(*seen, *whole))
            if name in self.words:
                row, word = _words(text)
                columns += _by_row(_log_odds(*_look_up(word, self.words[name]), *whole), row, len(text))
        return _stack(columns, frame.height)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the encoded columns, codes of categories first."""
        names = [f"{name}_code" for name in self.categories]
        for name in self.names:
            names.append(f"{name}_record")
            names += [f"{name}_words_mean", f"{name}_words_most"] if name in self.words else []
        return tuple(names)

    def as_dict(self) -> dict[str, Any]:
        """The encoder as plain values, for JSON."""
        return {
            "categories": self.categories,
            "names": self.names,
            "words": self.words,
            "rows": self.rows,
            "positive": self.positive,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`. Raises KeyError, TypeError or ValueError on anything else."""

        def records(part: dict[str, dict[str, list[int]]]) -> dict[str, Record]:
            return {c: {str(v): (int(n), int(s)) for v, (n, s) in record.items()} for c, record in part.items()}

        categories = {c: {str(v): int(code) for v, code in codes.items()} for c, codes in values["categories"].items()}
        words, names = records(values["words"]), records(values["names"])
        return cls(categories, names, words, int(values["rows"]), int(values["positive"]))


def _recorded(roles: Roles) -> list[str]:
    """What records are kept of: categories, texts, the entity, and the entity together with the merchant."""
    names = [*roles.categories, *roles.texts]
    names += [name for name in (roles.entity, roles.merchant) if name is not None]
    if roles.entity is not None and roles.merchant is not None:
        names.append(f"{roles.entity}{_WITH}{roles.merchant}")
    return list(dict.fromkeys(names))


def _texts(frame: pl.DataFrame, names: list[str]) -> dict[str, pl.Series]:
    """Columns as text in lower case, where a name may stand for two columns joined; all in one pass."""

    def text(column: str) -> pl.Expr:
        return pl.col(column).cast(pl.String).str.strip_chars().str.to_lowercase()

    chosen = []
    for name in names:
        one, _, other = (name, "", "") if name in frame.columns else name.partition(_WITH)
        both = pl.concat_str(text(one), text(other), separator=_WITH) if other else text(one)
        chosen.append(both.alias(name))
    return {column.name: column for column in frame.select(chosen).iter_columns()}


def _codes(text: pl.Series) -> Whole:
    return key_codes(text.to_frame("value"), ["value"])["value"]


def _wordy(text: pl.Series) -> bool:
    """Whether values are mostly made of several words, as names and descriptions are and identifiers are not."""
    sample = text.drop_nulls().head(5_000)
    return bool(len(sample)) and float((sample.str.count_matches(r"\p{L}{2,}") >= 2).mean() or 0) > 0.4  # type: ignore[arg-type]


def _words(text: pl.Series) -> tuple[Whole, pl.Series]:
    """The first few words of each text, with the row each is of."""
    words = text.str.extract_all(r"\p{L}{2,}").list.head(_WORDS_IN_TEXT)
    pairs = pl.DataFrame({"row": pl.int_range(len(text), eager=True), "word": words}).explode("word").drop_nulls()
    return pairs["row"].to_numpy(), pairs["word"]


def _apply_codes(text: pl.Series, codes: dict[str, int]) -> Reals:
    """Codes as floats, NaN for what has none."""
    return np.array([codes.get(value, np.nan) for value in text.to_list()], dtype=np.float64)


def _record(text: pl.Series, label: Whole) -> Record:
    counted = (
        pl.DataFrame({"value": text, "label": label})
        .drop_nulls()
        .group_by("value")
        .agg(pl.len().alias("rows"), pl.col("label").sum())
        .sort(["rows", "value"], descending=[True, False])
        .head(_MAX_KEPT)
    )
    return {value: (rows, positive) for value, rows, positive in counted.iter_rows()}


def _record_before(key: Whole, time: Whole, label: Whole, delay: int) -> tuple[Reals, Reals]:
    """Rows and positive rows of each row's key, as known at its time: those older than the delay."""
    history = History(key, time)
    recent = history.window(delay)
    return (history.count() - recent.count()).astype(np.float64), (history.total(label) - recent.total(label)).astype(
        np.float64
    )


def _look_up(text: pl.Series, record: Record) -> tuple[Reals, Reals]:
    """Rows and positive rows on record for each value; a dictionary of Python's is faster here than a join."""
    seen = np.array([record.get(value, (0, 0)) for value in text.to_list()], dtype=np.float64).reshape(-1, 2)
    return seen[:, 0], seen[:, 1]


def _log_odds(rows: Reals, positive: Reals, all_rows: Reals, all_positive: Reals) -> Reals:
    """How much likelier positive is with a value than overall: a difference of log-odds, near 0 for few rows."""
    overall = (all_positive + 0.5) / (all_rows + 1.0)
    rate = (positive + _PRIOR_ROWS * overall) / (rows + _PRIOR_ROWS)
    rate = np.minimum(rate, 1 - 1e-9)
    return np.asarray(np.log(rate / (1 - rate)) - np.log(overall / (1 - overall)))


def _by_row(odds: Reals, row: Whole, rows: int) -> list[Reals]:
    """Mean and maximum over the words of each row; 0 for a row without words."""
    count = np.maximum(np.bincount(row, minlength=rows), 1)
    most = np.full(rows, -np.inf)
    np.maximum.at(most, row, odds)
    return [np.bincount(row, weights=odds, minlength=rows) / count, np.where(np.isfinite(most), most, 0.0)]


def _stack(columns: list[Reals], rows: int) -> NDArray[np.float32]:
    return np.column_stack(columns).astype(np.float32) if columns else np.empty((rows, 0), np.float32)
