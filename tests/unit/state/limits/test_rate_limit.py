from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel

from bedplate.component import Component, HasGuard
from bedplate.problems import DeclarationError
from bedplate.state.limits import Limit, RateLimit
from bedplate.state.limits.answers import Answers
from bedplate.state.limits.metrics import DECISIONS, FORGOTTEN, KEYS
from bedplate.telemetry.http import Http
from bedplate.telemetry.http.metrics import METRICS
from tests.unit.telemetry.http.wire import Host, call, scope_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def scope(path: str = "/", client: str = "198.51.100.7", **more: Any) -> dict[str, Any]:
    return scope_of(path=path, client=(client, 1), **more)


def said(headers: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def test_it_is_a_component_and_a_guard() -> None:
    limit = RateLimit("api", limits="100/minute")
    assert isinstance(limit, Component)
    assert isinstance(limit, HasGuard)
    assert limit.spec == limit.spec
    assert (limit.spec.key, limit.spec.scope) == (("rate_limit", "api"), "process")
    assert limit.spec.degradation is not None
    assert limit.spec.degradation.policy == "limit"
    assert isinstance(limit.spec.settings, BaseModel)
    assert limit.spec.settings.model_dump()["limits"] == ("100 in 60 s",)


@pytest.mark.parametrize("limits", [[], [Limit(1, 1), Limit(2, 2)], ["1/s", "2/m"]])
def test_limits_without_names_of_their_own_are_refused(limits: Any) -> None:
    with pytest.raises(DeclarationError):
        RateLimit(limits=limits)


def test_a_check_says_what_is_left(clock: Clock) -> None:
    limit = RateLimit(limits="10/minute", clock=clock)
    decision = limit.check("a", 4)
    assert (decision.allowed, decision.remaining, decision.reset_after, decision.retry_after) == (True, 6, 24.0, 0)
    decision = limit.check("a", 7)
    assert (decision.allowed, decision.remaining, decision.retry_after) == (False, 6, 6.0)
    assert said(decision.headers) == {
        "ratelimit-policy": '"default";q=10;w=60',
        "ratelimit": '"default";r=6;t=24',
        "retry-after": "6",
    }
    clock.now += 6
    assert limit.check("a", 7).allowed
    assert limit.check("b", 10).allowed


def test_waiting_as_long_as_told_is_enough_and_needed(clock: Clock) -> None:
    limit = RateLimit(limits="7/minute", clock=clock)
    limit.check("a", 7)
    wait = limit.check("a").retry_after
    clock.now += wait - 0.001
    assert not limit.check("a").allowed
    clock.now += 0.002
    assert limit.check("a").allowed


def test_the_tightest_limit_is_the_one_that_is_told(clock: Clock) -> None:
    limit = RateLimit(limits=[Limit(100, 60, "minute"), Limit(5, 1, "second"), Limit(6, 3600, "hour")], clock=clock)
    decision = limit.check("a", 5)
    assert (decision.limit.name, decision.remaining) == ("second", 0)
    refused = limit.check("a", 3)
    assert refused.limit.name == "hour"
    assert said(refused.headers)["ratelimit"] == '"minute";r=95;t=3, "second";r=0;t=1, "hour";r=1;t=3000'
    assert said(refused.headers)["ratelimit-policy"] == '"minute";q=100;w=60, "second";q=5;w=1, "hour";q=6;w=3600'


def test_a_cost_of_nothing_looks_only(clock: Clock) -> None:
    limit = RateLimit(limits="1/minute", clock=clock)
    assert limit.check("a", 0).remaining == 1
    assert limit.check("a", 0).remaining == 1


@pytest.mark.parametrize("cost", [-1, 11])
def test_a_cost_that_can_never_pass_is_an_error(cost: int) -> None:
    with pytest.raises(ValueError, match="0 to 10"):
        RateLimit(limits="10/minute").check("a", cost)


def test_a_key_can_be_reset(clock: Clock) -> None:
    limit = RateLimit(limits="1/hour", clock=clock)
    limit.check("a")
    limit.reset("a")
    assert limit.check("a").allowed


def test_the_guard_counts_clients_apart(clock: Clock) -> None:
    limit = RateLimit(limits="2/minute", clock=clock)
    verdicts = [limit.guard(scope()) for _ in range(3)]
    assert [verdict.status for verdict in verdicts if verdict is not None] == [0, 0, 429]
    assert [said(v.headers)["ratelimit"] for v in verdicts if v is not None] == [
        '"default";r=1;t=30',
        '"default";r=0;t=60',
        '"default";r=0;t=60',
    ]
    refused = verdicts[2]
    assert refused is not None
    assert said(refused.headers)["retry-after"] == "30"
    assert refused.detail == "2 in 60 s are allowed. Try again in 30 s."
    other = limit.guard(scope(client="198.51.100.8"))
    assert other is not None
    assert other.status == 0


@pytest.mark.parametrize("root_path", ["", "/ledger"])
def test_paths_methods_and_exemptions_select(clock: Clock, root_path: str) -> None:
    everything = RateLimit(limits="1/hour", clock=clock)
    for probe in ("/livez", "/readyz", "/healthz", "/metrics"):
        assert everything.guard(scope(probe, root_path=root_path)) is None
    some = RateLimit(limits="1/hour", paths=["/admin/", "/api"], methods=["post"], exempt=["/api/free"], clock=clock)
    limited = {
        ("POST", "/api/x"): True,
        ("POST", "/admin/x"): True,
        ("GET", "/api/x"): False,
        ("POST", "/other"): False,
        ("POST", "/api/free"): False,
    }
    for (method, path), expected in limited.items():
        verdict = some.guard(scope_of(method, path, root_path=root_path))
        assert (verdict is not None) is expected
    assert RateLimit(limits="1/hour", paths=()).guard(scope()) is None


def test_who_has_no_key_is_not_limited() -> None:
    limit = RateLimit(limits="1/hour", key=lambda scope: None)
    assert [limit.guard(scope()) for _ in range(3)] == [None] * 3


async def test_refusals_reach_the_client_as_problems_and_are_measured() -> None:
    app = FastAPI()
    app.get("/")(lambda: 1)
    login = RateLimit("login", limits="1/hour", paths=())

    @app.get("/login/{user}")
    def enter(user: str) -> str:
        login.enforce(user)
        return user

    limit = RateLimit("api", limits="3/hour")
    host, http = Host(), Http()
    host.registry.declare([*METRICS, DECISIONS, KEYS, FORGOTTEN])
    wrapped = http.wrap(app, guards=[limit.guard])
    async with http.lifespan(host), limit.lifespan(host), login.lifespan(host):  # type: ignore[arg-type]
        first = await call(wrapped, "GET", "/")
        assert first.headers["ratelimit"] == '"default";r=2;t=1200'
        assert (await call(wrapped, "GET", "/login/a")).status == 200
        refused = await call(wrapped, "GET", "/login/a")
        assert (refused.status, refused.headers["content-type"]) == (429, "application/problem+json")
        assert 3595 <= int(refused.headers["retry-after"]) <= 3600
        refused = await call(wrapped, "GET", "/")
        assert (refused.status, refused.json["title"]) == (429, "Too Many Requests")
        assert re.match(r"3 in 3600 s are allowed\. Try again in \d+ s\.", refused.json["detail"])
        decisions = await host.values(DECISIONS)
        assert decisions == {
            ("api", "allowed"): 3,
            ("api", "refused"): 1,
            ("login", "allowed"): 1,
            ("login", "refused"): 1,
        }
        assert await host.values(KEYS) == {("api",): 1, ("login",): 1}


async def test_keys_forgotten_early_are_counted(clock: Clock) -> None:
    limit = RateLimit(limits="1/hour", capacity=10, clock=clock)
    host = Host()
    host.registry.declare(limit.spec.metrics)
    async with limit.lifespan(host):  # type: ignore[arg-type]
        for number in range(100):
            limit.check(f"k{number}")
        assert (await host.values(KEYS))[("default",)] <= 10
        assert (await host.values(FORGOTTEN))[("default",)] >= 85


async def test_the_hosts_clock_is_used() -> None:
    limit = RateLimit(limits="1/minute")
    host = Host()
    host.clock = Clock()  # type: ignore[assignment]
    host.registry.declare(limit.spec.metrics)
    async with limit.lifespan(host):  # type: ignore[arg-type]
        assert limit.check("a").allowed
        assert not limit.check("a").allowed
        await host.clock.sleep(60)
        assert limit.check("a").allowed


def test_answers_that_are_remembered_are_bounded() -> None:
    answers = Answers([Limit(10**6, 3600)], second=1)
    for number in range(20_000):
        answers.verdict((number, 1))
        assert len(answers.verdicts) <= 4096
    assert said(answers.verdict((7, 3)).headers)["ratelimit"] == '"default";r=7;t=3'
