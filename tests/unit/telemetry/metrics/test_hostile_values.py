"""What label values and observations may be: anything, without harm to whoever counts or to whoever scrapes."""

from __future__ import annotations

import asyncio
import math
import subprocess
import threading
from contextvars import copy_context

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bedplate.metric import OTHER, Counter, Gauge, Histogram, Metric, Summary
from bedplate.problems import DeclarationError
from bedplate.service import Service
from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.metrics.registry import LABEL_LENGTH, OVERFLOW, Registry
from bedplate.testing import running
from bedplate.testing import settings as quiet

HITS = Counter("app_hits_total", "Hits.", {"path": 50, "result": ("hit", "miss")})
PLAIN = Counter("app_plain_total", "Plain.")
WAIT = Histogram("app_wait_seconds", "Wait.", unit="seconds", buckets=(0.1, 1.0), exemplars=True)
PAYLOAD = Summary("app_payload_bytes", "Payload.", unit="bytes")
LOAD = Gauge("app_load", "Load.")
SHARE = Gauge("app_share_ratio", "Share.", unit="ratio", merge="ratio")


def fresh(*metrics: Metric) -> Registry:
    registry = Registry("app")
    registry.declare(metrics or (HITS, PLAIN, WAIT, PAYLOAD, LOAD, SHARE))
    return registry


def both(registry: Registry) -> list[dict[str, float]]:
    """Render both formats, and read them with another implementation's parsers."""

    async def render() -> tuple[str, str]:
        return (await registry.render()).decode(), (await registry.render(openmetrics=True)).decode()

    text, openmetrics = asyncio.run(render())
    return [
        {f"{s.name}{sorted(s.labels.items()) or ''}": s.value for family in families for s in family.samples}
        for families in (parse_text(text), parse_openmetrics(openmetrics))
    ]


@settings(max_examples=80, deadline=None)
@given(st.text(st.characters(), max_size=30) | st.just("\udcff/%2e\ud800") | st.text(min_size=300, max_size=600))
def test_every_string_is_a_label_value(value: str) -> None:
    registry = fresh()
    for _ in range(2):
        registry.bind(HITS, path=value, result="hit").inc()
    for shown in both(registry):
        assert sum(v for name, v in shown.items() if name.startswith("app_hits_total")) == 2


def test_long_values_are_cut_and_never_kept_as_they_came() -> None:
    registry = fresh()
    registry.bind(HITS, path="x" * 1_000_000, result="hit").inc()
    [line] = [
        line for line in asyncio.run(registry.render()).decode().split("\n") if line.startswith("app_hits_total{")
    ]
    assert len(line) < LABEL_LENGTH + 60
    assert all(len(str(key)) < 1000 for key in registry._children)


def test_hostile_values_beside_an_other_do_not_grow_the_table_of_short_cuts() -> None:
    registry = fresh()
    for number in range(500):
        registry.bind(HITS, path=f"/{number}", result=OTHER).inc()
    # Once by their labels, once by how they were asked for.
    assert len(registry._children) <= 2 * 51 + 20


def test_what_is_narrowed_already_cannot_be_bound_to_something_else() -> None:
    registry = fresh()
    with pytest.raises(DeclarationError, match="already narrowed: path is '/a', not '/b'"):
        registry.bind(HITS(path="/a"), path="/b", result="hit")
    registry.bind(HITS(path="/a"), path="/a", result="hit").inc()


def test_what_is_no_number_does_not_spoil_a_sum_and_infinity_is_shown() -> None:
    registry = fresh()
    for value in (math.nan, 2.0, math.inf):
        registry.bind(WAIT).observe(value)
        registry.bind(PAYLOAD).observe(value)
    registry.bind(WAIT).observe(-1)
    registry.bind(PLAIN).inc(math.nan)
    registry.bind(PLAIN).inc()
    registry.bind(LOAD).set(-math.inf)
    with pytest.raises(ValueError, match="cannot go down"):
        registry.bind(PLAIN).inc(-math.inf)
    for shown in both(registry):
        assert shown["app_plain_total"] == 1
        assert shown["app_wait_seconds_count"] == 3
        assert shown["app_wait_seconds_bucket[('le', '0.1')]"] == 1
        assert shown["app_wait_seconds_bucket[('le', '+Inf')]"] == 3
        assert shown["app_wait_seconds_sum"] == math.inf
        assert (shown["app_payload_bytes_count"], shown["app_payload_bytes_sum"]) == (2, math.inf)
        assert shown["app_load"] == -math.inf


@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [(1, 4, 0.25), (0, 0, math.nan), (3, 0, math.nan), (math.inf, 2, math.inf), (math.nan, 2, math.nan)],
)
def test_a_ratio_is_a_quotient_or_no_data(numerator: float, denominator: float, expected: float) -> None:
    registry = fresh()
    registry.bind(SHARE).ratio(numerator, denominator)
    for shown in both(registry):
        assert shown["app_share_ratio"] == expected or (math.isnan(expected) and math.isnan(shown["app_share_ratio"]))


def test_an_exemplar_is_the_sampled_work_at_hand() -> None:
    registry = fresh()
    wait = registry.bind(WAIT)

    def work(sampled: bool, value: float, trace: str) -> None:
        current.set(WorkContext("r", trace, "b7ad6b7169203331", sampled=sampled))
        wait.observe(value)

    copy_context().run(work, True, 0.05, "a" * 32)
    copy_context().run(work, False, 0.06, "b" * 32)
    copy_context().run(work, True, math.inf, "c" * 32)
    wait.observe(0.5)
    wait.observe(0.7, None)
    text = asyncio.run(registry.render(openmetrics=True)).decode()
    families = {family.name: family for family in parse_openmetrics(text)}
    found = {
        sample.labels["le"]: sample.exemplar.labels["trace_id"]
        for sample in families["app_wait_seconds"].samples
        if sample.exemplar is not None
    }
    assert found == {"0.1": "a" * 32, "+Inf": "c" * 32}


def test_bind_from_many_threads_makes_one_child_a_series() -> None:
    registry = fresh()
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for number in range(200):
            registry.bind(HITS, path=f"/{number % 60}", result="hit").inc()
            registry.external({"name": "lib", "type": "gauge", "help": "L."}, "lib", [("n", str(number))]).set(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for shown in both(registry):
        hits = {name: value for name, value in shown.items() if name.startswith("app_hits_total")}
        assert (len(hits), sum(hits.values())) == (51, 1600)
        assert all(value == 1 for name, value in shown.items() if name.startswith("lib"))
        assert shown[f"{OVERFLOW.name}[('metric', 'app_hits_total')]"] > 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Histogram("a_seconds", "A.", buckets=(1.0, math.nan)), "do not ascend"),
        (lambda: Histogram("a_seconds", "A.", buckets=(-math.inf, 1.0)), "do not ascend"),
        (lambda: Counter("a_total", "A.", "cache"), "are one string"),
        (lambda: Counter("a_total", "A.", {"cache": "abc"}), "cannot be read"),
        (lambda: Counter("a_total", "A.", [3]), "cannot be read"),  # type: ignore[list-item]
        (lambda: fresh(Counter("a_total", "A."), Gauge("a", "A.")), "would expose a, which belongs to a_total"),
        (lambda: fresh(Gauge("a_count", "A."), Summary("a", "A.")), "would expose a_count"),
    ],
)
def test_declarations_that_no_exposition_could_carry_are_refused(make: object, message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        make()  # type: ignore[operator]


async def test_promtool_and_the_openmetrics_parser_have_nothing_against_a_whole_service() -> None:
    async with running(Service("shop", None, settings=quiet())) as harness:
        await harness.client.get("/monitoring/health")
        text = (await harness.client.get("/metrics")).content
        checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr.decode()
        answer = await harness.client.get("/metrics", headers={"accept": "application/openmetrics-text"})
        assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        names = {family.name for family in parse_openmetrics(answer.text)}
        assert {"process_cpu_seconds", "bedplate_service_component_up", "http_server_request_duration_seconds"} <= names
