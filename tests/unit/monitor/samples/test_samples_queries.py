from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.component import Sample, Vector
from bedplate.monitor.samples.component import Samples
from bedplate.monitor.samples.extents import wanted
from bedplate.monitor.samples.queries import Queries
from bedplate.problems import BedplateError
from bedplate.promql import Matrix, compiled
from bedplate.promql.source import Window
from bedplate.service import Service
from bedplate.testing import running, settings

EMPTY = Window((), np.empty(0, np.int64), np.empty((0, 0)))


class Asked:
    """Notes what an evaluation asks for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def window(self, name: str, matchers: Any, start: int, end: int) -> Window:
        self.asked.append((name, start, end))
        return EMPTY


class Known:
    """A Prometheus that always says the same."""

    fault: str | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def vector(self, expr: str, at: float) -> Vector:
        self.asked.append((expr, at))
        return (Sample({"instance": "a"}, 1.0), Sample({"instance": "b"}, 0.0))

    async def range(self, expr: str, start: float, end: float, step: float) -> Matrix:
        self.asked.append((expr, start, end, step))
        return ()


spans = st.sampled_from(["30s", "5m", "1h"])
modifiers = st.one_of(
    st.just(""),
    spans.map(lambda span: f" offset {span}"),
    spans.map(lambda span: f" offset -{span}"),
    st.just(" @ 1700000000"),
    st.just(" @ start()"),
    spans.map(lambda span: f" @ end() offset {span}"),
    spans.map(lambda span: f" offset {span} @ end()"),
)
vectors = st.recursive(
    st.one_of(
        modifiers.map(lambda after: f"x{after}"),
        st.tuples(spans, modifiers).map(lambda parts: f"rate(y[{parts[0]}]{parts[1]})"),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda sides: f"({sides[0]} + on () {sides[1]})"),
        st.tuples(inner, inner).map(lambda sides: f"({sides[0]} or {sides[1]})"),
        inner.map(lambda one: f"sum by (job) (abs({one}))"),
        st.tuples(inner, spans, modifiers).map(lambda parts: f"max_over_time(({parts[0]})[{parts[1]}:15s]{parts[2]})"),
    ),
    max_leaves=4,
)


@given(expr=vectors, seconds=st.sampled_from([0, 60, 3600]))
def test_what_an_expression_reads_is_known_before_it_is_evaluated(expr: str, seconds: int) -> None:
    asked, end = Asked(), 1_700_010_000.0
    start = end - seconds
    compiled(expr).range(asked, start, end, 15.0)
    spans = [(one.name, one.start, one.end) for one in wanted(expr, start, end)]
    for name, first, last in asked.asked:
        assert any(name == known and begin <= first and last <= until for known, begin, until in spans), (expr, name)


async def test_the_fleet_is_asked_when_there_is_a_prometheus_and_about_this_service() -> None:
    known = Known()
    queries = Queries("shop", Samples(source=None), fleet=known)  # type: ignore[arg-type]
    assert await queries.vector("up == 0", 1000.0, scope="fleet") == await known.vector("", 0)
    await queries.range("up", 0.0, 60.0, 15.0, scope="fleet")
    assert known.asked[0] == ('up{job="shop"} == 0', 1000.0)
    assert known.asked[2] == ('up{job="shop"}', 0.0, 60.0, 15.0)
    assert queries.fleet_available
    known.fault = "prometheus:9090: Connection refused"
    assert (queries.fleet_available, queries.fleet_fault) == (False, known.fault)


async def test_without_prometheus_a_lone_host_is_the_fleet_and_of_several_nobody_answers() -> None:
    async with running(Service("shop", settings=settings())) as harness:
        queries = harness.service.builtins.queries
        assert await queries.query("up", scope="fleet") == await queries.query("up")
        assert queries.fleet_available
    several = settings(samples={"single_host": False})
    async with running(Service("shop", settings=several)) as harness:
        queries = harness.service.builtins.queries
        assert not queries.fleet_available
        with pytest.raises(BedplateError, match="PROMETHEUS_URL"):
            await queries.query("up", scope="fleet")
        assert len(await queries.query("up")) == 1


def test_outside_development_somebody_has_to_say_that_there_is_one_host() -> None:
    from bedplate.settings import Settings, Sources

    def fleet(environment: str, **samples: Any) -> bool:
        auth = {"tokens": "test:admin:a-token-for-tests-that-nobody-guesses"}
        given = Settings(environment=environment, auth=auth, samples=samples, _sources=Sources.none())  # type: ignore[call-arg]
        return Service("shop", settings=given).builtins.queries.fleet_available

    assert fleet("development")
    assert not fleet("production")
    assert fleet("production", single_host=True)


async def test_an_old_value_and_a_range_of_values_are_read_from_what_is_sealed() -> None:
    async with running(Service("shop", settings=settings())) as harness:
        queries = harness.service.builtins.queries
        await harness.clock.advance(3000)
        now = harness.clock.time()
        [then] = await queries.vector("bedplate_samples_taken_total", now - 2400)
        [still] = await queries.vector("bedplate_samples_taken_total offset 40m", now)
        assert then.value == still.value
        assert 0 < then.value < 200
        [series] = await queries.range("increase(bedplate_samples_taken_total[1m])", now - 2400, now, 60)
        assert len(series.values) == 41
        np.testing.assert_allclose(series.values, 12)


async def test_a_query_has_limits() -> None:
    tight = settings(samples={"query_samples": 1000, "query_timeout": 0.000001})
    async with running(Service("shop", settings=tight)) as harness:
        queries = harness.service.builtins.queries
        with pytest.raises(BedplateError, match=r"longer than 1e-06 s"):
            await queries.vector("up")
    async with running(Service("shop", settings=settings(samples={"query_samples": 1000}))) as harness:
        await harness.clock.advance(300)
        with pytest.raises(BedplateError, match="too many samples"):
            await harness.service.builtins.queries.vector('count({__name__=~".+"})')


async def test_grafanas_variables_stand_for_what_suits_the_samples() -> None:
    async with running(Service("shop", settings=settings(samples={"interval": 30}))) as harness:
        queries = harness.service.builtins.queries
        assert queries.rate_interval == 120
        await harness.clock.advance(300)
        [sample] = await queries.vector("increase(bedplate_samples_taken_total[$__rate_interval])")
        assert sample.value == pytest.approx(4)
