"""A rate limit on a store: every way to ask it, and what it says."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request, WebSocket
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from bedplate.component import HasActions, HasGuard, HasOverview
from bedplate.declarations import Actor
from bedplate.problems import DeclarationError
from bedplate.service import Service
from bedplate.state.limits import Decision, Limit, RateLimit, Strategy
from bedplate.state.limits.metrics import DECISIONS, LOCAL, REFUSALS
from bedplate.state.memory import Memory
from bedplate.testing import CASES, running, settings
from tests.unit.state.limits.faulty_store import Faulty

TWO = [Limit(100, 60, "minute"), Limit(5, 1, "second")]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_a_shared_rate_limit_conforms(case: Any) -> None:
    await case(lambda: RateLimit(Memory(), "api", limits=TWO))


def test_the_store_is_the_first_or_a_named_argument_and_a_text_is_the_name() -> None:
    store = Faulty()
    assert RateLimit(store, limits="1/s").spec.key == ("rate_limit", "default")
    assert RateLimit(store, "api", limits="1/s").spec.needs == (store,)
    assert RateLimit(store=store, name="api", limits="1/s").spec.scope == "cluster"
    assert RateLimit(Memory(), limits="1/s").spec.scope == "process"
    alone = RateLimit("api", limits="1/s")
    assert (alone.name, alone.spec.needs, alone.spec.scope) == ("api", (), "process")
    assert alone.spec.alerts == () and not alone.actions()


def test_what_it_declares_is_complete() -> None:
    spec = RateLimit(Faulty(), limits=TWO).spec
    assert {alert.name for alert in spec.alerts} == {"RateLimitDegraded", "RateLimitRefusingMany"}
    assert spec.runbook is not None and spec.degradation is not None
    assert {alert.name for alert in spec.alerts} <= spec.runbook.sections().keys()
    assert spec.degradation.policy == "limit"
    drawn = " ".join(expr for panel in spec.panels for expr in panel.exprs)
    unseen = [metric.name for metric in spec.metrics if metric.name not in drawn]
    assert unseen == ["bedplate_rate_limit_keys", "bedplate_rate_limit_forgotten_total"]
    limit = RateLimit(Faulty(), limits=TWO)
    assert isinstance(limit, HasGuard) and isinstance(limit, HasActions) and isinstance(limit, HasOverview)


@pytest.mark.parametrize(
    "terms",
    [
        {"limits": Limit(1, 1, strategy="fixed_window")},
        {"limits": "1/s", "strategy": "sliding_window"},
        {"limits": "1/s", "key": {"default": lambda scope: "a"}},
    ],
)
def test_what_only_a_store_can_count_needs_one(terms: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="store"):
        RateLimit(**terms)
    RateLimit(Memory(), **terms)


@pytest.mark.parametrize(
    "limit",
    [
        {"strategy": "leaky"},
        {"strategy": "fixed_window", "burst": 5},
        {"strategy": "sliding_window", "burst": 5},
    ],
)
def test_strategies_that_cannot_be_are_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Limit(10, 60, **limit)


def test_keys_that_are_not_of_the_limits_are_refused() -> None:
    with pytest.raises(DeclarationError, match="minute"):
        RateLimit(Memory(), limits=TWO, key={"minute": lambda scope: "a"})


async def test_one_call_takes_and_tells_as_in_the_process() -> None:
    local, shared = RateLimit("local", limits=TWO), RateLimit(Memory(), limits=TWO)
    async with running([local, shared]) as harness:

        def alike(one: Decision, other: Decision) -> bool:
            # The one counts by the time of day, the other by a clock that only runs; both are floats.
            times = pytest.approx((other.reset_after, other.retry_after), abs=1e-5)
            return one._replace(reset_after=0, retry_after=0) == other._replace(reset_after=0, retry_after=0) and (
                (one.reset_after, one.retry_after) == times
            )

        for cost in (4, 1, 1, 0, 5, 3):
            assert alike(await shared.take("a", cost), await local.take("a", cost))
            assert alike(await shared.peek("a", cost), await local.peek("a", cost))
            await harness.clock.advance(0.37)
        for limit in (local, shared):
            await limit.charge("a", 50)
            await limit.charge("a", -20)
        assert alike(await shared.peek("a"), await local.peek("a"))
        for limit in (local, shared):
            await limit.reset("a")
            assert (await limit.take("a")).remaining == 4


async def test_what_is_refused_is_remembered_without_asking_again() -> None:
    store = Faulty()
    limit = RateLimit(store, limits="2/minute")
    async with running(limit) as harness:
        await limit.take("a", 2)
        refused = await limit.take("a")
        assert (refused.allowed, refused.retry_after) == (False, 30.0)
        takes = store.takes
        await harness.clock.advance(10.4)
        again = await limit.take("a")
        assert (again.allowed, again.remaining, round(again.retry_after, 3)) == (False, 0, 19.6)
        assert dict(again.headers)[b"retry-after"] == b"20"
        assert store.takes == takes
        assert await harness.value(LOCAL(why="remembered")) == 1
        await harness.clock.advance(19.7)
        assert (await limit.take("a")).allowed
        assert await harness.value(DECISIONS(outcome="refused")) == 2
        assert await harness.value(REFUSALS(limit="default")) == 2


async def test_a_smaller_request_is_asked_for_although_a_larger_one_was_refused() -> None:
    limit = RateLimit(Faulty(), limits="10/minute")
    async with running(limit):
        await limit.take("a", 8)
        assert not (await limit.take("a", 5)).allowed
        assert (await limit.take("a", 2)).allowed


@pytest.mark.parametrize("how", ["reset", "charge"])
async def test_a_remembered_refusal_ends_when_the_key_may_go_on(how: str) -> None:
    limit = RateLimit(Faulty(), limits="1/day")
    async with running(limit):
        await limit.take("a")
        assert not (await limit.take("a")).allowed
        await (limit.reset("a") if how == "reset" else limit.charge("a", -1))
        assert (await limit.take("a")).allowed


async def test_a_reset_reaches_other_instances_at_once() -> None:
    memory = Memory()
    one, other = (RateLimit(Faulty(memory), limits="1/day") for _ in range(2))
    shop = Service("shop", None, [memory, one], settings=settings())
    async with running(shop) as harness, running(Service("shop", None, [other], settings=settings())):
        await one.take("a")
        assert not (await other.take("a")).allowed
        (action,) = one.actions()
        assert action.parameters is not None
        await action.run(action.parameters(key="a"), Actor("me", "operator"))
        await harness.clock.advance(0)
        assert (await other.take("a")).allowed


async def test_refusals_are_remembered_for_a_minute_at_most_and_not_without_bound() -> None:
    store = Faulty()
    limit = RateLimit(store, limits="1/day", capacity=10)
    async with running(limit) as harness:
        for number in range(50):
            await limit.take(f"k{number}")
            await limit.take(f"k{number}")
            assert limit.overview()["refused_for_now"] <= 10
        takes = store.takes
        assert not (await limit.take("k49")).allowed
        assert store.takes == takes
        await harness.clock.advance(61)
        assert not (await limit.take("k49")).allowed
        assert store.takes == takes + 1


@pytest.mark.parametrize("cost", [-1, 6])
async def test_a_cost_that_can_never_pass_is_an_error_also_in_a_store(cost: int) -> None:
    limit = RateLimit(Memory(), limits=TWO)
    async with running(limit):
        for asking in (limit.take, limit.peek):
            with pytest.raises(ValueError, match="0 to 5"):
                await asking("a", cost)


async def test_what_waits_for_nobody_is_only_for_the_process() -> None:
    limit = RateLimit(Memory(), limits="1/s")
    with pytest.raises(DeclarationError, match="await"):
        limit.check("a")
    with pytest.raises(DeclarationError):
        limit.enforce("a")


def pages(limit: RateLimit) -> FastAPI:
    app = FastAPI()

    @app.get("/items/{number}")
    def item(number: int) -> int:
        return number

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    return app


@pytest.mark.parametrize("strategy", ["gcra", "token_bucket", "sliding_window", "fixed_window"])
async def test_the_guard_counts_clients_and_says_so(strategy: Strategy) -> None:
    limit = RateLimit(Memory(), limits="3/hour", strategy=strategy)
    async with running(Service("ledger", pages(limit), [limit], settings=settings())) as harness:
        answers = [await harness.client.get("/items/1") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=3600'
        assert answers[0].headers["ratelimit"].startswith('"default";r=2;t=')
        for refused in answers[3:]:
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
            assert 0 < int(refused.headers["retry-after"]) <= 3900
            assert refused.json()["detail"].startswith("3 in 3600 s are allowed. Try again in ")
        for _ in range(5):
            assert (await harness.client.get("/metrics")).status_code == 200
        assert await harness.value(DECISIONS(outcome="allowed")) == 3
        assert await harness.value(DECISIONS(outcome="refused")) == 2


async def test_paths_and_methods_select_in_a_store_too() -> None:
    limit = RateLimit(Memory(), limits="1/hour", paths=["/items"], methods=["GET"], exempt=["/items/7"])
    app = pages(limit)
    app.post("/items/{number}")(lambda number: number)
    async with running(Service("ledger", app, [limit], settings=settings())) as harness:
        statuses = [
            (await harness.client.request(method, path)).status_code
            for method, path in [("GET", "/items/1"), ("GET", "/items/2"), ("GET", "/items/7"), ("POST", "/items/1")]
        ]
        assert statuses == [200, 429, 200, 200]


async def test_a_shadow_refuses_nothing_and_counts_what_it_would() -> None:
    limit = RateLimit(Memory(), limits="1/hour", shadow=True)
    local = RateLimit("local", limits="1/hour", shadow=True)
    async with running(Service("ledger", pages(limit), [limit, local], settings=settings())) as harness:
        assert [(await harness.client.get("/items/1")).status_code for _ in range(4)] == [200] * 4
        for name in ("default", "local"):
            assert await harness.value(DECISIONS(rate_limit=name, outcome="shadowed")) == 3
            assert await harness.value(DECISIONS(rate_limit=name, outcome="refused")) == 0
        await limit.require("a")
        seen = await limit.require("a")
        assert (seen.allowed, seen.retry_after) == (True, 3600.0)
        assert (await local.take("a")).allowed and (await local.take("a")).retry_after > 0


def route(scope: Any) -> str:
    return str(scope["path"]).split("/")[1]


def user(scope: Any) -> str | None:
    return next((value.decode() for name, value in scope["headers"] if name == b"x-user"), None)


async def test_limits_have_keys_of_their_own_and_are_taken_together() -> None:
    store = Faulty()
    limits = [Limit(3, 3600, "user"), Limit(5, 3600, "route")]
    limit = RateLimit(store, limits=limits, key={"user": user, "route": route})
    async with running(Service("ledger", pages(limit), [limit], settings=settings())) as harness:

        async def ask(name: str | None) -> tuple[int, str]:
            headers = {"x-user": name} if name else {}
            answer = await harness.client.get("/items/1", headers=headers)
            return answer.status_code, answer.headers["ratelimit"].replace("t=3600", "t").replace(";t=", ";")

        await limit.take({"route": "else"}, 3)
        for name, status in [("ann", 200)] * 3 + [("ann", 429), ("bob", 200), ("bob", 200), ("bob", 429)]:
            assert (await ask(name))[0] == status
        # What was refused by the one was not counted by the other.
        assert (await limit.peek({"route": "items"})).remaining == 0
        assert (await limit.peek({"user": "bob"})).remaining == 1
        # Without a user only the other applies, and only that is told.
        status, said = await ask(None)
        assert status == 429
        assert "user" not in said
        assert await harness.value(REFUSALS(limit="user")) == 1
        assert await harness.value(REFUSALS(limit="route")) == 2
        await limit.reset({"route": "items"})
        assert (await ask("bob"))[0] == 200
        (action,) = limit.actions()
        assert action.parameters is not None
        await action.run(action.parameters(key="bob", limit="user"), Actor("me", "operator"))
        assert (await limit.peek({"user": "bob"})).remaining == 3
        takes = store.takes
        await limit.take({"user": "eve", "route": "items"})
        assert store.takes == takes + 1


@pytest.mark.parametrize("key", ["a", {"minute": "a", "week": "b"}, {}])
async def test_keys_of_a_wrong_shape_are_errors(key: Any) -> None:
    by = {limit.name: user for limit in TWO}
    limit = RateLimit(Memory(), limits=TWO, key=by)
    async with running(limit):
        with pytest.raises(ValueError, match="rate limit default"):
            await limit.take(key)
    local = RateLimit(limits="1/s")
    with pytest.raises(ValueError, match="one key"):
        await local.take({"default": "a"})


@pytest.mark.parametrize("store", [True, False])
async def test_requests_cost_what_their_scope_says(store: bool) -> None:
    where = [Memory()] if store else []
    limit = RateLimit(*where, limits="10/hour", cost=lambda scope: int(scope["path"].split("/")[2]))
    async with running(Service("ledger", pages(limit), [limit], settings=settings())) as harness:
        statuses = []
        for cost in (4, 4, 3, 2, 0, 11):
            answer = await harness.client.get(f"/items/{cost}")
            statuses.append(answer.status_code)
        assert statuses == [200, 200, 429, 200, 200, 429]
        # To wait would not help, so nobody is told to.
        assert "retry-after" not in answer.headers
        assert "It costs 11" in answer.json()["detail"]


async def test_a_websocket_is_judged_before_it_is_accepted() -> None:
    limit = RateLimit(Memory(), limits="1/hour")
    service = Service("ledger", pages(limit), [limit], settings=settings())
    async with running(service):
        for expected in ("websocket.accept", "websocket.close"):
            sent: list[Any] = []
            scope = {"type": "websocket", "path": "/live", "headers": [], "client": ("9.9.9.9", 1), "scheme": "ws"}

            async def receive() -> Any:
                return {"type": "websocket.connect"}

            async def send(message: Any, sent: list[Any] = sent) -> None:
                sent.append(message)

            await service(scope | {"query_string": b"", "subprotocols": []}, receive, send)
            assert sent[0]["type"] == expected


class Spent(BaseModel):
    left: int


@pytest.mark.parametrize("store", [True, False])
async def test_an_endpoint_depends_on_it(store: bool) -> None:
    where = [Memory()] if store else []
    limit = RateLimit(*where, limits="10/hour", paths=())
    app = FastAPI()

    dearly = Depends(limit.dependency(cost=4))
    whoever = Depends(limit.dependency(key=lambda request: request.query_params.get("who")))

    @app.get("/dear")
    async def dear(decision: Any = dearly) -> Spent:
        return Spent(left=decision.remaining)

    @app.get("/by-name")
    async def by_name(decision: Any = whoever) -> bool:
        return decision is None

    @app.get("/tokens")
    async def tokens(request: Request, used: int) -> None:
        key = limit.key_of(request)
        assert key is not None
        await limit.charge(key, used)

    async with running(Service("ledger", app, [limit], settings=settings())) as harness:
        answer = await harness.client.get("/dear")
        assert (answer.json(), answer.headers["ratelimit"]) == ({"left": 6}, '"default";r=6;t=1440')
        await harness.client.get("/tokens", params={"used": 3})
        refused = await harness.client.get("/dear")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "360")
        assert refused.json()["detail"] == "10 in 3600 s are allowed. Try again in 360 s."
        assert (await harness.client.get("/by-name")).json() is True
        assert (await harness.client.get("/by-name", params={"who": "x"})).json() is False


@pytest.mark.parametrize("store", [True, False])
async def test_a_function_is_limited_by_a_decorator(store: bool) -> None:
    where = [Memory()] if store else []
    limit = RateLimit(*where, limits="3/hour")

    @limit.limited(key=lambda user, *, pages=1: user, cost=lambda user, *, pages=1: pages)
    async def export(user: str, *, pages: int = 1) -> str:
        return f"{user}: {pages}"

    @limit.limited()
    async def report() -> int:
        """Report."""
        return 1

    async with running(limit):
        assert await export("ann", pages=2) == "ann: 2"
        with pytest.raises(HTTPException) as raised:
            await export("ann", pages=2)
        assert raised.value.status_code == 429
        assert await export("bob") == "bob: 1"
        assert [await report() for _ in range(3)] == [1, 1, 1]
        with pytest.raises(HTTPException):
            await report()
    assert report.__doc__ == "Report."
    with pytest.raises(DeclarationError, match="async"):
        limit.limited()(lambda: 1)  # type: ignore[arg-type,return-value]
