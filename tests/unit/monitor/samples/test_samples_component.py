from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from bedplate.component import Host, Spec
from bedplate.metric import Counter, Gauge
from bedplate.monitor.samples.metrics import DROPPED, MISSED, TAKEN
from bedplate.problems import BedplateError
from bedplate.promql.source import STALE
from bedplate.service import Service
from bedplate.testing import Harness, ManualClock, running, settings

HITS = Counter("shop_hits_total", "Hits.", {"page": 1000})
DEPTH = Gauge("shop_depth", "Depth.", ("instance_of", "job_of"))


class Shop:
    """Has series of its own, and asks about them."""

    def __init__(self) -> None:
        self.host: Any = None

    @property
    def spec(self) -> Spec:
        return Spec(kind="shop", summary="A shop.", metrics=(HITS, DEPTH))

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        yield


@asynccontextmanager
async def shop(clock: ManualClock | None = None, **values: Any) -> AsyncIterator[tuple[Harness, Shop]]:
    component = Shop()
    service = Service("shop", None, [component], settings=settings(**values))
    async with running(service, clock=clock) as harness:
        yield harness, component


async def value(harness: Harness, expr: str) -> float:
    vector = await harness.service.builtins.queries.vector(expr)
    assert len(vector) == 1, vector
    return vector[0].value


async def test_a_component_asks_for_the_present_value_of_an_expression() -> None:
    async with shop() as (harness, component):
        hits = component.host.bind(HITS, page="/")
        for _ in range(13):
            hits.inc(5)
            await harness.clock.advance(5)
        [sample] = await component.host.query(f"rate({HITS}[1m])")
        assert sample.labels == {"page": "/", "job": "shop", "instance": harness.service.builtins.samples.instance}
        assert sample.value == pytest.approx(1.0)
        assert await component.host.query("rate(shop_missing[1m])") == ()
        with pytest.raises(BedplateError, match="ends too early"):
            await component.host.query("rate(")


async def test_samples_have_the_labels_that_a_scrape_gives_them_and_up() -> None:
    async with shop(samples={"instance": "web-1:8000"}) as (harness, component):
        component.host.bind(DEPTH, instance_of="a", job_of="").set(3)
        await harness.clock.advance(5)
        [depth] = await component.host.query(str(DEPTH))
        assert depth.labels == {"__name__": "shop_depth", "instance": "web-1:8000", "job": "shop", "instance_of": "a"}
        assert await value(harness, 'up{instance="web-1:8000",job="shop"}') == 1.0


async def test_the_instance_is_where_the_service_is_served() -> None:
    service = Service("shop", settings=settings())
    service.addresses = ("unix:/tmp/ops.sock", "http://10.0.0.7:8000")
    async with running(service) as harness:
        assert (await harness.service.builtins.queries.vector("up"))[0].labels["instance"] == "10.0.0.7:8000"
    service.addresses = ("http://localhost:8001",)
    async with running(service):
        assert service.builtins.samples.instance.endswith(":8001")
        assert not service.builtins.samples.instance.startswith("localhost")


async def test_a_question_is_about_this_service_whatever_it_says() -> None:
    async with shop() as (harness, component):
        assert await component.host.query('up{job="other"}') == ()
        assert len(await component.host.query("up")) == 1
        assert await value(harness, "absent(shop_nothing)") == 1.0


async def test_rows_are_as_far_apart_as_the_settings_say() -> None:
    async with shop(samples={"interval": 2}) as (harness, _):
        await harness.clock.advance(60)
        ring = harness.service.builtins.samples.ring
        assert ring is not None
        times = ring.window("up", (), 0, 1 << 50).times
        assert set((times[1:] - times[:-1]).tolist()) == {2000}
        assert await harness.value(TAKEN) == ring.rows


async def test_a_gauge_that_vanishes_ends_and_comes_back() -> None:
    async with shop() as (harness, _):
        samples = harness.service.builtins.samples
        await harness.clock.advance(5)
        labels = (("__name__", "ALERTS"), ("alertname", "Hot"), ("job", "shop"))
        samples.record({labels: 1.0}, harness.clock.time())
        await harness.clock.advance(5)
        assert await value(harness, "ALERTS") == 1.0
        await harness.clock.advance(60)
        assert await value(harness, "ALERTS") == 1.0, "nobody said anything since"
        samples.record({}, harness.clock.time())
        await harness.clock.advance(5)
        assert await harness.service.builtins.queries.vector("ALERTS") == ()
        assert samples.ring is not None
        cells = samples.ring.window("ALERTS", (), 0, 1 << 50).values[:, 0]
        assert cells[-1:].view(np.uint64)[0] == np.float64(STALE).view(np.uint64)
        samples.record({labels: 2.0}, harness.clock.time())
        await harness.clock.advance(5)
        assert await value(harness, "ALERTS") == 2.0


async def test_what_is_recorded_for_one_group_leaves_the_others_alone_and_the_later_counts() -> None:
    async with shop() as (harness, _):
        samples, now = harness.service.builtins.samples, harness.clock.time()
        one, two = (((("__name__", "ALERTS"), ("alertname", name)),) for name in ("A", "B"))
        samples.record(dict.fromkeys(one, 1.0), now, group="one")
        samples.record(dict.fromkeys(two, 1.0), now, group="two")
        samples.record(dict.fromkeys(two, 5.0), now - 1, group="two")
        await harness.clock.advance(5)
        samples.record({}, harness.clock.time(), group="one")
        await harness.clock.advance(5)
        vector = await harness.service.builtins.queries.vector('{__name__="ALERTS",job!="shop"} or ALERTS')
        assert vector == (), "series of another job are not this service's"
        ring = samples.ring
        assert ring is not None
        window = ring.window("ALERTS", (), 0, 1 << 50)
        assert window.values[-2:-1, [labels[1][1] for labels in window.labels].index("B")].tolist() == [1.0]


async def test_series_beyond_the_limit_are_not_kept_and_it_is_said() -> None:
    async with shop(samples={"max_series": 100}) as (harness, component):
        for page in range(60):
            component.host.bind(HITS, page=str(page)).inc()
        await harness.clock.advance(10)
        dropped = await harness.value(DROPPED)
        assert dropped > 0
        view = next(view for view in harness.service.views if view.spec.kind == "samples")
        assert (view.state, "series are not sampled" in view.reason) == ("degraded", True)
        assert await value(harness, "up") == 1.0


async def test_a_clock_that_is_set_back_leaves_a_gap_and_after_a_minute_the_past_is_forgotten() -> None:
    async with shop() as (harness, _):
        await harness.clock.advance(100)
        ring = harness.service.builtins.samples.ring
        assert ring is not None
        rows, last = ring.rows, ring.last
        harness.clock.jump(-20)
        await harness.clock.advance(15)
        assert (ring.rows, ring.last) == (rows, last)
        assert await harness.value(MISSED, reason="clock") == 3
        await harness.clock.advance(15)
        assert ring.rows > rows, "it has caught up"
        harness.clock.jump(-86_400)
        await harness.clock.advance(90)
        assert ring.last == round(harness.clock.time() * 1000)
        assert ring.rows < rows
        assert await value(harness, "up") == 1.0


async def test_a_clock_that_is_set_forward_leaves_a_gap() -> None:
    async with shop() as (harness, _):
        await harness.clock.advance(30)
        harness.clock.jump(3600)
        await harness.clock.advance(30)
        assert await value(harness, "count_over_time(up[30s])") == 6
        assert await value(harness, "count_over_time(up[2h])") > 11


class Locked:
    """Cells that another process holds."""

    def __init__(self) -> None:
        self.free = True

    async def samples(self) -> Any:
        raise BedplateError("Another process of this host has been scraping for too long.")


async def test_cells_that_cannot_be_read_are_a_missed_sample_and_degrade(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as (harness, _):
        metrics = harness.service.builtins.metrics
        with monkeypatch.context() as patch:
            patch.setattr(metrics, "samples", Locked().samples)
            await harness.clock.advance(10)
        assert await harness.value(MISSED, reason="failed") == 2
        view = next(view for view in harness.service.views if view.spec.kind == "samples")
        assert (view.state, "scraping for too long" in view.reason) == ("degraded", True)
        await harness.clock.advance(5)
        view = next(view for view in harness.service.views if view.spec.kind == "samples")
        assert view.state == "running"


async def test_sampling_that_stands_still_takes_the_probe_down(monkeypatch: pytest.MonkeyPatch) -> None:
    async with shop() as (harness, _):
        monkeypatch.setattr(harness.service.builtins.metrics, "samples", Locked().samples)
        await harness.clock.advance(120)
        down = next(probe for probe in harness.service.builtins.health.probes("samples") if probe["name"] == "sampling")
        assert down["status"] == "down"
        assert harness.service.entry.ready, "the service itself works"


@pytest.mark.parametrize(
    ("role", "instance", "shared", "samples"),
    [
        ("web", "", False, True),
        ("web", "", True, True),
        ("web", "1", True, False),
        ("ops", "ops", True, True),
        ("worker", "", True, False),
        ("worker", "", False, True),
    ],
)
async def test_one_process_of_a_host_samples(
    role: Any, instance: str, shared: bool, samples: bool, tmp_path: Any
) -> None:
    service = Service("shop", settings=settings())
    directory = tmp_path if shared else None
    async with service.running(role=role, instance=instance, directory=directory, clock=ManualClock()):
        assert (service.builtins.samples.ring is not None) is samples
        if not samples:
            with pytest.raises(BedplateError, match="takes no samples"):
                await service.builtins.queries.vector("up")
