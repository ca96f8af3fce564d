"""Values by hand: where the dialects differ, what is refused, and how an evaluation behaves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from random import Random
from typing import Literal

import numpy as np
import pytest

from bedplate.declarations import Series
from bedplate.promql import EvaluationError, PromqlSyntaxError, UnsupportedError, compiled
from bedplate.promql.notation import Samples, load
from bedplate.promql.source import Source, Window
from tests.unit.promql.expressions import Maker
from tests.unit.promql.judge import agree

Dialect = Literal[2, 3]
Told = dict[str, float]


def told(expr: str, source: Source, at: float, dialect: Dialect = 3) -> Told:
    """Return values by labels, written as ``a=1,b=2``."""
    found = compiled(expr, dialect=dialect).value(source, at)
    return {",".join(f"{label}={value}" for label, value in sample.labels.items()): sample.value for sample in found}


def series(*lines: str, interval: float = 60) -> Samples:
    return load([Series(*line.split(maxsplit=1)) for line in lines], interval)


# --- the two dialects ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "at", "two", "three"),
    [
        # Prometheus 3's migration guide: with a sample a minute, [1m] held two of them, and now holds one.
        ("count_over_time(a[1m])", 600, 2, 1),
        ("count_over_time(a[1m])", 601, 1, 1),
        ("count_over_time(a[5m])", 600, 6, 5),
        ("count_over_time(a[5m] offset 1m)", 600, 6, 5),
        ("count_over_time(a[5m] @ 600)", 0, 6, 5),
        ("count_over_time(a[2m:1m])", 600, 3, 2),
        ("count_over_time(a[2m:1m])", 601, 2, 2),
        ("count_over_time(a[2m:])", 600, 3, 2),
        ("rate(a[1m])", 600, 1 / 60, None),
        ("rate(a[2m])", 600, 1 / 60, 1 / 60),
        # The latest sample is 300 s old, and just not.
        ("gone", 900, 10, None),
        ("gone", 899.999, 10, 10),
        ("last_over_time(gone[5m])", 900, 10, None),
        # A counter whose zero is nearer than where its first sample was to be expected.
        ("increase(late[5m])", 600, 3 * (120 + 50 + 60) / 120, 3 * (120 + 30 + 60) / 120),
        ("stddev(far)", 60, 0, math.nan),
        ("stdvar(far * NaN)", 60, 0, math.nan),
        # 1e100 + 1 - 1e100, which compensated sums get right.
        ("sum(big)", 60, None, 1),
        ("sum_over_time(big2[5m])", 240, 1, 1),
        # A difference between buckets that may come from rounding.
        ("histogram_quantile(0.5, near_bucket)", 60, 1.4999999999999, 1),
    ],
)
def test_dialects_differ_as_the_two_prometheus_do(expr: str, at: float, two: float | None, three: float | None) -> None:
    source = series(
        "a 0+1x20",
        "gone 0+1x10",
        "late _x7 1.25 2.25 4.25",
        "far Inf Inf",
        'big{n="1"} 1e100 1e100',
        'big{n="2"} 1 1',
        'big{n="3"} -1e100 -1e100',
        "big2 1e100 1 -1e100 0 0",
        'near_bucket{le="1"} 2 2',
        'near_bucket{le="2"} 2.0000000000001 2.0000000000001',
        'near_bucket{le="+Inf"} 4 4',
    )
    for dialect, wanted in ((2, two), (3, three)):
        if (expr, dialect) in (("sum(big)", 2), ("histogram_quantile(0.5, near_bucket)", 2)):
            continue
        found = list(told(expr, source, at, dialect).values())
        assert len(found) == (wanted is not None), dialect
        assert wanted is None or agree(found[0], wanted), (dialect, found)


def test_prometheus_2_keeps_the_name_after_atan2() -> None:
    source = series("a 1 1")
    assert told("a atan2 a", source, 60, 2) == {"__name__=a": math.pi / 4}
    assert told("a atan2 a", source, 60, 3) == {"": math.pi / 4}


def test_prometheus_3_refuses_a_second_match_that_the_comparison_would_drop() -> None:
    source = series('a{n="1"} 5 5', 'a{n="2"} 1 1', "b 3 3")
    assert told("a > ignoring (n) b", source, 60, 2) == {"__name__=a": 5}
    with pytest.raises(EvaluationError, match="Several series on the left match the same one"):
        told("a > ignoring (n) b", source, 60, 3)


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "position", "message"),
    [
        ("a / on () b", 2, r"on the right have the same labels to match by, \{\}: many-to-many"),
        ("b / on () group_right () a", 2, r"on the left have the same labels"),
        ("a + ignoring (n, m) lone", 2, "Several series on the left match the same one.*group_left"),
        ("sum(a * on () group_left (n) lone)", 6, r"Several pairs come to have the same.*group_left"),
        ('rate({__name__=~"a|c"}[5m])', 0, r'come to have the same labels: \{n="1"\}.*Aggregate'),
        ('-{__name__=~"a|c"}', 0, "come to have the same labels"),
        ('label_replace(a, "n", "x", "n", ".*")', 0, "come to have the same labels"),
        ("topk(1e300, a)", 5, "1e.300 is no number of series"),
    ],
)
def test_series_that_cannot_be_told_apart_are_refused_where_it_happens(expr: str, position: int, message: str) -> None:
    pairs = [f'{name[0]}{{n="{name[1]}"}} 0+{name[1]}x9' for name in ("a1", "a2", "b1", "b2", "c1")]
    source = series(*pairs, 'lone{m="x"} 1x9')
    with pytest.raises(EvaluationError, match=f"(?s){message}") as caught:
        told(expr, source, 300)
    assert caught.value.position == position
    assert caught.value.expr == expr


@pytest.mark.parametrize(
    ("expr", "position", "instead"),
    [
        ("1 + mad_over_time(a[5m])", 4, "stddev_over_time"),
        ("holt_winters(a[5m], 0.5, 0.5)", 0, "predict_linear"),
        ("histogram_avg(a)", 0, "classic"),
        ("sum(limitk(2, a))", 4, "topk"),
        ("info(a)", 0, "group_left"),
        ("sort_by_label(a, 'b')", 0, "Leave it out"),
        ("ts_of_min_over_time(a[5m])", 0, "Prometheus"),
        ("a + fill (0) b", 2, "Use or"),
        ("rate(a[5m] anchored)", 10, "Leave it out"),
        ("rate(a[5m * 2])", 7, "Write the duration"),
        ("a[5m]", 0, "last_over_time"),
    ],
)
def test_what_is_not_evaluated_is_refused_by_name_and_place(expr: str, position: int, instead: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        compiled(expr)
    assert caught.value.position == position
    assert instead in caught.value.mend
    assert caught.value.what and isinstance(caught.value, PromqlSyntaxError)


@pytest.mark.parametrize(
    ("expr", "position"),
    [
        ('label_replace(a, "b", "", "c", "(")', 31),
        ('label_replace(a, "", "", "c", "")', 17),
        ('count_values("", a)', 13),
        ("a > $limit", 4),
    ],
)
def test_texts_are_checked_before_anything_is_evaluated(expr: str, position: int) -> None:
    with pytest.raises(PromqlSyntaxError) as caught:
        compiled(expr)
    assert caught.value.position == position


def test_a_range_has_bounds() -> None:
    source = series("a 1x9")
    for start, end, step in ((0, 60, 0), (60, 0, 10), (0, 100_000, 1), (0, 60, -5)):
        with pytest.raises(EvaluationError, match=r"(?s)is no range.*at most"):
            compiled("a").range(source, start, end, step)
    with pytest.raises(EvaluationError, match="too long"):
        compiled("max_over_time(a[365d:1s])").value(source, 60)


# --- what a query is -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expr", "kind", "reach"),
    [
        ("1 + time()", "scalar", 0),
        ("a", "vector", 300),
        ("rate(a[10m]) + b", "vector", 600),
        ("a offset 1h", "vector", 3900),
        ("a offset -1h", "vector", 0),
        ("max_over_time(rate(a[5m] offset 1m)[1h:1m] offset 2m)", "vector", 300 + 60 + 3600 + 120),
    ],
)
def test_a_query_knows_its_type_and_reach(expr: str, kind: str, reach: float) -> None:
    query = compiled(expr)
    assert (query.type, query.reach) == (kind, reach)
    assert compiled(expr) is query


def test_scalars_and_strings() -> None:
    source = series("a 1x9")
    (sample,) = compiled("2 * time()").value(source, 60)
    assert (dict(sample.labels), sample.value) == ({}, 120)
    (line,) = compiled("time()").range(source, 0, 120, 60)
    assert (line.labels, line.times.tolist(), line.values.tolist()) == ({}, [0, 60, 120], [0, 60, 120])
    assert (compiled("('x')").type, compiled("('x')").text) == ("string", "x")
    with pytest.raises(EvaluationError, match=r"Query\.text"):
        compiled("'x'").value(source, 0)


def test_order_is_told_at_one_moment() -> None:
    source = series('a{n="1"} 2x9', 'a{n="2"} NaN NaN', 'a{n="3"} 7x9', 'a{n="4"} 2x9')

    def order(expr: str) -> str:
        return "".join(sample.labels["n"] for sample in compiled(expr).value(source, 60))

    assert order("sort(a)") == "1432"
    assert order("sort_desc(a)") == "3142"
    assert order("topk(2, a)") == "31"
    assert order("bottomk(3, a)") == "143"
    assert order("topk(9, a)") == "3142"


def test_look_back_can_be_chosen() -> None:
    source = series("a 1x9")
    assert compiled("a", lookback=60).value(source, 599)
    assert not compiled("a", lookback=60).value(source, 600)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("dialect", [2, 3])
def test_a_range_is_its_moments(seed: int, dialect: Dialect) -> None:
    """Over a stretch of time an expression has the values that it has at each of its moments."""
    maker = Maker(Random(1000 + seed), edges=True)
    data = maker.data()
    source = load(data.series, data.interval)
    for _ in range(40):
        expr, start = maker.expression(), float(maker.moment(data))
        step = maker.random.choice([1, 15, 60, 77])
        moments = [start + step * number for number in range(9)]
        if "@" in expr:  # start() and end() are the query's
            continue
        query = compiled(expr, dialect=dialect)
        try:
            wanted = {
                (tuple(sorted(sample.labels.items())), at): sample.value
                for at in moments
                for sample in query.value(source, at)
            }
        except EvaluationError:
            with pytest.raises(EvaluationError):
                query.range(source, start, moments[-1], step)
            continue
        found = {
            (tuple(sorted(line.labels.items())), at): value
            for line in query.range(source, start, moments[-1], step)
            for at, value in zip(line.times.tolist(), line.values.tolist(), strict=True)
        }
        assert found.keys() == wanted.keys(), (seed, expr)
        assert all(agree(value, wanted[key], 1e-12) for key, value in found.items()), (seed, expr)


def test_start_and_end_are_those_of_the_query() -> None:
    source = series("a 0+1x20")
    lines = compiled("a - a @ start() + 100 * (a @ end() - a)").range(source, 300, 600, 150)
    assert lines[0].values.tolist() == [500, 2 + 300, 5]


# --- how it behaves --------------------------------------------------------------------------------------------------


class Fresh:
    """A source that makes its labels anew for every window, as a list."""

    def __init__(self, samples: Samples) -> None:
        self.samples = samples

    def window(self, name: str, matchers: Sequence[object], start: int, end: int) -> Window:
        window = self.samples.window(name, matchers, start, end)  # type: ignore[arg-type]
        labels = [tuple((str(label), str(value)) for label, value in one) for one in window.labels]
        return Window(labels, window.times, window.values)


def test_what_is_kept_of_labels_never_outlives_them() -> None:
    query = compiled("sum by (n) (rate(a[5m])) / on (n) group_left (v) info or on (n) b")
    one = series('a{n="1"} 0+60x9', 'a{n="2"} 0+30x9', 'info{n="1",v="x"} 1x9', 'b{n="9"} 4x9')
    other = series('a{n="3"} 0+60x9', 'info{n="3",v="y"} 1x9', 'info{n="1",v="z"} 1x9')
    for source, wanted in ((one, {"n=1,v=x": 1.0, "__name__=b,n=9": 4.0}), (other, {"n=3,v=y": 1.0})) * 2:
        for kept in (source, Fresh(source)):
            assert told(query.expr, kept, 300) == wanted


async def test_the_event_loop_has_its_turns() -> None:
    rng = np.random.default_rng(7)
    labels = tuple((("__name__", "a"), ("n", str(number))) for number in range(10_000))
    times = np.arange(60, dtype=np.int64) * 5000
    source = Samples(labels, times, rng.random((60, 10_000)).cumsum(axis=0))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    for expr, least in (("quantile_over_time(0.9, a[5m])", 10), ("sum by (n) (deriv(a[5m]))", 10), ("1", 1)):
        query, before = compiled(expr), turns
        found = await query.value_async(source, 299)
        assert turns - before >= least, expr
        assert found == query.value(source, 299)
    lines = await compiled("rate(a[1m])").range_async(source, 200, 290, 30)
    assert [line.values.tolist() for line in lines[:1]] == [
        [query.value(source, at)[0].value for at in (200, 230, 260, 290)] for query in [compiled("rate(a[1m])")]
    ]
    task.cancel()


def test_nothing_is_evaluated_over_nothing() -> None:
    source = load([])
    for expr in (
        "a",
        "sum(a)",
        "rate(a[5m])",
        "a + b",
        "a or b",
        "topk(3, a)",
        "histogram_quantile(1, a)",
        "sort(a)",
    ):
        assert compiled(expr).value(source, 0) == ()
        assert compiled(expr).range(source, 0, 60, 30) == ()
    assert told('absent(a{job="x",n!="y"})', source, 0) == {"job=x": 1}
    assert told("quantile(0.5, a) or vector(7)", source, 0) == {"": 7}
    assert told("count_over_time(absent(a)[5m:1m])", source, 600) == {"": 5}


def test_series_are_not_written_to() -> None:
    source = series("a 0+1x9 stale", "b 5 _ 3 4x9")
    for table in (source.values, source.times):
        table.flags.writeable = False
    for expr in ("a", "rate(b[5m])", "sum(a) + b", "sort(b)", "quantile_over_time(0.5, b[5m])", "-a"):
        compiled(expr).value(source, 480)


def test_a_power_of_a_half_is_no_square_root_where_they_differ() -> None:
    source = series("low -Inf", "none -0", "four 4")
    assert told("low ^ 0.5", source, 0) == {"": math.inf}
    assert math.copysign(1, told("none ^ 0.5", source, 0)[""]) == 1
    assert told("four ^ 0.5", source, 0) == {"": 2.0}
    assert told("sqrt(four)", source, 0) == {"": 2.0}
