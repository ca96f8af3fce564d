"""The page of everything, asked over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from starlette.applications import Starlette

from bedplate.component import Sample, Vector
from bedplate.declarations import Action, Actor, Panel
from bedplate.monitor.alerts.actions import Acknowledge
from bedplate.monitor.alerts.notices import Acknowledgement, AlertView, Matcher, Silence, Transition
from bedplate.monitor.health.status import Status
from bedplate.monitor.replies import ProblemError
from bedplate.monitor.unified import Unified
from bedplate.monitor.unified.metrics import STATUS
from bedplate.problems import BedplateError
from tests.unit.monitor.alerts.notify.telling import START, alert
from tests.unit.monitor.monitor_fakes import FakeHost, Part, client, running, view


@dataclass
class Rule:
    name: str


@dataclass
class Known:
    rule: Rule


class Desk(Part):
    """An alert engine that knows what a test tells it."""

    def __init__(self) -> None:
        super().__init__("alerts")
        self.active = True
        self.alerts: list[AlertView] = []
        self.past: list[Transition] = []
        self.quiet: list[Silence] = []
        self.asked = 0
        self.callbacks: list[Callable[[Transition], None]] = []

    def current(self, *, resolved: bool = True) -> Sequence[AlertView]:
        return [each for each in self.alerts if resolved or each.state != "resolved"]

    def rules(self) -> Sequence[Known]:
        return [Known(Rule("CacheHitRateLow")), Known(Rule("RedisAway"))]

    async def history(
        self,
        limit: int = 100,
        *,
        since: float = 0.0,
        until: float | None = None,
        name: str = "",
        fingerprint: str = "",
    ) -> Sequence[Transition]:
        self.asked += 1
        found = [
            each
            for each in sorted(self.past, key=lambda each: -each.at)
            if since <= each.at and (until is None or each.at <= until) and name in ("", each.alert.name)
        ]
        return found[:limit]

    def silences(self, *, ended: bool = False) -> Sequence[Silence]:
        return [each for each in self.quiet if ended or each.ends > START]

    def actions(self) -> Sequence[Action]:
        return (Action(name="acknowledge", summary="Look after it.", run=self._acknowledge, parameters=Acknowledge),)

    async def _acknowledge(self, parameters: Any, actor: Actor) -> None:
        done = Acknowledgement(actor=actor.name, note=parameters.note, at=START)
        self.alerts = [
            replace(each, acknowledged=done) if each.fingerprint == parameters.fingerprint else each
            for each in self.alerts
        ]

    def subscribe(self, callback: Callable[[Transition], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)


class Well(Part):
    """Health as a test wants it."""

    def __init__(self) -> None:
        super().__init__("health")
        self.status = Status("healthy", True, "running", START)

    def report(self, *, history: bool = False) -> dict[str, Any]:
        names = ("kind", "name", "label", "state", "reason", "since", "probes")
        return {"components": [dict.fromkeys(names, "x")]}


class Door(Part):
    """Knows who asks."""

    def __init__(self) -> None:
        super().__init__("auth")

    def actor(self, scope: Any) -> Actor:
        return Actor("ada", "operator")


class Hand:
    """Does actions and remembers them."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str, str]] = []

    async def press(self, component: str, action: Action, actor: Actor, body: dict[str, object]) -> Any:
        assert action.parameters is not None
        self.done.append((component, action.name, actor.name))
        return await action.run(action.parameters.model_validate(body), actor)


class Asked(FakeHost):
    """A host that answers PromQL."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, Vector] = {}
        self.scopes: set[str] = set()
        self.queries = 0

    async def query(self, expr: str, *, scope: str = "host") -> Vector:
        self.scopes.add(scope)
        self.queries += 1
        if expr in self.answers:
            return self.answers[expr]
        if expr == "broken":
            raise BedplateError("No.", "")
        return ()


class Site:
    def __init__(self, **options: Any) -> None:
        self.desk, self.health, self.hand, self.host = Desk(), Well(), Hand(), Asked()
        self.unified = Unified(
            health=self.health,
            alerts=self.desk,
            auth=Door(),  # type: ignore[arg-type]
            presses=self.hand,
            **options,
        )
        self.http: Any = None

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, body: dict[str, Any], status: int = 200) -> Any:
        answer = await self.http.post("/unified/acknowledge-alert", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


async def _problem(request: Any, error: Any) -> Any:
    from starlette.responses import Response

    return Response(error.problem.body(), error.problem.status, media_type="application/problem+json")


@asynccontextmanager
async def asked(*components: Any, **options: Any) -> AsyncIterator[Site]:
    site = Site(**options)
    site.host.components = [view(each) for each in (*components, site.unified)]
    (routes,) = site.unified.routes()
    app = Starlette(routes=list(routes.routes), exception_handlers={ProblemError: _problem})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(site.unified, site.host))
        site.http = await stack.enter_async_context(client(app))
        yield site


class Counts(Part):
    def __init__(self, kind: str, name: str = "default", numbers: Any = None) -> None:
        super().__init__(kind, name=name)
        self.numbers = numbers

    def overview(self) -> Any:
        if isinstance(self.numbers, Exception):
            raise self.numbers
        return self.numbers


async def test_numbers_of_the_whole_with_the_sections_of_components() -> None:
    parts = (
        Counts("partitions", numbers={"rowDelta": 3}),
        Counts("cache", "reports", {"hitRate": 0.9}),
        Counts("cache", "balances", {"hitRate": 0.8}),
        Counts("replicas", numbers=ConnectionError("no route to redis://:hunter2@cache")),
        Counts("alerts", numbers={"critical": 99}),
        Part("plain"),
    )
    async with asked(*parts) as site:
        site.desk.alerts = [alert(severity="critical")]
        site.host.answers["up"] = (Sample({}, 1.0), Sample({}, 0.0))
        await site.host.clock.advance(90)
        numbers = await site.get("/unified/metrics")
    assert numbers["service"] == "ledger"
    assert numbers["system"] == {
        "status": "unhealthy",
        "uptime": 90.0,
        "environment": "production",
        "instances": {"up": 1, "all": 2},
    }
    assert numbers["alerts"]["critical"] == 1  # no component takes the place of what the page itself says
    assert numbers["components"] == {"running": 7}
    assert numbers["partitions"] == {"rowDelta": 3}
    assert numbers["cache"] == {"reports": {"hitRate": 0.9}, "balances": {"hitRate": 0.8}}
    assert "ConnectionError" in numbers["replicas"]["error"]
    assert "hunter2" not in numbers["replicas"]["error"]
    assert "plain" not in numbers


async def test_the_whole_is_told_with_reasons_and_a_status_for_monitors() -> None:
    async with asked() as site:
        whole = await site.get("/unified/health")
        assert (whole["status"], whole["ready"], whole["reasons"]) == ("healthy", True, [])
        site.desk.alerts = [alert()]
        assert (await site.get("/unified/health"))["status"] == "degraded"
        site.desk.alerts = [alert(severity="critical")]
        whole = await site.get("/unified/health", 503)
        assert whole["reasons"][0]["alert"] == "CacheHitRateLow"
        assert whole["ready"] is True  # alerts take nothing out of rotation


async def test_the_verdict_is_a_metric_and_its_changes_are_logged() -> None:
    async with asked() as site:
        await site.host.clock.advance(5)
        assert [site.host.value(STATUS, level=each) for each in ("healthy", "degraded", "unhealthy")] == [1, 0, 0]
        site.desk.alerts = [alert(severity="critical")]
        for callback in site.desk.callbacks:
            callback(Transition(alert=site.desk.alerts[0], before="pending", at=START))
        assert [site.host.value(STATUS, level=each) for each in ("healthy", "degraded", "unhealthy")] == [0, 0, 1]
        site.desk.alerts = []
        await site.host.clock.advance(5)
        changes = [(each["before"], each["after"]) for each in site.host.log.named("unified_status_changed")]
        assert changes == [("healthy", "unhealthy"), ("unhealthy", "healthy")]
    assert site.desk.callbacks == []


async def test_alerts_are_listed_as_they_are_and_as_they_were() -> None:
    async with asked() as site:
        site.desk.alerts = [
            alert(severity="critical", fingerprint="f1", name="RedisAway", source="redis"),
            alert(fingerprint="f2"),
            alert(fingerprint="f3", state="resolved", resolved_at=START),
        ]
        site.desk.past = [
            Transition(alert=alert(state="firing"), before="pending", at=START),
            Transition(alert=alert(state="resolved", severity="critical"), before="firing", at=START + 60),
        ]
        listed = await site.get("/unified/alerts")
        assert [each["fingerprint"] for each in listed["current"]] == ["f1", "f2"]
        assert "What it means" in listed["current"][0]["runbook"]
        assert [(each["before"], each["state"]) for each in listed["items"]] == [
            ("firing", "resolved"),
            ("pending", "firing"),
        ]
        assert listed["next"] is None
        listed = await site.get("/unified/alerts?severity=critical&state=resolved")
        assert (listed["current"], len(listed["items"])) == ([], 1)
        assert len((await site.get("/unified/alerts?state=resolved"))["current"]) == 1
        assert len((await site.get("/unified/alerts?source=redis"))["current"]) == 1
        assert len((await site.get(f"/unified/alerts?since={START + 30}"))["items"]) == 1
        assert "colour" in (await site.get("/unified/alerts?colour=red", 422))["detail"]
        await site.get("/unified/alerts?cursor=nonsense", 400)


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
@pytest.mark.parametrize("batch", [1, 2, 500])
async def test_pages_of_the_past_hold_everything_once(limit: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bedplate.monitor.unified.past._BATCH", batch)
    async with asked() as site:
        # Many at one moment, as at a start: a cursor must not lose its place among them.
        times = [START + moment for moment in (0, 1, 1, 1, 1, 1, 2, 3, 3, 4)]
        site.desk.past = [
            Transition(
                alert=alert(fingerprint=f"f{number}", severity="info" if number % 4 == 0 else "warning"),
                before="pending",
                at=at,
            )
            for number, at in enumerate(times)
        ]
        for severity, expected in ((None, 10), ("info", 3)):
            found: list[str] = []
            cursor: str | None = ""
            while cursor is not None:
                chosen = f"&severity={severity}" if severity else ""
                page = await site.get(f"/unified/alerts?limit={limit}&cursor={cursor}{chosen}")
                assert len(page["items"]) <= limit
                found += [each["fingerprint"] for each in page["items"]]
                cursor = page["next"]
                # What happens meanwhile comes first and shifts nothing.
                site.desk.past.append(Transition(alert=alert(fingerprint="new"), before="pending", at=START + 100))
            assert len(found) == len(set(found)) == expected
            assert found == sorted(found, key=lambda each: -times[int(each[1:])])
            site.desk.past = [each for each in site.desk.past if each.alert.fingerprint != "new"]


async def test_an_operator_looks_after_an_alert() -> None:
    async with asked() as site:
        site.desk.alerts = [alert(fingerprint="f1")]
        done = await site.post({"alert": "CacheHitRateLow", "note": "mine"})
        assert done["acknowledged"] == {"actor": "ada", "note": "mine", "at": START}
        assert site.hand.done == [("alerts", "acknowledge", "ada")]
        done = await site.post({"fingerprint": "f1", "note": "still mine"})
        assert done["acknowledged"]["note"] == "still mine"


async def test_what_cannot_be_acknowledged_is_refused_with_the_reason() -> None:
    async with asked() as site:
        assert "There is no alert Nothing" in (await site.post({"alert": "Nothing"}, 404))["detail"]
        assert "is not active" in (await site.post({"alert": "RedisAway"}, 409))["detail"]
        site.desk.alerts = [alert(state="resolved", fingerprint="f9", resolved_at=START)]
        await site.post({"fingerprint": "f9"}, 409)
        site.desk.alerts = [alert(fingerprint="f1"), alert(fingerprint="f2")]
        assert "give the fingerprint of one: f1, f2" in (await site.post({"alert": "CacheHitRateLow"}, 409))["detail"]
        await site.post({}, 422)
        await site.post({"fingerprint": "f1", "colour": "red"}, 422)
        assert site.hand.done == []


async def test_silences_are_listed_with_what_they_are_now() -> None:
    async with asked() as site:

        def quiet(id: str, starts: float, ends: float) -> Silence:
            return Silence(
                id=id,
                matchers=(Matcher("cache", "=~", "rep.*"),),
                starts=starts,
                ends=ends,
                actor="ada",
                comment="",
                created=START,
            )

        now = site.host.clock.time()
        site.desk.quiet = [
            quiet("s1", now - 10, now - 5),
            quiet("s2", now - 10, START + 2 * now),
            quiet("s3", now + 5, START + 2 * now),
        ]
        listed = (await site.get("/unified/silences?expired=true"))["items"]
        assert [(each["id"], each["state"]) for each in listed] == [
            ("s1", "expired"),
            ("s2", "active"),
            ("s3", "pending"),
        ]
        assert listed[0]["matchers"] == ['cache=~"rep.*"']
        assert len((await site.get("/unified/silences"))["items"]) == 2


async def test_where_nobody_evaluates_alerts_that_is_said() -> None:
    async with asked() as site:
        site.desk.active = False
        assert "BEDPLATE_ALERTS__ENABLED" in (await site.get("/unified/alerts", 503))["detail"]
        assert (await site.get("/unified/health"))["status"] == "healthy"


PANELS = (
    Panel(title="Depth", expr=(("{{queue}}", "depth"),), kind="stat", unit="short", summary="How deep?"),
    Panel(title="Gone", expr="broken", kind="gauge"),
    Panel(title="A line", expr="line"),
)


async def test_the_dashboard_has_sentences_numbers_and_panels() -> None:
    async with asked(Part("queues", panels=PANELS)) as site:
        site.host.answers["depth"] = (Sample({"queue": "a"}, 1.0), Sample({"queue": "b"}, 5.0))
        site.desk.alerts = [alert()]
        page = await site.get("/dashboard")
        assert page["status"] == "degraded"
        assert page["sentences"][0] == "ledger is degraded."
        assert page["alerts"]["warning"] == 1
        assert page["alerts"]["items"][0]["name"] == "CacheHitRateLow"
        assert page["requests"] == dict.fromkeys(("per_second", "failed_ratio", "p95_seconds", "failed", "slow"))
        assert page["errors"] == []
        depth, gone = page["panels"]
        assert (depth["title"], depth["component"]) == ("Depth", "queues")
        assert [(each["labels"], each["value"]) for each in depth["values"]] == [
            ({"queue": "b"}, 5.0),
            ({"queue": "a"}, 1.0),
        ]
        assert gone["error"]
        asked_before = site.host.queries
        await site.get("/dashboard")
        assert site.host.queries - asked_before == 1  # `up` alone: what was read a moment ago is shown again
        assert site.host.scopes == {"host"}


async def test_with_prometheus_the_fleet_is_asked() -> None:
    async with asked(fleet=True) as site:
        await site.get("/dashboard")
        assert site.host.scopes == {"fleet"}


def test_it_declares_a_check_for_every_face() -> None:
    site = Site(prefix="/ops")
    paths = {check.path for check in site.unified.spec.checks}
    assert {f"/ops/{path}" for path in ("unified/metrics", "unified/health", "unified/alerts", "dashboard")} <= paths
