"""What is shown of caches: one set of routes, metrics, thresholds that follow settings, buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.settings import Settings
from bedplate.settings.layers import Sources
from bedplate.state.cache import Cache, CacheSettings
from bedplate.state.cache.intents import Intents
from bedplate.state.cache.metrics import (
    ENTRIES,
    GET_LIMIT,
    HIT_LIMIT,
    INVALIDATIONS,
    KEY_REQUESTS,
    RECENT,
    REQUESTS,
)
from bedplate.state.memory import Memory
from bedplate.testing import CASES, Harness, running, settings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_cache_is_a_component(case: Any) -> None:
    await case(lambda: Cache(Memory(), "reports"))


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Cache, Harness]]:
    cache = Cache(Memory(), "reports")
    async with running(cache) as harness:
        yield cache, harness


async def _use(cache: Cache) -> None:
    @cache.cached(key="report:{number}")
    async def report(number: int) -> int:
        return number

    for number in range(4):
        for _ in range(3):
            await report(number)
    await cache.invalidate(tags=("a", "b"))
    await cache.invalidate(keys=("report:1",))
    await cache.invalidate(pattern="report:2*")


async def _json(harness: Harness, path: str, status: int = 200) -> Any:
    answer = await harness.client.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_statistics_have_the_names_that_were_asked_for(shop: tuple[Cache, Harness]) -> None:
    cache, harness = shop
    await _use(cache)
    stats = await _json(harness, "/cache/stats")
    assert stats["redisStats"] == {"type": "memory", "available": True, "memoryEntries": 3, "redisInfo": None}
    hits = {"hits": 8, "misses": 4, "operations": 12, "window": 1000, "hitRate": 0.6667, "missRate": 0.3333}
    assert stats["cacheHitStats"] == hits
    assert stats["requests"] == {"near": 4, "store": 4, "stale": 0, "miss": 4, "bypass": 0}
    assert stats["caches"]["reports"]["operationTimes"]["set"]["count"] == 4
    dropped = await _json(harness, "/monitoring/cache/invalidation-metrics")
    assert (dropped["totalInvalidations"], dropped["failedInvalidations"]) == (4, 0)
    assert dropped["byKind"] == {"key": 1, "tag": 2, "pattern": 1, "all": 0}
    assert dropped["invalidationsPerSecond"] > 0
    keys = await _json(harness, "/monitoring/cache/key-stats")
    assert keys["patterns"] == [{"cache": "reports", "pattern": "report:*", "hits": 8, "misses": 4, "hitRate": 0.6667}]


async def test_counts_become_metrics(shop: tuple[Cache, Harness]) -> None:
    cache, harness = shop
    await _use(cache)
    await harness.clock.advance(2)
    value = harness.value
    assert await value(REQUESTS, outcome="near") == 4
    assert await value(KEY_REQUESTS, pattern="report:*", result="miss") == 4
    assert await value(INVALIDATIONS, kind="tag", outcome="done") == 2
    assert await value(ENTRIES) == 3  # what a pattern dropped is let go when somebody asks for it
    assert await value(RECENT) == pytest.approx(8 / 12)
    await harness.clock.advance(2)
    assert await value(REQUESTS, outcome="near") == 4


async def test_counts_begin_anew_for_whoever_may_say_so_and_metrics_go_on(shop: tuple[Cache, Harness]) -> None:
    cache, harness = shop
    await _use(cache)
    done = await harness.client.post("/monitoring/cache/reset-metrics")
    assert done.json()["items"][0]["component"] == "cache:reports"
    assert (await _json(harness, "/cache/stats"))["cacheHitStats"]["operations"] == 0
    assert (await _json(harness, "/monitoring/cache/invalidation-metrics"))["totalInvalidations"] == 0
    assert (await _json(harness, "/monitoring/cache/key-stats"))["patterns"] == []
    await cache.get("report:3", type=int)
    await harness.clock.advance(2)
    assert await harness.value(REQUESTS, outcome="near") == 5
    # It was pressed as the action that it is, so the record of actions has it.
    pressed = 'bedplate_management_actions_total{component="cache:reports",action="reset-metrics",outcome="done"}'
    assert await harness.value(pressed) == 1


async def test_resetting_is_for_operators() -> None:
    own = settings(auth={"tokens": "eve:viewer:a-token-of-a-viewer-that-is-long-enough"})
    headers = {"authorization": "Bearer a-token-of-a-viewer-that-is-long-enough"}
    service = Service("shop", None, [Cache(Memory())], settings=own)
    async with running(service, headers=headers) as harness:
        assert (await harness.client.get("/cache/stats")).status_code == 200
        assert (await harness.client.post("/monitoring/cache/reset-metrics")).status_code == 403
        harness.client.headers.clear()
        assert (await harness.client.get("/cache/stats")).status_code == 401


async def test_several_caches_have_one_set_of_routes() -> None:
    store = Memory()
    caches = [Cache(store, "reports"), Cache(store, "prices")]
    async with running(Service("shop", None, caches, settings=settings())) as harness:
        for cache in caches:
            await _use(cache)
        stats = await _json(harness, "/cache/stats")
        assert set(stats["caches"]) == {"reports", "prices"}
        assert (stats["cacheHitStats"]["hits"], stats["cacheHitStats"]["hitRate"]) == (16, 0.6667)
        only = await _json(harness, "/cache/stats?cache=prices")
        assert set(only["caches"]) == {"prices"} and only["cacheHitStats"]["hits"] == 8
        assert "reports" in (await _json(harness, "/cache/stats?cache=nobody", 404))["detail"]
        keys = await _json(harness, "/monitoring/cache/key-stats")
        assert {one["cache"] for one in keys["patterns"]} == {"reports", "prices"}
        dropped = await _json(harness, "/monitoring/cache/invalidation-metrics")
        assert dropped["totalInvalidations"] == 8 and dropped["failureRate"] == 0
        done = (await harness.client.post("/monitoring/cache/reset-metrics")).json()["items"]
        assert [one["component"] for one in done] == ["cache:reports", "cache:prices"]
        unified = await _json(harness, "/monitoring/unified/metrics")
        assert set(unified["cache"]) == {"reports", "prices"}
        # What one drops, the other keeps.
        await caches[0].set("k", 1)
        await caches[1].set("k", 2)
        await caches[0].clear()
        assert (await caches[0].get("k"), await caches[1].get("k")) == (None, 2)


async def test_buttons_drop_what_they_say(shop: tuple[Cache, Harness]) -> None:
    cache, harness = shop
    await cache.set_many({"a:1": 1, "a:2": 2, "b:1": 3}, tags=("t",))
    press = "/monitoring/components/cache/reports/actions/"

    async def pressed(action: str, **given: str) -> dict[str, int]:
        answer = await harness.client.post(f"{press}{action}", json=given)
        assert answer.status_code == 200, answer.text
        return await cache.get_many(["a:1", "a:2", "b:1"])

    assert await pressed("invalidate-key", key="a:1") == {"a:2": 2, "b:1": 3}
    assert await pressed("invalidate-pattern", pattern="a:*") == {"b:1": 3}
    assert await pressed("invalidate-tag", tag="t") == {}
    await cache.set("b:1", 3)
    assert await pressed("clear") == {}
    refused = await harness.client.post(f"{press}invalidate-tag", json={"tag": ""})
    assert refused.status_code == 422


async def test_buttons_reach_all_processes_of_a_host_where_each_has_values_of_its_own(tmp_path: Path) -> None:
    pressed, other = (Intents(tmp_path / "cache-reports.jsonl") for _ in range(2))
    pressed.write("tag", "t")
    pressed.write("reset", "")
    assert pressed.read() == []  # it has done so itself
    with (tmp_path / "cache-reports.jsonl").open("ab") as file:
        file.write(b'["pattern","a*",1]\n["key","half')
    assert other.read() == [("tag", "t"), ("reset", ""), ("pattern", "a*")]
    with (tmp_path / "cache-reports.jsonl").open("ab") as file:
        file.write(b'",1]\n')
    assert other.read() == [("key", "half")]
    assert other.read() == []
    assert Intents(tmp_path / "cache-reports.jsonl").read() == []  # what was wanted before it began is over


async def test_thresholds_follow_the_settings(tmp_path: Path) -> None:
    file = tmp_path / "bedplate.toml"

    def write(warning: float) -> None:
        file.write_text(f'[cache]\nhit_rate_warning = {warning}\n[logs]\nstream = "off"\n[alerts]\nenabled = false\n')

    write(0.8)
    own = Settings(environment="test", _sources=Sources(environ={}, directory=tmp_path, secrets=tmp_path))
    cache = Cache(Memory(), settings=own.section(CacheSettings, "cache"))
    async with running(Service("shop", None, [cache], settings=own)) as harness:
        assert await harness.value(HIT_LIMIT, severity="warning") == 0.8
        assert await harness.value(HIT_LIMIT, severity="critical") == 0.5
        assert await harness.value(GET_LIMIT, severity="critical") == 0.1
        write(0.9)
        await harness.service.builtins.live.refresh()
        assert await harness.value(HIT_LIMIT, severity="warning") == 0.9
