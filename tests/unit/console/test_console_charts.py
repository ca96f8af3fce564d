"""Charts: their numbers, their drawing, and what is kept between looks."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.component import Vector
from bedplate.console.charting import Charting
from bedplate.console.charts import Chart, Grid, Keeper, Line, drawn
from bedplate.console.charts.data import legend
from bedplate.console.charts.drawing import extent, ticks, time_ticks
from bedplate.console.charts.heat import buckets_of
from bedplate.console.interfaces import Sources
from bedplate.console.words import ago, count, duration, number, quantity
from bedplate.declarations import Threshold
from bedplate.monitor.health import Health
from bedplate.monitor.management.actions import Buttons
from bedplate.promql import Matrix
from bedplate.promql.query import Series
from bedplate.telemetry.redaction import Redactor

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


def bands(*rows: tuple[str, tuple[float, ...]]) -> str:
    lines = [Line(name, {}, np.array(values)) for name, values in rows]
    times = 1_700_000_000 + 60 * np.arange(len(rows[0][1]), dtype=float)
    tones = {"healthy": "good", "degraded": "warn", "unhealthy": "bad"}
    return str(drawn(Chart(times=times, lines=lines, look="state"), "How", tones=tones))


def test_states_are_bands_of_one_row_with_their_words_and_the_graver_the_higher() -> None:
    svg = bands(("healthy", (1, 1, 1, NAN, NAN, 1)), ("unhealthy", (NAN, NAN, NAN, 1, 1, NAN)))
    found = re.findall(r'class="band tone-(\w+)" x="([\d.]+)%" y="([\d.]+)" width="([\d.]+)%" height="([\d.]+)"', svg)
    assert [(tone, x, width) for tone, x, _, width, _ in found] == [
        ("good", "0", "50"), ("good", "83.3", "16.7"), ("bad", "50", "33.3"),
    ]  # fmt: skip
    assert {float(y) + float(height) for _, _, y, _, height in found} == {float(found[0][2]) + float(found[0][4])}
    assert float(found[2][4]) > float(found[0][4])
    assert ">healthy</text>" in svg and "unhealthy, 22:16:20 to 22:17:20 UTC" in svg
    assert "healthy: now, 4 min of the time shown; unhealthy: 2 min" in svg


def test_things_of_other_names_have_a_row_each_and_no_band_while_they_are_not_so() -> None:
    svg = bands(("Slow <b>", (NAN, 1, 1)), ("Broken", (0, 0, 0)))
    assert svg.count('class="band c1"') == 1 and svg.count('class="row-name"') == 2
    assert "<b>" not in svg and "Broken: never" in svg


def heat(**buckets: tuple[float, ...]) -> str:
    lines = [Line(le, {"le": le.removeprefix("le").replace("_", ".")}, np.array(v)) for le, v in buckets.items()]
    times = 15 * np.arange(len(lines[0].values), dtype=float)
    return str(drawn(Chart(times=times, lines=lines, look="heatmap", unit="s"), "How long"))


def test_a_heatmap_shows_what_fell_into_each_bucket_and_not_what_fell_below_it() -> None:
    lines = [
        Line(le, {"le": le}, np.array(values))
        for le, values in (("+Inf", (9.0, 4)), ("10", (9.0, NAN)), ("2", (4.0, 3)))
    ]
    bounds, counts = buckets_of(lines)
    assert bounds == [2.0, 10.0, math.inf]
    np.testing.assert_array_equal(counts, [[4, 3], [5, 0], [0, 4]])


def test_a_heatmap_is_darkest_where_most_is_and_leaves_out_what_never_was() -> None:
    svg = heat(le0_1=(0, 0), le1=(0, 0), le5=(100, 25), leInf=(100, 26), le0_01=(0, 0))
    assert re.findall(r'class="cell heat-(\d)"', svg) == ["1", "3", "5"]
    assert "≤ 5 s" in svg and "more" in svg and "10 ms" not in svg
    assert "most are 5 s at most: 96 %" in svg


@pytest.mark.parametrize("values", [(), (NAN, NAN), (0.0, 0.0), (math.inf, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("look", ["state", "heatmap"])
def test_any_values_can_be_drawn_as_bands_and_shades(values: tuple[float, ...], look: str) -> None:
    for labels in ({}, {"le": "1"}, {"le": "x"}):
        times = 15 * np.arange(len(values), dtype=float)
        one = Chart(times=times, lines=[Line("a", labels, np.array(values))], look=look)  # type: ignore[arg-type]
        svg = drawn(one, "t", tall=True)
        assert "nan" not in svg.lower() and "inf" not in svg


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


class Broken:
    """A querier with a fault of ours."""

    async def range(self, expr: str, start: float, end: float, step: float, *, scope: str = "host") -> Matrix:
        raise ValueError("shapes do not fit")


async def test_a_chart_that_fails_says_so_and_is_an_error_and_the_page_goes_on() -> None:
    seen: list[tuple[str, str]] = []
    sources = Sources(
        service="test",
        environment="test",
        health=Health(),
        presses=Buttons(Redactor(), 5.0, lambda component, action, outcome: None),
        redactor=Redactor(),
        querier=Broken(),  # type: ignore[arg-type]
        capture=lambda error, where: seen.append((str(error), where)),
    )
    chart = await Charting(sources).chart([("", "x")], Grid(1000, 15, 10))
    assert "could not be drawn" in chart.fault and seen == [("shapes do not fit", "chart")]
