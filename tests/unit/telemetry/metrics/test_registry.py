"""The registry: bounds, exposition, thread safety, and merging over processes that come and die."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bedplate.metric import OTHER, Counter, Gauge, Histogram, Metric, Summary
from bedplate.problems import DeclarationError, UndeclaredMetricError
from bedplate.telemetry.metrics.instruments import counting
from bedplate.telemetry.metrics.merge import Merger
from bedplate.telemetry.metrics.registry import OVERFLOW, Registry

HITS = Counter("app_hits_total", "Hits.", {"cache": 50, "result": ("hit", "miss")})
PLAIN = Counter("app_plain_total", "Plain.")
SIZE = Gauge("app_size_bytes", "Size.", {"cache": 5}, unit="bytes")
WORST = Gauge("app_worst", "Worst.", merge="max")
BEST = Gauge("app_best", "Best.", merge="min")
LATEST = Gauge("app_latest", "Latest.", merge="last")
SHARE = Gauge("app_share_ratio", "Share.", unit="ratio", merge="ratio")
LATENCY = Histogram("app_latency_seconds", "Latency.", {"route": 5}, unit="seconds", buckets=(0.1, 1.0), exemplars=True)
PAYLOAD = Summary("app_payload_bytes", "Payload.", unit="bytes")
ALL = [HITS, PLAIN, SIZE, WORST, BEST, LATEST, SHARE, LATENCY, PAYLOAD]


def values(registry: Registry) -> dict[str, float]:
    text = asyncio.run(registry.render()).decode()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in text.splitlines() if line[0] != "#"}


def fresh(directory: Path | None = None) -> Registry:
    registry = Registry("app", directory)
    registry.declare(ALL)
    return registry


@pytest.mark.parametrize("family", [LATENCY, Histogram("app_wait_seconds", "Wait.", {"route": 5}, unit="seconds")])
def test_what_is_counted_in_one_call_is_what_three_would_have_counted(family: Histogram) -> None:
    registry = Registry("app", None)
    registry.declare([HITS, family])
    one, three = (
        {
            "histogram": registry.bind(family, route=name),
            "hits": registry.bind(HITS, cache=name, result="hit"),
            "sum": registry.bind(HITS, cache=name, result="miss"),
        }
        for name in ("one", "three")
    )
    counts = counting(one["histogram"], one["hits"], one["sum"])
    for value in (0.0, 0.05, 0.1, 0.5, 9.0):
        counts(value)
        three["histogram"].observe(value)
        three["hits"].inc()
        three["sum"].inc(value)
    shown = values(registry)
    assert shown['app_hits_total{cache="one",result="hit"}'] == 5
    assert {name.replace("one", "three"): value for name, value in shown.items()} == {
        name.replace("one", "three"): shown[name.replace("one", "three")] for name in shown
    }


def test_children_keep_their_values_and_are_the_same_object() -> None:
    registry = fresh()
    registry.bind(HITS, cache="a", result="hit").inc()
    registry.bind(HITS(cache="a"), result="hit").inc(2)
    assert registry.bind(HITS, cache="a", result="hit") is registry.bind(HITS(result="hit"), cache="a")
    gauge = registry.bind(SIZE, cache="a")
    gauge.set(5)
    gauge.inc()
    gauge.dec(2)
    histogram = registry.bind(LATENCY, route="/")
    for value in (0.05, 0.1, 0.5, 9.0):
        histogram.observe(value)
    summary = registry.bind(PAYLOAD)
    summary.observe(3)
    summary.observe(4)
    shown = values(registry)
    assert shown['app_hits_total{cache="a",result="hit"}'] == 3
    assert shown['app_size_bytes{cache="a"}'] == 4
    assert shown['app_latency_seconds_bucket{route="/",le="0.1"}'] == 2
    assert shown['app_latency_seconds_bucket{route="/",le="1.0"}'] == 3
    assert shown['app_latency_seconds_bucket{route="/",le="+Inf"}'] == 4
    assert shown['app_latency_seconds_count{route="/"}'] == 4
    assert shown['app_latency_seconds_sum{route="/"}'] == pytest.approx(9.65)
    assert (shown["app_payload_bytes_count"], shown["app_payload_bytes_sum"]) == (2, 7)


def test_a_counter_refuses_to_go_down_and_nan_is_not_observed() -> None:
    registry = fresh()
    with pytest.raises(ValueError, match="cannot go down"):
        registry.bind(PLAIN).inc(-1)
    registry.bind(LATENCY, route="/").observe(math.nan)
    assert registry.bind(LATENCY, route="/").count == 0


def test_counters_without_labels_start_at_zero_and_gauges_do_not() -> None:
    shown = values(fresh())
    assert shown["app_plain_total"] == 0
    assert "app_worst" not in shown


def test_values_beyond_a_bound_are_counted_as_other() -> None:
    registry = fresh()
    for number in range(1000):
        registry.bind(SIZE, cache=f"c{number}").set(1)
    registry.bind(HITS, cache="a", result="neither").inc()
    shown = values(registry)
    assert sum(name.startswith("app_size_bytes") for name in shown) == 6
    assert shown[f'app_size_bytes{{cache="{OTHER}"}}'] == 1
    assert shown[f'app_hits_total{{cache="a",result="{OTHER}"}}'] == 1
    assert shown[f'{OVERFLOW.name}{{metric="app_size_bytes"}}'] == 995
    # The table of short cuts must not grow with hostile values either.
    assert len(registry._children) < 40


def test_undeclared_metrics_and_wrong_labels_are_refused_with_their_mend() -> None:
    registry = fresh()
    with pytest.raises(UndeclaredMetricError, match="app_unknown_total is not declared in app"):
        registry.bind(Counter("app_unknown_total", "Unknown."))
    with pytest.raises(DeclarationError, match="needs cache, result; got cache"):
        registry.bind(HITS, cache="a")
    with pytest.raises(DeclarationError, match="declared twice and differently"):
        registry.declare([Counter("app_hits_total", "Something else.")])
    with pytest.raises(DeclarationError, match="belongs to app_payload_bytes"):
        registry.declare([Counter("app_payload_bytes_count_total", "x"), Gauge("app_payload_bytes_count", "x")])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=20), st.floats(allow_nan=True, allow_infinity=True)), max_size=8))
def test_both_formats_parse_back_to_what_was_set(samples: list[tuple[str, float]]) -> None:
    registry = Registry("app")
    gauge = Gauge("app_any", 'Help with "quotes", \\ and\nlines.', {"name": 100})
    registry.declare([gauge])
    expected: dict[str, float] = {}
    for name, value in samples:
        registry.bind(gauge, name=name).set(value)
        expected[name] = value

    async def both() -> tuple[str, str]:
        return (await registry.render()).decode(), (await registry.render(openmetrics=True)).decode()

    text, openmetrics = asyncio.run(both())
    for families in (parse_text(text), parse_openmetrics(openmetrics)):
        read = {s.labels["name"]: s.value for f in families if f.name == "app_any" for s in f.samples}
        assert read.keys() == expected.keys()
        for name, value in expected.items():
            assert read[name] == value or (math.isnan(read[name]) and math.isnan(value))


def test_openmetrics_carries_types_units_and_exemplars() -> None:
    registry = fresh()
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    registry.bind(LATENCY, route="/").observe(0.5, (trace, span))
    registry.bind(HITS, cache="a", result="hit").inc()
    families = {f.name: f for f in parse_openmetrics(asyncio.run(registry.render(openmetrics=True)).decode())}
    assert families["app_hits"].type == "counter"
    assert families["app_latency_seconds"].unit == "seconds"
    bucket = next(s for s in families["app_latency_seconds"].samples if s.labels.get("le") == "1.0")
    assert bucket.exemplar.labels == {"trace_id": trace, "span_id": span}
    assert bucket.exemplar.value == 0.5


def test_json_shows_every_family_and_has_no_nan() -> None:
    registry = fresh()
    registry.bind(SHARE).ratio(0, 0)
    document = asyncio.run(registry.to_json())
    share = next(f for f in document["families"] if f["name"] == "app_share_ratio")
    assert share == {
        "name": "app_share_ratio", "type": "gauge", "help": "Share.", "unit": "ratio",
        "samples": [{"name": "app_share_ratio", "labels": {}, "value": None}],
    }  # fmt: skip


def test_threads_lose_no_increment() -> None:
    registry = fresh()
    counter, histogram = registry.bind(PLAIN), registry.bind(LATENCY, route="/")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for _ in range(20_000):
            counter.inc()
            histogram.observe(0.5)

    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counter.value == 80_000
    assert (histogram.count, histogram.sum) == (80_000, 40_000)


def test_merging_follows_the_declared_rule(tmp_path: Path) -> None:
    one, two = fresh(tmp_path), fresh(tmp_path)
    for registry, value in ((one, 3.0), (two, 5.0)):
        registry.bind(PLAIN).inc(value)
        registry.bind(SIZE, cache="a").set(value)
        registry.bind(WORST).set(value)
        registry.bind(BEST).set(value)
        registry.bind(LATENCY, route="/").observe(value / 10)
    one.bind(WORST).set(-1)
    two.bind(LATEST).set(1)
    time.sleep(0.01)
    one.bind(LATEST).set(7)
    one.bind(SHARE).ratio(1, 10)
    two.bind(SHARE).ratio(9, 10)
    for registry in (one, two):
        shown = values(registry)
        assert shown["app_plain_total"] == 8
        assert shown['app_size_bytes{cache="a"}'] == 8
        assert (shown["app_worst"], shown["app_best"], shown["app_latest"]) == (5, 3, 7)
        assert shown["app_share_ratio"] == 0.5
        assert shown['app_latency_seconds_count{route="/"}'] == 2


def _worker(directory: str, ready: Any, go: Any) -> None:
    registry = fresh(Path(directory))
    registry.bind(PLAIN).inc(10)
    registry.bind(SIZE, cache="a").set(10)
    registry.bind(LATENCY, route="/").observe(0.5)
    ready.set()
    go.wait(30)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_counted_once_and_for_ever(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    registry = fresh(tmp_path)
    registry.bind(PLAIN).inc()
    worker = context.Process(target=_worker, args=(str(tmp_path), ready, go))
    worker.start()
    assert ready.wait(30)
    assert values(registry)["app_plain_total"] == 11
    go.set()
    worker.join(30)
    for scraper in (registry, fresh(tmp_path), registry):
        shown = values(scraper)
        assert shown["app_plain_total"] == 11
        assert shown['app_latency_seconds_bucket{route="/",le="1.0"}'] == 1
        assert 'app_size_bytes{cache="a"}' not in shown
    assert len(list(tmp_path.glob("*.index"))) == 3  # two living writers and the tombstone


def test_files_stay_few_however_many_workers_have_died(tmp_path: Path) -> None:
    scraper = fresh(tmp_path)
    for _ in range(30):
        worker = fresh(tmp_path)
        worker.bind(PLAIN).inc()
        worker.bind(SIZE, cache="a").set(1)
        worker.close()
        values(scraper)
    assert values(scraper)["app_plain_total"] == 30
    assert len(list(tmp_path.glob("*.values"))) == 2
    assert len(scraper._merger._sources) == 2


@pytest.mark.parametrize("step", ["values", "index", "pointer", "published", "half_removed"])
def test_a_crash_in_the_middle_of_a_fold_loses_and_doubles_nothing(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for amount in (2, 40):
        worker = fresh(tmp_path)
        worker.bind(PLAIN).inc(amount)
        worker.close()
    crashing = fresh(tmp_path)
    real_write, real_replace, real_unlink = Path.write_bytes, Path.replace, Path.unlink

    class Crash(BaseException):
        pass

    def write(path: Path, data: bytes) -> int:
        suffix = {"values": ".values", "index": ".index", "pointer": ".json"}.get(step)
        if path.suffix == suffix:
            raise Crash
        return real_write(path, data)

    def replace(path: Path, target: Path) -> Path:
        result = real_replace(path, target)
        if step == "published":
            raise Crash
        return result

    def unlink(path: Path, missing_ok: bool = False) -> None:
        real_unlink(path, missing_ok)
        if step == "half_removed" and path.suffix == ".values":
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        patch.setattr(Path, "replace", replace)
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(Crash):
            asyncio.run(crashing.render())
    crashing.close()
    survivor = fresh(tmp_path)
    for _ in range(3):
        assert values(survivor)["app_plain_total"] == 42
    assert values(fresh(tmp_path))["app_plain_total"] == 42


def test_a_half_written_index_line_is_ignored(tmp_path: Path) -> None:
    worker = fresh(tmp_path)
    worker.bind(PLAIN).inc(4)
    index = next(tmp_path.glob("*.index"))
    worker.close()
    with index.open("ab") as file:
        file.write(b'[0,99,["half')
    assert values(fresh(tmp_path))["app_plain_total"] == 4


def test_counters_never_fall_while_workers_die_under_scrapes(tmp_path: Path) -> None:
    code = (
        "import sys,time,pathlib,itertools;from bedplate.metric import Counter;"
        "from bedplate.telemetry.metrics.registry import Registry;"
        "c=Counter('app_plain_total','Plain.');r=Registry('app',pathlib.Path(sys.argv[1]));r.declare([c]);"
        "b=r.bind(c);print('ready',flush=True);\n"
        "for i in itertools.count():\n b.inc()\n if i%1000==0: time.sleep(0.001)"
    )

    async def scenario() -> None:
        scrapers = [fresh(tmp_path), fresh(tmp_path)]
        last = 0.0
        for _ in range(4):
            workers = [
                subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
            ]
            for worker in workers:
                assert worker.stdout is not None
                assert await asyncio.to_thread(worker.stdout.readline) == b"ready\n"
            for round_ in range(20):
                if round_ == 10:
                    workers[0].kill()
                text = (await scrapers[round_ % 2].render()).decode()
                now = float(next(line for line in text.splitlines() if line.startswith("app_plain_total ")).split()[1])
                assert now >= last
                last = now
            for worker in workers:
                worker.kill()
                worker.wait()
                assert worker.stdout is not None
                worker.stdout.close()
        assert last > 0

    asyncio.run(scenario())


def test_a_family_that_only_another_process_declares_is_merged(tmp_path: Path) -> None:
    other = Registry("app", tmp_path)
    only: Metric = Histogram("other_seconds", "Other.", unit="seconds", buckets=(1.0,))
    other.declare([only])
    other.bind(only).observe(0.5)
    assert values(fresh(tmp_path))['other_seconds_bucket{le="1.0"}'] == 1


def test_more_series_than_one_segment_holds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("bedplate.telemetry.metrics.cells.SEGMENT_WORDS", 64)
    monkeypatch.setattr("bedplate.telemetry.metrics.cells.Segment.__init__.__defaults__", (64,))
    registry = Registry("app", tmp_path)
    many = Counter("app_many_total", "Many.", {"n": 500})
    registry.declare([many])
    for number in range(300):
        registry.bind(many, n=str(number)).inc(number)
    shown = values(registry)
    assert sum(value for name, value in shown.items() if name.startswith("app_many_total")) == sum(range(300))
    assert len(registry._writer.segments) > 3


async def test_concurrent_snapshots_agree() -> None:
    registry = fresh()
    registry.bind(PLAIN).inc(3)
    snapshots = await asyncio.gather(*(registry.snapshot() for _ in range(20)))
    assert len({snapshot.version for snapshot in snapshots}) == 1
    assert isinstance(registry._merger, Merger)


async def test_a_family_without_a_series_is_told_of_by_name_type_and_help() -> None:
    registry = Registry()
    registry.declare([Counter("jobs_total", "Jobs that were done.", {"queue": 5})])
    for openmetrics, name in ((False, "jobs_total"), (True, "jobs")):
        text = (await registry.render(openmetrics)).decode()
        assert f"# HELP {name} Jobs that were done.\n# TYPE {name} counter\n" in text
    registry.bind(Counter("jobs_total", "Jobs that were done.", {"queue": 5}), queue="mail").inc()
    text = (await registry.render()).decode()
    assert text.count("# TYPE jobs_total counter\n") == 1
    assert '# TYPE jobs_total counter\njobs_total{queue="mail"} 1.0\n' in text
    registry.declare([Counter("mails_total", "Mails that were sent.", {"kind": 5})])
    assert "# TYPE mails_total counter\n" in (await registry.render()).decode()
    registry.close()
