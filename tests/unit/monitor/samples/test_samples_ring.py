from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.monitor.samples.ring import Ring, TooManySamplesError, Wanted
from bedplate.promql.selectors import Matcher, selectors
from bedplate.promql.source import MISSING, STALE, Labels, Window

START = 1_700_000_000_000
STEP = 5_000


def labels(name: str, **others: str) -> Labels:
    return tuple(sorted({"__name__": name, "job": "ledger", **others}.items()))


def matchers(text: str) -> tuple[str, tuple[Matcher, ...]]:
    [found] = selectors(text)
    return found.name, tuple(found.matchers)


def bits(values: Any) -> list[Any]:
    return np.asarray(values, np.float64).view(np.uint64).tolist()  # type: ignore[no-any-return]


class Model:
    """What a ring has to answer: every row as a mapping, nothing else."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[Labels, float]]] = []
        self.living: set[Labels] = set()

    def add(self, ring: Ring, at: int, row: dict[Labels, float]) -> None:
        placed = {one: column for one in row if (column := ring.column(one)) is not None}
        ended = [column for one in self.living - row.keys() if (column := ring.column(one)) is not None]
        columns = np.array(list(placed.values()), np.intp)
        assert ring.put(at, columns, np.array([row[one] for one in placed]), ended)
        self.rows.append((at, {**dict.fromkeys(self.living - row.keys(), STALE), **{o: row[o] for o in placed}}))
        self.living = set(placed)

    def cells(self, start: int, end: int) -> dict[tuple[int, Labels], int]:
        return {
            (at, one): bits([value])[0] for at, row in self.rows if start <= at <= end for one, value in row.items()
        }


def cells(window: Window) -> dict[tuple[int, Labels], int]:
    assert window.values.shape == (len(window.times), len(window.labels))
    assert (np.diff(window.times) > 0).all()
    found = window.values.view(np.uint64).tolist()
    return {
        (int(at), one): value
        for at, row in zip(window.times, found, strict=True)
        for one, value in zip(window.labels, row, strict=True)
        if value != bits([MISSING])[0]
    }


def filled(rows: int, series: int = 3, **options: Any) -> Ring:
    ring = Ring(**options)
    columns = np.array([ring.column(labels("x", n=str(n))) for n in range(series)], np.intp)
    for row in range(rows):
        assert ring.put(START + row * STEP, columns, np.arange(series) + row * 1000.0)
        ring.seal()
    return ring


values = st.one_of(
    st.floats(allow_nan=False),
    st.sampled_from([0.0, -0.0, math.inf, -math.inf, math.nan, 1e-320]),
    st.integers(0, 5).map(float),
)
many = [labels("x", n=str(number)) for number in range(5)] + [labels(f"y{number}") for number in range(60)]


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 130), st.dictionaries(st.sampled_from(many), values, max_size=20)),
        min_size=1,
        max_size=8,
    ),
    seals=st.integers(0, 3),
    stretch=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_every_window_holds_exactly_the_samples_that_were_put(
    rows: list[tuple[int, dict[Labels, float]]], seals: int, stretch: tuple[float, float]
) -> None:
    ring, model, at = Ring(reach=60.0), Model(), START
    for times, row in rows:
        for turn in range(times):
            at += STEP
            model.add(ring, at, {one: value + turn for one, value in row.items()})
            for _ in range(seals):
                ring.seal()
    start, end = (START + int(share * (at - START)) for share in sorted(stretch))
    for first, last in ((start, end), (START, at), (at - 30_000, at)):
        assert cells(ring.window("", (), first, last)) == model.cells(first, last)
        wanted = {key: value for key, value in model.cells(first, last).items() if key[1][0][1] == "x"}
        assert cells(ring.window("x", (), first, last)) == wanted


def test_selectors_choose_series_by_all_kinds_of_conditions() -> None:
    ring = Ring()
    for one in (labels("x", code="200", le="1"), labels("x", code="500"), labels("x"), labels("y", code="200")):
        ring.put((ring.last or START) + STEP, np.array([ring.column(one)], np.intp), np.ones(1))

    def chosen(text: str) -> list[dict[str, str]]:
        window = ring.window(*matchers(text), START, START + 60_000)
        return [{key: value for key, value in one if key != "job"} for one in window.labels]

    x200, x500, x, y = (
        {"__name__": "x", "code": "200", "le": "1"}, {"__name__": "x", "code": "500"}, {"__name__": "x"},
        {"__name__": "y", "code": "200"},
    )  # fmt: skip
    assert chosen("x") == [x200, x500, x]
    assert chosen('x{code="200"}') == [x200]
    assert chosen('x{code!="200"}') == [x500, x]
    assert chosen('x{code=""}') == [x]
    assert chosen('x{code=~"2.."}') == [x200]
    assert chosen('x{code=~"2"}') == []
    assert chosen('x{code!~"2..",le=""}') == [x500, x]
    assert chosen('{code="200"}') == [x200, y]
    assert chosen('{__name__=~"y|z"}') == [y]
    assert chosen("z") == []


def test_recent_windows_are_views_and_labels_stay_the_same_object() -> None:
    ring = filled(400)
    end = START + 399 * STEP
    one, other = (ring.window("x", (), end - 300_000, end) for _ in range(2))
    assert np.shares_memory(one.values, other.values)
    assert one.labels is other.labels
    assert len(one.times) == 61
    ring.put(end + STEP, np.array([ring.column(labels("z"))], np.intp), np.ones(1))
    assert ring.window("x", (), end, end).labels is one.labels, "series of another name came, and x is as it was"
    ring.put(end + 2 * STEP, np.array([ring.column(labels("x", n="9"))], np.intp), np.ones(1))
    assert len(ring.window("x", (), end, end).labels) == 4


def test_a_view_outlives_the_rows_of_several_evaluations() -> None:
    ring = filled(700)
    end = START + 699 * STEP
    first = end - 900_000
    view = ring.window("x", (), first, end)
    kept = view.values.copy()
    for row in range(32):
        ring.put(end + (row + 1) * STEP, np.arange(3), np.full(3, -1.0))
    np.testing.assert_array_equal(view.values, kept)


def test_a_time_that_is_not_later_is_refused_and_changes_nothing() -> None:
    ring = filled(3)
    end = START + 2 * STEP
    assert not ring.put(end, np.arange(3), np.zeros(3))
    assert not ring.put(end - 1, np.arange(3), np.zeros(3), ended=[0])
    assert ring.window("x", (), START, end).values[-1].tolist() == [2000.0, 2001.0, 2002.0]
    assert ring.rows == 3


def test_rows_go_when_their_time_has_come_and_their_columns_serve_again() -> None:
    ring = filled(10, series=40, retention=3600.0)
    for row in range(10, 3000):
        ended = range(20) if row == 10 else ()
        ring.put(START + row * STEP, np.arange(20, 40), np.full(20, float(row)), list(ended))
        ring.seal()
        ring.seal()
    assert ring.since is not None and ring.last is not None
    assert 3600 <= (ring.last - ring.since) / 1000 <= 3600 + 2 * 1200
    assert ring.series == 20
    assert {ring.column(labels("later", n=str(number))) for number in range(20)} == set(range(20))
    assert cells(ring.window("later", (), START, ring.last)) == {}


def test_more_series_than_allowed_are_not_kept() -> None:
    ring = Ring(most_series=2)
    assert [ring.column(labels("x", n=str(number))) for number in range(3)] == [0, 1, None]
    assert ring.column(labels("x", n="1")) == 1


def test_memory_beyond_the_limit_costs_the_oldest_rows() -> None:
    ring = Ring(most_bytes=4 * 2**20)
    random = np.random.default_rng(1)
    columns = np.array([ring.column(labels("x", n=str(number))) for number in range(100)], np.intp)
    for row in range(6000):
        ring.put(START + row * STEP, columns, random.normal(size=100))
        ring.seal()
    assert ring.shortened
    assert ring.size <= 4 * 2**20 + 400_000
    assert ring.since is not None and ring.since > START
    assert len(ring.window("x", (), START, START + 6000 * STEP).times) == ring.rows < 6000


async def test_loading_reads_what_a_window_reads_and_refuses_too_much() -> None:
    ring = filled(1500)
    end = START + 1499 * STEP
    name, conditions = matchers('x{n=~"0|2"}')
    wanted = Wanted(name, conditions, START + 7, end)
    loaded = await ring.load([wanted, Wanted(name, conditions, START + 60_000, end)], most=3000)
    whole = loaded.window(name, conditions, START + 7, end)
    assert cells(whole) == cells(ring.window(name, conditions, START + 7, end))
    part = loaded.window(name, conditions, START + 600_000, START + 660_000)
    assert cells(part) == cells(ring.window(name, conditions, START + 600_000, START + 660_000))
    assert np.shares_memory(part.values, whole.values)
    assert cells(loaded.window("x", (), START, end)) == cells(ring.window("x", (), START, end)), "not loaded, yet there"
    with pytest.raises(TooManySamplesError, match="too many samples"):
        await ring.load([wanted], most=2900)


async def test_two_short_stretches_are_loaded_without_what_lies_between() -> None:
    ring = filled(1500)
    end = START + 1499 * STEP
    short = [Wanted("x", (), end - 60_000, end), Wanted("x", (), START, START + 60_000), Wanted("x", (), START, START)]
    loaded = await ring.load(short, most=3 * (13 + 13))
    for one in short:
        assert cells(loaded.window("x", (), one.start, one.end)) == cells(ring.window("x", (), one.start, one.end))


def test_a_cleared_ring_begins_anew() -> None:
    ring = filled(1000)
    ring.clear()
    assert (ring.rows, ring.since, ring.last) == (0, None, None)
    assert len(ring.window("x", (), 0, START * 2).times) == 0
    for row in range(700):
        assert ring.put(1000 + row * STEP, np.arange(3), np.full(3, float(row)))
        ring.seal()
    window = ring.window("x", (), 0, START)
    assert window.values[:, 0].tolist() == [float(row) for row in range(700)]


def test_nobody_who_seals_loses_nothing() -> None:
    ring = Ring()
    column = np.array([ring.column(labels("x"))], np.intp)
    for row in range(2000):
        ring.put(START + row * STEP, column, np.array([float(row)]))
    assert ring.window("x", (), START, START * 2).values[:, 0].tolist() == [float(row) for row in range(2000)]


async def test_a_day_of_a_thousand_series_takes_less_than_100_megabytes() -> None:
    # What services have: counters of all rates, buckets among them, gauges that stand and gauges that move.
    rows, series = 17_280, 1000
    random = np.random.default_rng(7)
    rates = 10 ** random.uniform(-2, 2, 800) * 5
    totals = np.zeros(800)
    moving = np.zeros(100)
    ring = Ring()
    columns = np.array([ring.column(labels("x", n=str(number))) for number in range(series)], np.intp)
    still = np.full(100, 12.0)
    for row in range(rows):
        totals += random.poisson(rates)
        moving += random.normal(size=100)
        ring.put(START + row * STEP, columns, np.concatenate([totals, still, moving]))
        for _ in range(ring.sealing_share):
            ring.seal()
    assert ring.rows == rows
    await ring.load([Wanted("", (), START + rows * STEP - 6 * 3_600_000, START + rows * STEP)])
    # With the latest rows, labels, and all that is remembered of what was decoded.
    assert ring.size < 100e6
    assert 20_000 < ring.sealed_size / series < 40_000, "bytes that a series costs a day, as the documentation says"
