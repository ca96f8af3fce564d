"""Features of transactions, from the transaction itself and from what was known before it.

The same plan of features serves every table: what a table has no column for is left out. Which features there are
depends on the roles of the columns only, and the features of a row depend on that row and the rows before it only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from synfinance.fraud.history import LOG_UNIT, History, moments, paired
from synfinance.fraud.roles import Roles, as_milliseconds, as_number

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR
_WINDOWS: Final = {"10m": 10 * MINUTE, "1h": HOUR, "24h": DAY, "7d": 7 * DAY}
_KEYS: Final = ("entity", "owner", "merchant", "device")
_EARTH_KM: Final = 6371.0
_MOST: Final = 1e11
_MOST_SINGLE: Final = float(np.finfo(np.float32).max)
_COMMON_VARIANCE: Final = 0.8
"""Variance of the logarithm of amounts presumed of a key with little history, and worth three of its rows."""

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(slots=True)
class FeatureTable:
    """Features of transactions, in order of time."""

    values: NDArray[np.float32]
    """One row a transaction, one column a feature; NaN where nothing is known."""
    names: tuple[str, ...]
    concepts: tuple[str, ...]
    """What unusual values of a feature are about (pace, amount, place …); empty for one that only describes."""
    order: Whole
    """Place in the frame of each row here: features are in order of time, frames need not be."""
    time: Whole
    """Milliseconds, in order; 0 for all when the table has no time."""


@dataclass(slots=True)
class _Columns:
    """Features in the making."""

    values: list[NDArray[np.float32]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    concepts: list[str] = field(default_factory=list)

    def add(self, name: str, values: NDArray[Any], concept: str = "", *, known: Flags | None = None) -> None:
        column = np.clip(values, -_MOST_SINGLE, _MOST_SINGLE).astype(np.float32)
        column[~np.isfinite(values)] = np.nan
        if known is not None:
            column[~known] = np.nan
        self.values.append(column)
        self.names.append(name)
        self.concepts.append(concept)


@dataclass(slots=True)
class _Rows:
    """The columns of a table that features are made of, in order of time."""

    time: Whole
    timed: bool
    amount: Reals | None
    keys: dict[str, Whole]
    """Codes of the entity, owner, merchant and device; -1 where there is none."""
    varying: dict[str, Whole]
    position: tuple[Reals, Reals] | None

    @property
    def follow(self) -> str | None:
        """Whose behaviour is followed."""
        return next((name for name in ("entity", "owner") if name in self.keys), None)


def build_features(frame: pl.DataFrame, roles: Roles) -> FeatureTable:
    """Derive the features of every row of a table.

    Rows without a time are taken to be as old as the row before them in the frame; rows of one instant keep the
    frame's order. Raises :class:`polars.exceptions.ColumnNotFoundError` when a column named in ``roles`` is missing.
    """
    time = _times(frame, roles)
    order = np.argsort(time, kind="stable")
    ordered = frame[order] if frame.height else frame
    named = {name: column for name in _KEYS if (column := getattr(roles, name)) is not None}
    codes = key_codes(ordered, (*named.values(), *roles.varying))
    rows = _Rows(
        time=time[order],
        timed=roles.time is not None,
        amount=_reals(ordered, roles.amount),
        keys={name: codes[column] for name, column in named.items()},
        varying={column: codes[column] for column in roles.varying},
        position=_position(ordered, roles),
    )
    made = _Columns()
    if rows.timed:
        made.add("hour", (rows.time % DAY) / HOUR)
        made.add("weekday", (rows.time // DAY + 3) % 7)
    if rows.amount is not None:
        _amount(made, np.clip(rows.amount, -_MOST, _MOST), followed=rows.follow is not None)
    for name in rows.keys:
        _key(made, rows, name)
    if rows.follow is not None:
        _acquaintance(made, rows, rows.follow)
        for name in ("merchant", "device"):
            if name in rows.keys:
                _newcomers(made, rows, name, rows.follow)
        if rows.position is not None:
            _travel(made, rows, rows.follow, *rows.position)
    if rows.position is not None:
        made.add("latitude", rows.position[0])
        made.add("longitude", rows.position[1])
    for column in roles.numbers:
        number = _reals(ordered, column)
        made.add(column, number if number is not None else rows.time, "values")
    values = np.column_stack(made.values) if made.values else np.empty((frame.height, 0), np.float32)
    return FeatureTable(values, tuple(made.names), tuple(made.concepts), order, rows.time)


def key_codes(frame: pl.DataFrame, columns: Iterable[str]) -> dict[str, Whole]:
    """For each column, an integer for each distinct value, -1 for null; all in one pass.

    Texts that differ in case or outer spaces only are one value.
    """

    def code(column: str) -> pl.Expr:
        dtype, value = frame.schema[column], pl.col(column)
        if dtype in (pl.Enum, pl.Categorical):
            return value.to_physical().cast(pl.Int64)
        if dtype == pl.String:
            value = value.str.strip_chars().str.to_lowercase()
        return value.rank("dense").cast(pl.Int64) - 1

    coded = frame.select(code(column).fill_null(-1) for column in dict.fromkeys(columns))
    return {column.name: column.to_numpy() for column in coded.iter_columns()}


def great_circle(latitude_1: Reals, longitude_1: Reals, latitude_2: Reals, longitude_2: Reals) -> Reals:
    """Distance on the sphere, in kilometres, between points in degrees (the haversine formula)."""
    one, other = np.radians(latitude_1), np.radians(latitude_2)
    across = np.radians(longitude_2 - longitude_1)
    chord = np.sin((other - one) / 2) ** 2 + np.cos(one) * np.cos(other) * np.sin(across / 2) ** 2
    return np.asarray(2 * _EARTH_KM * np.arcsin(np.sqrt(np.clip(chord, 0, 1))))


def _times(frame: pl.DataFrame, roles: Roles) -> Whole:
    if roles.time is None:
        return np.zeros(frame.height, np.int64)
    times = as_milliseconds(frame[roles.time]).fill_null(strategy="forward").fill_null(strategy="backward")
    return times.fill_null(0).to_numpy()


def _reals(frame: pl.DataFrame, column: str | None) -> Reals | None:
    return None if column is None else as_number(frame[column]).fill_null(np.nan).to_numpy().astype(np.float64)


def _position(frame: pl.DataFrame, roles: Roles) -> tuple[Reals, Reals] | None:
    latitude, longitude = _reals(frame, roles.latitude), _reals(frame, roles.longitude)
    return None if latitude is None or longitude is None else (latitude, longitude)


def _amount(made: _Columns, amount: Reals, *, followed: bool) -> None:
    """The amount itself. It is unusual as such only where nobody's own amounts are known to compare it with."""
    size = np.abs(amount)
    made.add("amount", amount)
    made.add("amount_log", np.log1p(size), "" if followed else "amount")
    with np.errstate(divide="ignore", invalid="ignore"):
        unit = 10.0 ** np.floor(np.log10(size))
        # 1 just below a round number (297 below 300, 985 below 1000), small just above one.
        made.add("amount_below_round", size / (np.ceil(size / unit + 1e-9) * unit))
    made.add("amount_whole", np.where(size % 10 == 0, 2, size % 1 == 0))


def _key(made: _Columns, rows: _Rows, name: str) -> None:
    """How a row compares to the past of its card, merchant or device."""
    key = rows.keys[name]
    known, history = key >= 0, History(key, rows.time)
    # What is unusual about a card says something, and so does a device's pace; merchants differ too much in themselves.
    telling = name == rows.follow or rows.follow is None

    def add(feature: str, values: NDArray[Any], concept: str = "") -> None:
        about = concept if telling or (name == "device" and concept == "pace") else ""
        made.add(f"{name}_{feature}", values, about, known=known)

    count = history.count()
    age = history.age()
    add("rows_before", np.log1p(count))
    windows = {label: history.window(length) for label, length in _WINDOWS.items()} if rows.timed else {}
    recent = {label: window.count() for label, window in windows.items()}
    if windows:
        add("seconds_since", np.log1p(history.elapsed()))
        for label, counted in recent.items():
            add(f"rows_{label}", np.log1p(counted))
        # The last minutes and the last hour against twice as long in an average week, the last day against an average.
        add("rush_10m", np.log((recent["10m"] + 0.2) / (recent["7d"] / 504 + 0.5)), "pace")
        add("rush_1h", np.log((recent["1h"] + 0.2) / (recent["7d"] / 84 + 0.5)), "pace")
        add("rush_24h", np.log((recent["24h"] + 0.5) / (count * (DAY / np.maximum(age, DAY)) + 0.5)), "pace")
    if rows.amount is None:
        return
    size = np.abs(np.nan_to_num(np.clip(rows.amount, -_MOST, _MOST)))
    logs = np.log1p(size)
    refund = (rows.amount < 0).astype(np.int64)
    mean, deviation = moments(history, logs)
    spread = np.sqrt((count * np.nan_to_num(deviation) ** 2 + 3 * _COMMON_VARIANCE) / (count + 3))
    add("amount_z", (logs - mean) / spread, "amount")
    add("amount_change", logs - history.previous(logs), "amount")
    add("amount_record", logs - history.largest(logs), "amount")
    add("refund_share", history.total(refund) / np.maximum(count, 1))
    if windows:
        refunds = windows["7d"].total(refund)
        add("refunds_7d", refunds)
        expected = history.total(refund) * (7 * DAY / np.maximum(age, 7 * DAY))
        add("refund_rush", np.where(refund > 0, np.log((refunds + 1) / (expected + 0.5)), 0.0), "refunds")
        minor = np.rint(size * 100).astype(np.int64)
        spent, typical = history.total(minor) / 100, np.expm1(mean)
        for label in ("1h", "24h", "7d"):
            total = windows[label].total(minor) / 100
            add(f"amount_{label}", np.log1p(total))
            if label != "1h":
                # What was spent lately, this row included, against the average of as long a time.
                usual = spent * (_WINDOWS[label] / np.maximum(age, _WINDOWS[label]))
                add(f"spree_{label}", np.log((total + size + typical + 1) / (usual + typical + 1)), "amount")
        with np.errstate(divide="ignore", invalid="ignore"):
            add("mean_1h", windows["1h"].total(np.rint(logs * LOG_UNIT).astype(np.int64)) / LOG_UNIT / recent["1h"])


def _acquaintance(made: _Columns, rows: _Rows, follow: str) -> None:
    """Whether the card has been with this merchant, device, category, country before, and how often."""
    key = rows.keys[follow]
    history = History(key, rows.time)
    before = history.count()
    others = {name: rows.keys[name] for name in ("merchant", "device") if name in rows.keys}
    for name, other in [*others.items(), *rows.varying.items()]:
        known = (key >= 0) & (other >= 0)
        together = History(paired(key, other), rows.time)
        count = together.count()
        made.add(f"{follow}_{name}_share", count / np.maximum(before, 1), known=known)
        # Surprise of something never seen, the greater the longer the card has been known.
        made.add(f"{follow}_{name}_new", np.where(count == 0, np.log1p(before), 0.0), "novelty", known=known)
        if rows.timed and name in others:
            today = together.window(DAY).count()
            expected = count * (DAY / np.maximum(history.age(), DAY))
            made.add(f"{follow}_{name}_rows_24h", np.log1p(today), known=known)
            made.add(f"{follow}_{name}_rush", np.log((today + 0.5) / (expected + 0.5)), "pace", known=known)
            made.add(f"{follow}_{name}_seconds_since", np.log1p(together.elapsed()), known=known)
        if rows.timed and name == "merchant":
            fresh = (count == 0).astype(np.int64)
            made.add(f"{follow}_new_merchants_1h", history.window(HOUR).total(fresh), known=known)
            made.add(f"{follow}_new_merchants_24h", history.window(DAY).total(fresh), "novelty", known=known)
            made.add(f"{follow}_new_merchants_7d", history.window(7 * DAY).total(fresh), "novelty", known=known)


def _newcomers(made: _Columns, rows: _Rows, name: str, follow: str) -> None:
    """How many different cards a merchant or device has seen, and how many of its recent ones were new to it."""
    key = rows.keys[name]
    known, history = key >= 0, History(key, rows.time)
    fresh = (History(paired(rows.keys[follow], key), rows.time).count() == 0).astype(np.int64)
    concept = "device" if name == "device" else ""
    made.add(f"{name}_visitors", np.log1p(history.total(fresh)), concept, known=known)
    made.add(f"{name}_newcomers", history.total(fresh) / np.maximum(history.count(), 1), concept, known=known)
    if rows.timed:
        window = history.window(DAY)
        made.add(f"{name}_newcomers_24h", window.total(fresh) / np.maximum(window.count(), 1), concept, known=known)


def _travel(made: _Columns, rows: _Rows, follow: str, latitude: Reals, longitude: Reals) -> None:
    """How far the card is from where it was, and whether anybody could have got there in time."""
    history = History(rows.keys[follow], rows.time)
    distance = great_circle(history.previous(latitude), history.previous(longitude), latitude, longitude)
    made.add(f"{follow}_km_since", np.log1p(distance), "place")
    if rows.timed:
        hours = history.elapsed() / 3600
        speed = np.where(distance < 5, 0.0, distance / (hours + 1 / 60))
        made.add(f"{follow}_km_per_hour", np.log1p(speed), "place")
    placed = np.isfinite(latitude) & np.isfinite(longitude)
    north = np.rint(np.where(placed, latitude, 0) * 1e4).astype(np.int64)
    east = np.rint(np.where(placed, longitude, 0) * 1e4).astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = history.total(placed.astype(np.int64)) * 1e4
        usual = great_circle(history.total(north) / times, history.total(east) / times, latitude, longitude)
    made.add(f"{follow}_km_from_usual", np.log1p(usual), "place")
