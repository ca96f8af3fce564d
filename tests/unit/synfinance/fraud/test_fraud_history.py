"""Histories against a plain reading of what they promise."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from synfinance.fraud.history import History, moments, paired

WINDOW = 10

rows = st.lists(st.tuples(st.integers(-1, 3), st.integers(0, 60), st.integers(-5, 5)), max_size=40)


def _columns(table: list[tuple[int, int, int]]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    table = sorted(table, key=lambda row: row[1])
    key, time, value = np.array(table, dtype=np.int64).reshape(-1, 3).T
    return key, time, value


def _before(key: NDArray[np.int64], place: int) -> list[int]:
    return [other for other in range(place) if key[other] == key[place] and key[place] >= 0]


@given(rows)
def test_everything_is_about_the_rows_before(table: list[tuple[int, int, int]]) -> None:
    key, time, value = _columns(table)
    history = History(key, time)
    window = history.window(WINDOW)
    count, total = history.count(), history.total(value)
    elapsed, previous = history.elapsed(), history.previous(value.astype(float))
    largest, age = history.largest(value.astype(float)), history.age()
    recent, recent_total = window.count(), window.total(value)
    for place in range(len(key)):
        past = _before(key, place)
        near = [other for other in past if time[place] - time[other] <= WINDOW]
        assert count[place] == len(past)
        assert total[place] == sum(value[past])
        assert recent[place] == len(near)
        assert recent_total[place] == sum(value[near])
        if past:
            assert elapsed[place] == (time[place] - time[past[-1]]) / 1000
            assert previous[place] == value[past[-1]]
            assert largest[place] == max(value[past])
            assert age[place] == time[place] - time[past[0]]
        else:
            assert math.isnan(elapsed[place])
            assert math.isnan(previous[place])
            assert math.isnan(largest[place])
            assert age[place] == 0


@given(rows)
def test_pairs_meet_where_both_keys_do(table: list[tuple[int, int, int]]) -> None:
    one, _, other = _columns(table)
    other = np.where(other < 0, -1, other)
    pair = paired(one, other)
    for first in range(len(pair)):
        known = one[first] >= 0 and other[first] >= 0
        assert (pair[first] >= 0) == known
        for second in range(first):
            same = one[first] == one[second] and other[first] == other[second]
            assert not known or (pair[first] == pair[second]) == same


def test_moments_are_those_of_the_logarithms_before() -> None:
    logs = np.log1p(np.array([10.0, 20.0, 80.0, 5.0]))
    mean, deviation = moments(History(np.zeros(4, np.int64), np.arange(4)), logs)
    assert math.isnan(mean[0])
    assert np.allclose(mean[1:], [logs[:1].mean(), logs[:2].mean(), logs[:3].mean()], atol=2e-3)
    assert np.allclose(deviation[1:], [0, logs[:2].std(), logs[:3].std()], atol=2e-3)
