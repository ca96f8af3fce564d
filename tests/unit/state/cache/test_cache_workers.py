"""Several processes of one host: one answers for all, and what it is told to do all of them do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2

from bedplate.service import RunOptions, Service
from bedplate.state.cache import Cache
from bedplate.state.memory import Memory
from bedplate.testing import ManualClock, settings
from bedplate.testing.clock import settle
from bedplate.testing.harness import TOKEN


@asynccontextmanager
async def host(folder: Path) -> AsyncIterator[tuple[list[Cache], httpx2.AsyncClient, ManualClock]]:
    """Run two workers, and the process that watches them; return the workers' caches and a client of the third."""
    clock = ManualClock()
    async with AsyncExitStack() as stack:
        caches: list[Cache] = []
        watching: Any = None
        for role, instance in (("web", "1"), ("web", "2"), ("ops", "")):
            cache = Cache(Memory(chosen=True), "reports")
            watching = Service("shop", None, [cache], settings=settings())
            options = RunOptions(role=role, directory=folder, clock=clock, instance=instance)  # type: ignore[arg-type]
            await stack.enter_async_context(watching.running(options))
            caches.append(cache)
        await settle()
        await clock.advance(6)
        transport = httpx2.ASGITransport(app=watching)
        headers = {"authorization": f"Bearer {TOKEN}"}
        client = httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)
        yield caches[:2], await stack.enter_async_context(client), clock


async def test_one_answers_for_all_and_all_do_what_it_is_told(tmp_path: Path) -> None:
    async with host(tmp_path) as (workers, client, clock):
        for cache in workers:
            await cache.set("k:1", 1, tags=("t",))
            for key in ("k:1", "k:1", "k:1", "k:2"):
                await cache.get(key)
        await clock.advance(12)
        stats = (await client.get("/cache/stats")).json()
        hits = {"hits": 6, "misses": 2, "operations": 8, "window": 1000, "hitRate": 0.75, "missRate": 0.25}
        assert stats["cacheHitStats"] == hits
        assert stats["requests"] == {"near": 4, "store": 2, "stale": 0, "miss": 2, "bypass": 0}
        assert (stats["redisStats"]["available"], stats["redisStats"]["memoryEntries"]) == (True, 2)
        assert stats["caches"]["reports"]["operationTimes"]["set"]["count"] > 0
        keys = (await client.get("/monitoring/cache/key-stats")).json()
        assert keys["patterns"] == [{"cache": "reports", "pattern": "k:*", "hits": 6, "misses": 2, "hitRate": 0.75}]

        press = "/monitoring/components/cache/reports/actions/"
        done = await client.post(f"{press}invalidate-tag", json={"tag": "t"})
        assert "within seconds" in done.json()["result"]["done"]
        assert (await client.post("/monitoring/cache/reset-metrics")).status_code == 200
        await clock.advance(12)
        for cache in workers:
            assert await cache.get("k:1") is None
            assert cache.parts.stats.totals()["near"] == 0
        dropped = (await client.get("/monitoring/cache/invalidation-metrics")).json()
        assert (dropped["byKind"]["tag"], dropped["failedInvalidations"]) == (3, 0)  # each has values of its own
