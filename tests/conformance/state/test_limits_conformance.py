"""Rate limits on every backend. The behaviours that the tests of ``limits`` ask for are among them.

A service has a rate limit of each strategy, and each test asks them all: to start a service costs more than to ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI

from bedplate.service import Service
from bedplate.state.limits import Limit, RateLimit, Strategy
from bedplate.state.limits.plan import Plan
from bedplate.state.store import Operation, Store
from bedplate.testing import running, settings
from tests.stores import Backend

ENDS = Operation(name="pttl", command=("PTTL",), memory=lambda space, keys, _: space.pttl(keys[0]), reads=True)
SPOIL = Operation(name="set", command=("SET",), memory=lambda space, keys, args: space.set(keys[0], args[0]))

STRATEGIES: list[Strategy] = ["gcra", "sliding_window", "fixed_window"]


def each(store: Store, *limits: Limit | str) -> list[RateLimit]:
    """Return a rate limit of each strategy."""
    return [RateLimit(store, strategy, limits=list(_by(strategy, limits)), paths=()) for strategy in STRATEGIES]


def _by(strategy: Strategy, limits: tuple[Limit | str, ...]) -> Iterator[Limit]:
    for limit in limits:
        given = Limit.parse(limit) if isinstance(limit, str) else limit
        yield Limit(given.quota, given.window, given.name, strategy=strategy)


async def test_the_quota_passes_and_nothing_more(backend: Backend) -> None:
    limits = each(backend.store, "10/day")
    async with backend.running(*limits):
        for limit in limits:
            empty = await limit.peek("a")
            assert (empty.allowed, empty.remaining, empty.reset_after, empty.retry_after) == (True, 10, 0, 0)
            taken = [await limit.take("a") for _ in range(12)]
            assert [decision.allowed for decision in taken] == [True] * 10 + [False] * 2
            assert [decision.remaining for decision in taken] == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]
            full = await limit.peek("a")
            assert (full.allowed, full.remaining, full.alone) == (False, 0, False)
            assert 0 < full.retry_after <= full.reset_after <= 86400 * 13 / 12
            assert (await limit.peek("b")).remaining == 10


async def test_costs_are_taken_whole_or_not_at_all(backend: Backend) -> None:
    limits = each(backend.store, "10/day")
    async with backend.running(*limits):
        for limit in limits:
            with pytest.raises(ValueError, match="0 to 10"):
                await limit.take("a", 11)
            assert (await limit.take("a", 5)).remaining == 5
            assert not (await limit.peek("a", 6)).allowed
            refused = await limit.take("a", 6)
            assert (refused.allowed, refused.remaining) == (False, 5)
            assert (await limit.take("a", 5)).allowed
            assert (await limit.take("a", 0)).allowed


async def test_to_look_changes_nothing(backend: Backend) -> None:
    limits = each(backend.store, "2/day")
    async with backend.running(*limits):
        for limit in limits:
            assert [(await limit.peek("a")).allowed for _ in range(3)] == [True] * 3
            await limit.take("a")
            assert (await limit.peek("a")).allowed
            await limit.take("a")
            assert not (await limit.peek("a")).allowed
            assert not (await limit.take("a")).allowed


async def test_who_starts_anew_has_all_again_on_all_instances(backend: Backend) -> None:
    async with backend.instances(lambda store: RateLimit(store, limits="5/day")) as (one, other):
        await one.take("a", 5)
        await one.take("b", 5)
        assert not (await other.take("a", 2)).allowed
        await one.reset("a")
        assert (await one.take("a")).remaining == 4
        for _ in range(6000):
            if (await other.take("a")).allowed:
                break
            await backend.pass_(0.01)
        else:
            raise AssertionError("It goes on refusing a key that was reset.")
        assert not (await one.take("b")).allowed


async def test_a_million_is_counted_to_the_unit(backend: Backend) -> None:
    limits = each(backend.store, Limit(10**6, 86400 * 365))
    async with backend.running(*limits):
        for limit in limits:
            assert (await limit.take("a")).remaining == 999_999
            assert (await limit.take("a", 999_998)).remaining == 1
            await limit.reset("a")
            assert (await limit.peek("a")).remaining == 1_000_000


async def test_time_gives_back_what_was_taken(backend: Backend) -> None:
    limits = each(backend.store, Limit(5, 2 * backend.short))
    async with backend.running(*limits):
        for limit in limits:
            await limit.take("a", 5)
        await backend.pass_(5 * backend.short)
        for limit in limits:
            assert (await limit.peek("a")).remaining == 5
            assert (await limit.take("a", 5)).allowed


async def test_who_waits_as_long_as_told_passes(backend: Backend) -> None:
    limits = each(backend.store, Limit(4, 2 * backend.short))
    async with backend.running(*limits):

        async def ask(limit: RateLimit) -> None:
            for cost in (4, 3, 1, 4):
                decision = await limit.take("a", cost)
                if not decision.allowed:
                    await backend.pass_(decision.retry_after + 0.001)
                    assert (await limit.take("a", cost)).allowed

        for limit in limits:
            await ask(limit)


@pytest.mark.parametrize("strategy", ["gcra", "sliding_window"])
async def test_a_crowd_on_two_instances_gets_the_quota(backend: Backend, strategy: Strategy) -> None:
    # On a busy machine none of them shall count alone.
    terms: dict[str, Any] = {"limits": "37/day", "strategy": strategy, "timeout": 5.0}
    async with backend.instances(lambda store: RateLimit(store, **terms)) as limits:
        taken = await asyncio.gather(*(limits[number % 2].take("a") for number in range(200)))
        assert sum(decision.allowed for decision in taken) == 37
        assert not any(decision.alone for decision in taken)
        others = await asyncio.gather(*(limits[number % 2].take(f"k{number}") for number in range(100)))
        assert all(decision.allowed for decision in others)


async def test_several_limits_are_one_question(backend: Backend) -> None:
    limits = each(backend.store, Limit(3, 86400, "day"), Limit(100, 86400 * 30, "month"))
    async with backend.running(*limits):
        for limit in limits:
            assert (await limit.take("a", 2)).limit.name == "day"
            refused = await limit.take("a", 2)
            assert (refused.allowed, refused.limit.name) == (False, "day")
            month = dict((await limit.peek("a")).headers)[b"ratelimit"].decode().split(", ")[1]
            assert month.startswith('"month";r=98;')


async def test_limits_by_user_and_by_route_are_one_question(backend: Backend) -> None:
    both = [Limit(3, 86400, "user"), Limit(4, 86400, "route", strategy="sliding_window")]
    by = {"user": lambda scope: "", "route": lambda scope: ""}
    limit = RateLimit(backend.store, limits=both, key=by)
    async with backend.running(limit):
        assert (await limit.take({"user": "ann", "route": "/a"}, 3)).allowed
        assert not (await limit.take({"user": "bob", "route": "/a"}, 2)).allowed
        assert (await limit.peek({"user": "bob"})).remaining == 3
        assert (await limit.take({"user": "bob", "route": "/b"}, 3)).allowed


async def test_what_is_charged_afterwards_counts(backend: Backend) -> None:
    limits = each(backend.store, "10/day")
    async with backend.running(*limits):
        for limit in limits:
            await limit.take("a", 3)
            await limit.charge("a", 50)
            assert not (await limit.peek("a")).allowed
            await limit.charge("a", -1000)
            assert (await limit.take("a", 10)).allowed


async def test_every_key_has_an_end(backend: Backend) -> None:
    limits = each(backend.store, Limit(3, 60))
    async with backend.running(*limits):
        for limit in limits:
            plan = Plan(limit.limits, [0], "test:rate_limit:", limit.name)
            await limit.take("taken")
            await limit.charge("charged", 7)
            for key in ("taken", "charged"):
                assert 0 < await backend.store.run(ENDS, plan.keys(key)) <= 125_000
            # An instance tells the others of itself beside its start.
            end = time.monotonic() + 60
            while (members := await backend.store.run(ENDS, [f"test:rate_limit:{{{limit.name}}}:instances"])) < 0:
                assert time.monotonic() < end, "an instance never told of itself"
                await asyncio.sleep(0.02)
            assert 0 < members <= 15_001


async def test_a_key_that_somebody_else_wrote_is_no_obstacle(backend: Backend) -> None:
    limits = each(backend.store, Limit(3, 60))
    async with backend.running(*limits):
        for limit in limits:
            plan = Plan(limit.limits, [0], "test:rate_limit:", limit.name)
            await backend.store.run(SPOIL, plan.keys("a"), ["nonsense"])
            assert (await limit.take("a")).remaining == 2


async def test_instances_know_how_many_they_are(backend: Backend) -> None:
    async with backend.instances(lambda store: RateLimit(store, limits="5/day"), 3) as limits:
        for _ in range(6000):
            if [limit.overview()["instances"] for limit in limits] == [3, 3, 3]:
                break
            await backend.pass_(0.01)
        else:
            raise AssertionError("They do not know of each other.")


async def test_requests_are_refused_with_headers(backend: Backend) -> None:
    app = FastAPI()
    app.get("/")(lambda: 1)
    limit = RateLimit(backend.store, limits="2/day", strategy="fixed_window")
    service = Service("test", app, [backend.store, limit], settings=settings())
    async with running(service, clock=backend.clock) as harness:
        answers = [await harness.client.get("/") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
        assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=1", "r=0", "r=0", "r=0"]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"default";q=2;w=86400'}
        assert 0 < int(answers[3].headers["retry-after"]) <= 86400 * 13 / 12
