"""The registry as a component: what other libraries count, the process itself, and rolling windows."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.metric import Counter
from bedplate.service import Service
from bedplate.telemetry.metrics.windows import Window
from bedplate.testing import running, settings


@pytest.fixture
def library() -> Iterator[prometheus_client.CollectorRegistry]:
    """Something that another library counts, removed afterwards."""
    collectors = [
        prometheus_client.Counter("lib_calls", "Calls.", ["method"]),
        prometheus_client.Gauge("lib_size", "Size."),
        prometheus_client.Histogram("lib_wait_seconds", "Wait.", buckets=(0.1, 1)),
        prometheus_client.Summary("lib_bytes", "Bytes."),
        prometheus_client.Info("lib_build", "Build."),
        prometheus_client.Counter("shop_orders", "The same name as one of ours."),
    ]
    collectors[0].labels("get").inc(3)
    collectors[1].set(7)
    collectors[2].observe(0.5)
    collectors[3].observe(9)
    collectors[4].info({"version": "2"})
    collectors[5].inc(1000)
    yield prometheus_client.REGISTRY
    for collector in collectors:
        prometheus_client.REGISTRY.unregister(collector)


ORDERS = Counter("shop_orders_total", "Orders.")


async def test_what_other_libraries_count_is_shown_beside_ours(library: prometheus_client.CollectorRegistry) -> None:
    service = Service("shop", None, [_shop()], settings=settings())
    async with running(service) as harness:
        samples = await harness.samples()
        assert samples['lib_calls_total{method="get"}'] == 3
        assert samples["lib_size"] == 7
        assert samples['lib_wait_seconds_bucket{le="1.0"}'] == 1
        assert samples['lib_wait_seconds_bucket{le="0.1"}'] == 0
        assert samples["lib_bytes_sum"] == 9
        assert samples['lib_build_info{version="2"}'] == 1
        assert samples["shop_orders_total"] == 0, "ours wins"
        openmetrics = (await service.builtins.metrics.render(openmetrics=True)).decode()
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse

        types = {family.name: family.type for family in parse(openmetrics)}
        assert (types["lib_calls"], types["lib_wait_seconds"], types["lib_bytes"]) == (
            "counter",
            "histogram",
            "summary",
        )


def _shop() -> object:
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    from bedplate.component import Host, Spec

    class Shop:
        @property
        def spec(self) -> Spec:
            return Spec(kind="shop", summary="Sells.", metrics=(ORDERS,))

        @asynccontextmanager
        async def lifespan(self, host: Host) -> AsyncIterator[None]:
            yield

    return Shop()


async def test_the_process_its_collector_and_its_loop_are_measured() -> None:
    async with running(Service("shop", None, settings=settings())) as harness:
        gc.collect()
        samples = await harness.samples()
        assert 0 < samples["process_cpu_seconds_total"] < 10_000
        assert 2**20 < samples["process_resident_memory_bytes"] < 2**36
        assert samples["process_open_fds"] >= 3
        assert samples["bedplate_runtime_tasks"] > 3
        assert samples['bedplate_runtime_gc_collections_total{generation="2"}'] >= 1
        assert any(name.startswith("bedplate_runtime_info{") and 'platform="linux"' in name for name in samples)
        await harness.eventually(lambda: _some(harness, "bedplate_runtime_event_loop_lag_seconds_count"))
    assert os.getpid() > 0
    assert not any("Runtime" in repr(callback) or "listen" in repr(callback) for callback in gc.callbacks)


async def _some(harness: object, name: str) -> bool:
    return (await harness.samples())[name] > 0  # type: ignore[attr-defined]


class Ticker:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_forgets_what_is_older_than_itself() -> None:
    clock = Ticker()
    window: Window[str] = Window(300, slots=60, clock=clock)
    window.add("fraud", 2)
    clock.now += 299
    assert window.total("fraud") == 2
    window.add("fraud")
    clock.now += 6
    assert window.totals() == {"fraud": 1}
    clock.now += 300
    assert window.totals() == {}


def test_a_young_windows_rate_is_per_second_of_its_age() -> None:
    clock = Ticker()
    window: Window[str] = Window(300, slots=60, clock=clock)
    window.add("done", 100)
    clock.now += 10
    assert window.rate("done") == 10
    window.reset()
    assert window.rate("done") == 0


@given(st.lists(st.tuples(st.floats(0, 50), st.sampled_from("ab"), st.integers(1, 9)), max_size=60))
def test_a_window_is_never_off_by_more_than_a_slot(events: list[tuple[float, str, int]]) -> None:
    clock = Ticker()
    window: Window[str] = Window(100, slots=10, clock=clock)
    seen: list[tuple[float, str, int]] = []
    for wait, key, amount in events:
        clock.now += wait
        window.add(key, amount)
        seen.append((clock.now, key, amount))
        for name in "ab":
            surely = sum(n for at, k, n in seen if k == name and at > clock.now - 90)
            perhaps = sum(n for at, k, n in seen if k == name and at > clock.now - 110)
            assert surely <= window.total(name) <= perhaps
