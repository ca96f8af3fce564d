"""One contract for every shape of process: the riskiest question of the design, kept as a test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bedplate.problems import RefusedError
from bedplate.service import Process, RunOptions, Service
from bedplate.testing import CASES, running, settings
from bedplate.testing.harness import TOKEN

from . import shapes

ADMIN = {"authorization": f"Bearer {TOKEN}"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("shape", ["redis", "cache", "flags", "jobs", "move"])
async def test_every_shape_conforms(case: Any, shape: str) -> None:
    redis = shapes.Redis
    makes = {
        "redis": redis,
        "cache": lambda: shapes.Cache(redis(), "reports"),
        "flags": lambda: shapes.Flags(shapes.Database()),
        "jobs": lambda: shapes.Jobs(redis()),
        "move": shapes.Move,
    }
    await case(makes[shape])


async def test_metrics_health_alert_scope_and_an_action_come_from_the_declarations_alone() -> None:
    service = Service("ledger", None, shapes.everything(), settings=settings())
    reports: Any = next(c for c in service.components if c.spec.key == ("cache", "reports"))
    async with running(service) as harness:
        await reports.get(hit=True)
        samples = await harness.samples()
        assert samples['stub_cache_hits_total{cache="reports"}'] == 1
        assert samples['stub_redis_commands_total{redis="default"}'] == 1

        ready = await harness.client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "healthy")

        described = (await harness.client.get("/monitoring/components/cache/reports")).json()
        expression = described["alerts"][0]["expr"]
        assert expression.count('job="ledger"') == expression.count('cache="reports"') == 3

        toggled = await harness.client.post(
            "/monitoring/components/flags/default/actions/toggle", json={"flag": "dark_mode"}
        )
        assert toggled.status_code == 200, toggled.text
        assert (await harness.samples())["stub_flags_enabled"] == 1

        assert (await harness.client.get("/cache/reports/stats")).json() == {"cache": "reports"}


async def test_a_backend_that_is_away_shows_as_degraded_unready_and_whole_again() -> None:
    service = Service("ledger", None, shapes.everything(), settings=settings())
    redis: Any = next(c for c in service.components if c.spec.kind == "redis")
    async with running(service) as harness:
        redis.alive = False
        await harness.clock.advance(30)
        assert (await harness.client.get("/readyz")).status_code == 503
        detailed = (await harness.client.get("/monitoring/health/detailed")).json()
        assert "connection refused" in str(detailed)
        assert (await harness.samples())['bedplate_service_component_degraded{component="cache:reports"}'] == 1
        redis.alive = True
        await harness.clock.advance(30)
        assert (await harness.client.get("/readyz")).status_code == 200
        assert (await harness.samples())['bedplate_service_component_degraded{component="cache:reports"}'] == 0


@asynccontextmanager
async def _two_services() -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
    names = ("ledger", "midas")
    process = Process([Service(name, None, shapes.everything(), settings=settings()) for name in names])
    async with AsyncExitStack() as stack:
        for service in process.services:
            await stack.enter_async_context(running(service))
        transport = httpx2.ASGITransport(app=process)  # type: ignore[arg-type]
        client = httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=ADMIN)
        yield process, await stack.enter_async_context(client)


async def test_two_services_of_one_process_share_nothing_but_the_port() -> None:
    async with _two_services() as (process, client):
        ledger: Any = next(c for c in process.services[0].components if c.spec.key == ("cache", "reports"))
        await ledger.get(hit=True)
        hits = 'stub_cache_hits_total{cache="reports"}'
        assert f"{hits} 1.0" in (await client.get("/ledger/metrics")).text
        assert f"{hits} 0.0" in (await client.get("/midas/metrics")).text
        for name in ("ledger", "midas"):
            described = (await client.get(f"/{name}/monitoring/components/cache/reports")).json()
            assert f'job="{name}"' in described["alerts"][0]["expr"]
        assert (await client.get("/readyz")).json()["status"] == "ready"
        assert (await client.get("/nobody/metrics")).status_code == 404


_JOB = """
import asyncio, sys
from pathlib import Path
from bedplate.service import RunOptions, Service
from bedplate.testing import settings
from tests.conformance import shapes

async def main():
    # Stands for a Celery child: the same build, another role, no HTTP.
    service = Service("ledger", None, shapes.everything(), settings=settings())
    async with service.running(RunOptions(role="worker", directory=Path(sys.argv[1]))):
        next(c for c in service.components if c.spec.kind == "jobs").work()

asyncio.run(main())
"""


async def test_workers_of_one_host_are_one_scrape_and_one_of_them_leads(tmp_path: Path) -> None:
    services = [Service("ledger", None, shapes.everything(), settings=settings()) for _ in range(2)]
    async with AsyncExitStack() as stack:
        for service in services:
            await stack.enter_async_context(service.running(RunOptions(directory=tmp_path)))
            cache: Any = next(c for c in service.components if c.spec.key == ("cache", "reports"))
            await cache.get(hit=True)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _JOB, str(tmp_path), cwd=Path(__file__).parents[2]
        )
        assert await child.wait() == 0
        for service in services:
            text = (await service.builtins.metrics.render()).decode()
            assert 'stub_cache_hits_total{cache="reports"} 2.0' in text
            assert 'stub_jobs_done_total{role="worker"} 1.0' in text

        # The button is pressed in one process; whoever leads acts, and both show it.
        moves: list[Any] = [next(c for c in service.components if c.spec.kind == "move") for service in services]
        follower = moves[1]
        action = follower.actions()[0]
        assert action.refused() is None
        await action.run(None, shapes.Actor("somebody", "operator"))
        for _ in range(3000):
            if follower._step() == "switched":
                break
            await asyncio.sleep(0.02)
        assert follower.actions()[0].refused() == "The move is switched."
        assert len(list((tmp_path / "ledger").glob("move.leader.*"))) == 1


async def test_a_service_without_an_application_still_has_its_operators_side() -> None:
    async with running(Service("bot", None, [shapes.Redis()], settings=settings())) as harness:
        assert (await harness.client.get("/livez")).status_code == 200
        assert (await harness.client.get("/")).status_code == 404
        assert (await harness.client.get("/monitoring/components")).status_code == 200


def test_clashes_and_undeclared_metrics_are_refused_together_with_their_mend() -> None:
    redis = shapes.Redis()
    misspelt = shapes.Cache(redis, "reports")
    spec = misspelt.spec
    alert = replace(spec.alerts[0], expr="rate(stub_cache_hitz_total[5m]) < 1")

    class Misspelt(shapes.Flags):
        @property
        def spec(self) -> Any:
            return replace(super().spec, alerts=(alert,))

    service = Service(
        "ledger",
        None,
        [misspelt, shapes.Cache(redis, "reports"), Misspelt(shapes.Database())],
        settings=settings(),
    )
    with pytest.raises(RefusedError) as caught:
        service.check()
    message = str(caught.value)
    assert "cache:reports: there are two components of kind 'cache' named 'reports'. Give one of them" in message
    assert "flags: alert CacheHitRateLow uses the metric stub_cache_hitz_total (at character 6), which no" in message
    assert "Is stub_cache_hits_total meant? Declare it, or" in message
