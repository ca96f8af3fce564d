"""Charts: their numbers, their drawing, and what is kept between looks."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.component import Vector
from bedplate.console.charts import Chart, Grid, Keeper, Line, drawn
from bedplate.console.charts.data import legend
from bedplate.console.charts.drawing import extent, ticks, time_ticks
from bedplate.console.words import ago, count, duration, number, quantity
from bedplate.declarations import Threshold
from bedplate.promql import Matrix
from bedplate.promql.query import Series

NAN = math.nan


def chart(*values: float, **looks: object) -> Chart:
    times = np.arange(len(values), dtype=float) * 15
    return Chart(times=times, lines=[Line("a", {}, np.array(values))], **looks)  # type: ignore[arg-type]


@given(low=st.floats(-1e9, 1e9), size=st.floats(1e-6, 1e9), wanted=st.integers(2, 6), base=st.sampled_from((10, 1024)))
def test_ticks_hold_the_values_are_round_and_not_too_many(low: float, size: float, wanted: int, base: int) -> None:
    high = low + size
    if high <= low or size < abs(low) * 1e-6:
        return
    marks = ticks(low, high, wanted, base=base)
    assert marks[0] <= low + size * 1e-3 and marks[-1] >= high - size * 1e-3
    assert 2 <= len(marks) <= 2 * wanted + 3
    gaps = np.diff(marks)
    assert np.allclose(gaps, gaps[0], rtol=1e-6)


def test_a_gap_interrupts_the_line_and_a_lonely_point_is_still_seen() -> None:
    svg = drawn(chart(1, 2, NAN, 3, NAN), "Title")
    [path] = re.findall(r'class="line c1" d="([^"]+)"', svg)
    assert path.count("M") == 2 and path.endswith("h2")


def test_a_chart_says_what_it_shows_to_those_who_do_not_see_it() -> None:
    svg = drawn(chart(1, 2, NAN, unit="s"), 'Title "quoted" <b>')
    assert 'aria-label="Title &#34;quoted&#34; &lt;b&gt;. Latest values: a: 2 s"' in svg
    assert "<b>" not in svg


def test_thresholds_are_drawn_where_they_can_be_seen() -> None:
    near = chart(1, 2, thresholds=(Threshold(value=4, severity="critical", label="Slow"),))
    assert extent(near)[1] > 4 and "Slow 4" in drawn(near, "t")
    far = chart(1, 2, thresholds=(Threshold(value=400),))
    assert extent(far)[1] == 2 and "limit" not in drawn(far, "t")


@pytest.mark.parametrize("values", [(5.0, 5.0), (0.0, 0.0), (-3.0, -3.0), (NAN, NAN), (math.inf, 1.0), ()])
def test_any_values_can_be_drawn(values: tuple[float, ...]) -> None:
    svg = drawn(chart(*values), "t")
    assert "nan" not in svg and "inf" not in svg


def test_stacked_lines_stand_on_each_other() -> None:
    lines = [Line(name, {}, np.array([1.0, 2.0])) for name in "ab"]
    both = Chart(times=np.array([0.0, 15.0]), lines=lines, stacked=True)
    assert extent(both) == (0.0, 4.0)
    assert drawn(both, "t").count('class="area full') == 2


def test_times_are_written_at_round_moments() -> None:
    times = np.arange(0, 3601, 15, dtype=float) + 1_700_000_000
    marks = time_ticks(times)
    assert 3 <= len(marks) <= 6
    assert all(re.fullmatch(r"\d\d:[0-5]0|\d\d:[0-5]5", text) for _, text, _ in marks)


def test_legends() -> None:
    labels = {"__name__": "hits", "job": "x", "cache": "a", "kind": "b"}
    assert legend("{{cache}} {{ none }}", labels, "e") == "a"
    assert legend("", labels, "e") == "cache=a, kind=b"
    assert legend("", {"__name__": "hits", "job": "x"}, "e") == "hits"
    assert legend("", {}, "sum(x)") == "sum(x)"


class Counting:
    """A querier whose values are a function of the moment, and that counts what it was asked for."""

    fleet_fault = None

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.shown = {"a", "b"}

    async def vector(self, expr: str, at: float | None = None, *, scope: str = "host") -> Vector:
        raise NotImplementedError

    async def range(self, expr: str, start: float, end: float, step: float, *, scope: str = "host") -> Matrix:
        times = np.arange(start, end + step / 2, step)
        self.asked.append(len(times))
        odd = times[(times // step) % 3 != 0]
        made = {"a": Series({"k": "a"}, times, times * 2), "b": Series({"k": "b"}, odd, odd * 3)}
        return tuple(made[name] for name in sorted(self.shown))


@given(steps=st.lists(st.integers(0, 12), min_size=1, max_size=8))
async def test_what_is_kept_equals_what_is_asked_for_anew(steps: list[int]) -> None:
    source, now = Counting(), 1_000_000.0
    keeper = Keeper(lambda: source)  # type: ignore[arg-type, return-value]
    for step in steps:
        now += step * 15
        grid = Grid.of(3600, now)
        kept, _ = await keeper.lines("x", grid)
        fresh, _ = await Keeper(lambda: Counting()).lines("x", grid)  # type: ignore[arg-type, return-value]
        assert [line.name for line in kept] == [line.name for line in fresh]
        for one, other in zip(kept, fresh, strict=True):
            np.testing.assert_array_equal(one.values, other.values)


async def test_looking_again_costs_only_what_is_new() -> None:
    source = Counting()
    keeper = Keeper(lambda: source)  # type: ignore[arg-type, return-value]
    grid = Grid.of(3600, 1_000_000.0)
    for _ in range(5):
        await keeper.lines("x", grid)
    await keeper.lines("x", Grid(grid.end + 1, grid.step, grid.count))
    assert source.asked == [grid.count, 3]


async def test_a_series_that_ended_leaves_the_chart_with_its_last_value() -> None:
    source = Counting()
    keeper = Keeper(lambda: source)  # type: ignore[arg-type, return-value]
    grid = Grid(1000, 15, 10)
    await keeper.lines("x", grid)
    source.shown = {"a"}
    for ahead in range(1, 7):
        lines, _ = await keeper.lines("x", Grid(1000 + ahead, 15, 10))
    assert [line.name for line in lines] == ["k=a", "k=b"]
    lines, _ = await keeper.lines("x", Grid(1020, 15, 10))
    assert [line.name for line in lines] == ["k=a"]


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0123, "s", "12.3 ms"),
        (90, "s", "1 min 30 s"),
        (0.5, "percentunit", "50 %"),
        (1536, "bytes", "1.5 KiB"),
        (12.5, "ops", "12.5/s"),
        (1_234_567, "", "1.23M"),
        (0, "", "0"),
        (-5, "", "−5"),
        (NAN, "s", "–"),
        (3, "celsius", "3 celsius"),
    ],
)
def test_quantities(value: float, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_words() -> None:
    assert [number(value) for value in (math.inf, 0.000012, 999.9, 1000)] == ["∞", "1.20e−5", "1000", "1k"]
    assert [duration(value) for value in (0, 2e-6, 61, 7500, 200_000, None)] == [
        "0 s",
        "2 µs",
        "1 min 1 s",
        "2 h 5 min",
        "2 d 7 h",
        "–",
    ]
    assert [ago(1000 - back, 1000) for back in (0, 30, 300, 90_000, -120)] == [
        "just now",
        "30 s ago",
        "5 min ago",
        "1 d ago",
        "in 2 min",
    ]
    assert count(1234567) == "1\u202f234\u202f567"
