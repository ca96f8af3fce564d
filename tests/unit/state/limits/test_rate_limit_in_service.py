from __future__ import annotations

import pytest
from fastapi import FastAPI, HTTPException

from bedplate.service import Service
from bedplate.state.limits import Limit, RateLimit
from bedplate.state.limits.metrics import DECISIONS
from bedplate.telemetry.http.metrics import DURATION, ERRORS
from bedplate.testing import CASES, running, settings


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_rate_limit_conforms(case) -> None:  # type: ignore[no-untyped-def]
    await case(lambda: RateLimit("api", limits=[Limit(100, 60), Limit(5, 1, "second")]))


async def test_a_service_limits_clients_and_not_its_operators() -> None:
    app = FastAPI()

    @app.get("/items/{key}")
    def item(key: int) -> int:
        if key == 0:
            raise HTTPException(404, "There is no item 0.")
        return 1 // (key - 1)

    service = Service("ledger", app, [RateLimit("api", limits="5/minute")], settings=settings())
    async with running(service) as harness:
        statuses = [(await harness.client.get(f"/items/{key}")).status_code for key in (2, 0, 1, 3, 4, 5, 6)]
        assert statuses == [200, 404, 500, 200, 200, 429, 429]
        for _ in range(10):
            assert (await harness.client.get("/metrics")).status_code == 200
            assert (await harness.client.get("/livez")).status_code == 200
        assert await harness.value(DECISIONS(rate_limit="api", outcome="refused")) == 2
        assert await harness.value(ERRORS(http_route="/items/{key}", error_type="ZeroDivisionError")) == 1
        assert await harness.value(DURATION(http_route="/items/{key}").count) == 5
        await harness.clock.advance(12)
        assert (await harness.client.get("/items/2")).status_code == 200
        assert (await harness.client.get("/items/2")).status_code == 429
        (group,) = service.builtins.errors.store.search()
        assert "/items/{key}" in str(group)
        (trace,) = service.builtins.traces.store.search(route="/items/{key}")
        assert trace["status"] == 500
