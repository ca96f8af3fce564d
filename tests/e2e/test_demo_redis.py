"""The demo on a real Redis that dies in the middle of it, and comes back."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from tests.demonstrating import Demo, address_of, demos
from tests.redis import server

API = "/tradesense/api/v1"
READS = (f"{API}/portfolio", f"{API}/analytics", f"{API}/trades", f"{API}/me")


@pytest.mark.timeout(300)
def test_a_redis_that_dies_and_returns_is_told_of_and_costs_no_read(tmp_path: Path) -> None:
    # What Redis acknowledges is on its disk: the sessions of all traders outlive it.
    with server("redis7", ("appendonly yes", "appendfsync always")) as redis, demos(tmp_path) as start:
        demo = start("--port", "0", "--calm", REDIS_URL=redis.url)
        demo.base = address_of(demo)
        demo.until(lambda: "Opening scene" in demo.printed(), "the opening scene")
        _enter(demo)
        assert [demo.get(path).status_code for path in READS] == [200] * len(READS)
        assert _state(demo, "redis") == "running" and not _firing(demo, "RedisDown")

        redis.kill()
        demo.until(lambda: _reads(demo) and _state(demo, "sessions") == "degraded", "sessions to be degraded")
        demo.until(lambda: _reads(demo) and _firing(demo, "RedisDown"), "the alert")
        # What must not be guessed is refused in words: 503, and not 401 or 500.
        refused = demo.client.post(
            f"{demo.base}{API}/sign-in", json={"email": "eve@example.com", "password": "nine copper kettles sing"}
        )
        assert refused.status_code == 503 and "retry-after" in refused.headers
        status = demo.get(f"{API}/monitoring/unified/metrics").json()["system"]["status"]
        assert status in ("degraded", "unhealthy")
        home = demo.get("/tradesense/console")
        assert home.status_code in (200, 303, 401)

        redis.start()
        demo.until(lambda: _reads(demo) and _state(demo, "redis") == "running", "the return of Redis")
        for kind in ("sessions", "locks", "events", "confirmations", "idempotency"):
            demo.until(lambda kind=kind: _reads(demo) and _state(demo, kind) == "running", f"{kind} to be whole")
        demo.until(lambda: _reads(demo) and not _firing(demo, "RedisDown"), "the end of the alert")
        assert demo.end(signal.SIGINT) == 0
        assert "Traceback" not in demo.printed()


def _enter(demo: Demo) -> None:
    """Sign up, with a trade to read; the client keeps the cookie, which is a secure one by name, and sends it."""
    account = {"email": "eve@example.com", "password": "nine copper kettles sing", "name": "Eve", "base": "USD"}
    answer = demo.client.post(f"{demo.base}{API}/sign-up", json=account)
    assert answer.status_code == 201, answer.text


def _reads(demo: Demo) -> bool:
    """Read as a trader does; nothing fails, whatever Redis does."""
    for path in READS:
        answer = demo.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return True


def _state(demo: Demo, kind: str) -> str:
    components: list[dict[str, Any]] = demo.get(f"{API}/monitoring/components").json()["items"]
    states = {one["state"] for one in components if one["kind"] == kind}
    assert states, f"no component of kind {kind}"
    return "degraded" if "degraded" in states else states.pop()


def _firing(demo: Demo, name: str) -> bool:
    alerts = demo.get(f"{API}/monitoring/prometheus/api/v1/alerts").json()["data"]["alerts"]
    return any(one["labels"]["alertname"] == name and one["state"] == "firing" for one in alerts)
