"""Two instances that share a database and a Redis, and what happens when that Redis dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.redis import Server, server
from tradesense.components import MadeUpQuotes
from tradesense.samples import generic_csv, made_up

from .conftest import Desk, Trader, desk_of
from .watching import watching


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with server("valkey9") as started:
        yield started


@asynccontextmanager
async def instances(redis: Server, folder: Path, **more: Any) -> AsyncIterator[tuple[Desk, Desk]]:
    shared = {"redis_url": redis.url, "database_url": f"sqlite:///{folder / 'records.sqlite3'}", **more}
    async with desk_of(**shared) as one, desk_of(**shared) as other:
        yield one, other


def elsewhere(desk: Desk, trader: Trader) -> Trader:
    """Return the same browser, whose next requests another instance answers."""
    same = desk.browser(trader.email)
    same.client.cookies.update(trader.client.cookies)
    return same


async def test_instances_share_sessions_caches_locks_and_keys(redis: Server, tmp_path: Path) -> None:
    async with instances(redis, tmp_path) as (one, other):
        here = await one.trader()
        there = elsewhere(other, here)
        assert await there.get("/me") == here.me
        assert (await there.get("/analytics"))["trades"] == 0

        file = generic_csv(made_up(30))
        answers = await asyncio.gather(here.upload(file), there.upload(file), here.upload(file))
        assert sorted(answer.json()["added"] for answer in answers) == [0, 0, 30]

        # What one instance changes, the other does not serve from before.
        async def follows() -> bool:
            return (await there.get("/analytics"))["trades"] == 30

        await other.harness.eventually(follows)
        given = {"kind": "buy", "symbol": "X", "quantity": "1", "price": "5", "at": "2025-01-06T15:00:00Z"}
        key = {"Idempotency-Key": "once"}
        first = await here.ask("POST", "/trades", json=given, headers=key)
        again = await there.ask("POST", "/trades", json=given, headers=key)
        assert first.json() == again.json() and again.headers["idempotency-replayed"] == "true"

        await here.post("/sign-out-everywhere")

        async def signed_out() -> bool:
            return (await there.ask("GET", "/me")).status_code == 401

        await other.harness.eventually(signed_out)


async def test_a_viewer_sees_what_another_instance_changes_and_what_its_source_quotes(
    redis: Server, tmp_path: Path
) -> None:
    async with instances(redis, tmp_path, quotes=MadeUpQuotes()) as (one, other):
        here = await one.trader()
        await here.trade("buy", 10, 100)
        async with watching(other, elsewhere(other, here)) as watch:
            assert (await watch.news())["holdings"][0]["quantity"] == "10"
            await here.trade("buy", 5, 100)
            said = await watch.news()
            while said["type"] != "portfolio":
                said = await watch.news()
            assert said["holdings"][0]["quantity"] == "15"

            async def quoted() -> bool:
                # One of the two leads, and asks for what somebody watches at the other.
                for desk in (one, other):
                    await desk.harness.clock.advance(1)
                return not watch.outbox.empty()

            await one.harness.eventually(quoted, timeout=15)
            assert (await watch.news())["type"] == "quotes"


async def test_while_redis_is_dead_reads_go_on_and_all_is_well_when_it_is_back(tmp_path: Path) -> None:
    with server("valkey9", ["appendonly yes"]) as redis:
        async with instances(redis, tmp_path) as (desk, _):
            ada = await desk.trader()
            await ada.upload(generic_csv(made_up(30)))
            await ada.get("/analytics")
            redis.kill()
            for path in ("/analytics", "/portfolio", "/trades", "/me", "/journal"):
                answer = await ada.ask("GET", path)
                assert answer.status_code == 200, (path, answer.text)
            for method, path, json in (
                ("POST", "/sign-in", {"email": ada.email, "password": "x"}),
                ("DELETE", "/trades", None),
            ):
                answer = await ada.ask(method, path, json=json)
                assert answer.status_code in (401, 503), answer.text
            refused = await ada.upload(generic_csv(made_up(30, seed=2)))
            assert refused.status_code == 503 and "retry-after" in refused.headers
            stranger = await desk.browser().ask("GET", "/me")
            assert stranger.status_code == 401  # who has no cookie is known to be nobody

            redis.start()

            async def back() -> bool:
                await desk.harness.clock.advance(1)
                return (await ada.upload(generic_csv(made_up(30, seed=2)))).status_code == 201

            await desk.harness.eventually(back, timeout=20)
            assert (await ada.get("/analytics"))["trades"] == 60
