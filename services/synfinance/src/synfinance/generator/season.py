"""When people pay: the intensity of transactions by hour of the day, day of the week, day of the month and month."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from synfinance.generator import catalog

HOUR: Final = 3_600_000
"""Milliseconds in an hour; times are milliseconds since 1970 in UTC."""
DAY: Final = 24 * HOUR
_SLOTS: Final = 4096


class Season:
    """The intensity of transactions over a span of time, and the map from its mass to the time.

    The mass of the whole span is 1. Times drawn uniformly in mass follow the intensity, and equal slices of mass hold
    equal numbers of transactions: this is how a run is cut into blocks whose sizes are known beforehand.
    """

    def __init__(self, start: datetime, days: float) -> None:
        self.start = _milliseconds(start)
        self.end = self.start + max(1, int(days * DAY))
        edges = np.arange(self.start // HOUR, -(-self.end // HOUR) + 1, dtype=np.int64) * HOUR
        inside = np.diff(np.clip(edges, self.start, self.end)) / HOUR
        mass = np.concatenate([[0.0], np.cumsum(_intensity(edges[:-1]) * inside)])
        self._edges = np.clip(edges, self.start, self.end).astype(np.float64)
        self._mass = mass / mass[-1]

    def time_at(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        """Times, in milliseconds, at which these shares of the span's transactions have passed."""
        times = np.interp(mass, self._mass, self._edges).astype(np.int64)
        return np.minimum(times, self.end - 1)


@functools.cache
def categories_by_hour() -> NDArray[np.uint8]:
    """A table of 24 × 4096 category codes: a uniform draw in the row of an hour follows that hour's mix of trade."""
    weights = np.array([category.weight for category in catalog.CATEGORIES])
    profiles = np.array([catalog.DAILY_PROFILES[category.hours] for category in catalog.CATEGORIES])
    table = np.empty((24, _SLOTS), dtype=np.uint8)
    middle = (np.arange(_SLOTS) + 0.5) / _SLOTS
    for hour in range(24):
        share = np.cumsum(weights * profiles[:, hour])
        table[hour] = np.searchsorted(share / share[-1], middle)
    return table


def _intensity(hours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Relative number of transactions in the hours that begin at these times."""
    profile = np.zeros(24)
    for category in catalog.CATEGORIES:
        profile += category.weight * np.array(catalog.DAILY_PROFILES[category.hours])
    dates = (hours // DAY).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months).astype(np.int64) + 1
    weekday = (hours // DAY + 3) % 7
    payday = np.where((day_of_month >= 25) & (day_of_month <= 30), catalog.PAYDAY_LIFT, 1.0)
    by_month = np.array(catalog.MONTH_WEIGHTS)[months.astype(np.int64) % 12]
    by_weekday = np.array(catalog.WEEKDAY_WEIGHTS)[weekday]
    intensity: NDArray[np.float64] = profile[(hours // HOUR) % 24] * by_weekday * by_month * payday
    return intensity


def _milliseconds(time: datetime) -> int:
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
    return round(zoned.timestamp() * 1000)
