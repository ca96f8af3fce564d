"""Ranges of many series are computed in slices and parts of them; where they are cut changes nothing."""

from __future__ import annotations

import random

import pytest

from bedplate.declarations import Series
from bedplate.promql import compiled, notation, windows
from bedplate.promql.query import Query
from bedplate.promql.source import Source

COLUMNS = 53
#: Of simple arithmetic, and of functions that look at each sample.
EXPRESSIONS = ("rate(x[10m])", "increase(x[3m])", "max_over_time(x[10m])", "quantile_over_time(0.9, x[10m])")


def source(gaps: float) -> Source:
    """Return series that lack some of their samples, and some that lack most."""
    dice = random.Random(5)
    series = []
    for number in range(COLUMNS):
        share = 0.9 if number % 9 == 8 else gaps
        values = " ".join("_" if dice.random() < share else str(number + 7 * minute) for minute in range(40))
        series.append(Series(f'x{{number="{number:02}"}}', values))
    return notation.load(series)


def answer(query: Query, data: Source) -> dict[str, tuple[tuple[float, float], ...]]:
    found = query.range(data, 300.0, 2300.0, 130.0)
    return {
        one.labels["number"]: tuple(zip(map(float, one.times), map(float, one.values), strict=True)) for one in found
    }


@pytest.mark.parametrize("expr", EXPRESSIONS)
@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_where_slices_and_parts_are_cut_changes_nothing(
    expr: str, gaps: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, data = compiled(expr), source(gaps)
    whole = answer(query, data)
    assert len(whole) > COLUMNS // 2
    for size in (*range(1, 700, 29), 1999):
        monkeypatch.setattr(windows, "_SLICE", size)
        assert answer(query, data) == whole, size
