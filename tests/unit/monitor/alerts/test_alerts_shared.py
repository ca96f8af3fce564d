"""Several instances with one database: everybody sees all, one notice a fingerprint, one evaluates for the fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bedplate.component import Sample, Vector
from bedplate.database.migrations import drift
from bedplate.monitor.alerts.keeping import Keeping
from bedplate.monitor.alerts.notices import Matcher
from bedplate.monitor.alerts.tables import METADATA
from bedplate.service import Service
from bedplate.testing import ManualClock, settings
from tests.postgres import Postgres, postgres

from .alert_shapes import Tank, fired, tank, watched


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'alerts.sqlite3'}"
    running: Postgres = request.getfixturevalue("server")
    return running.database()


async def test_the_tables_are_what_is_declared(url: str) -> None:
    async with watched(url) as plant:
        await plant.saved()
        async with plant.alerts.database.connect() as connection:
            assert await connection.run_sync(drift, METADATA) == []


async def test_instances_see_each_other_and_make_one_notice(url: str) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock, instance="a:1") as one, watched(url, clock=clock, instance="b:1") as two:
        one.tank.set(0.05)
        await one.until(lambda: fired(one.current()))
        began = one.current()[0].fired_at
        two.tank.set(0.05)
        await two.until(lambda: len(fired(two.current())) == 2)
        await two.saved()  # writes first, so that the other one may read
        await one.saved()
        for plant in (one, two):
            assert {view.instance for view in plant.current()} == {"a:1", "b:1"}
            (notice,) = await plant.notices()
            assert notice.status == "firing" and len(notice.alerts) == 2 and notice.episode == began
        await two.alerts.note_sent((await two.notices())[0], "slack")
        assert (await one.notices())[0].sent["slack"].times == 1
        await one.alerts.acknowledge(one.current()[0].fingerprint, "ann", "mine")
        await two.saved()
        assert all(view.acknowledged is not None for view in two.current())

        one.tank.set(0.9)
        await one.until(lambda: "firing" not in [v.state for v in one.current() if v.instance == "a:1"])
        await one.saved()
        (notice,) = await two.notices()
        assert notice.status == "firing" and notice.episode == began, "the other one still fires, and it is one firing"
        assert notice.acknowledged is not None
        two.tank.set(0.9)
        await two.until(lambda: not fired(two.current()))
        await two.saved()
        (notice,) = await one.notices()
        assert notice.status == "resolved" and notice.episode == began and notice.resolved_at is not None
        two.tank.set(0.05)
        await two.until(lambda: fired(two.current()))
        await two.saved()
        (notice,) = await one.notices()
        assert notice.episode > began and notice.acknowledged is None  # type: ignore[operator]


async def test_silences_are_everybodys(url: str) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock, instance="a:1") as one, watched(url, clock=clock, instance="b:1") as two:
        two.tank.set(0.05)
        await two.until(lambda: fired(two.current()))
        await one.alerts.silence([Matcher("alertname", "=", "TankEmpty")], duration=3600, actor="ann")
        (notice,) = await two.notices()
        assert notice.silenced


async def test_services_that_share_a_database_do_not_share_alerts(url: str) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock) as one, watched(url, clock=clock, name="works") as two:
        one.tank.set(0.05)
        await one.until(lambda: fired(one.current()))
        await one.saved()
        assert await two.notices() == [] and two.current() == [] and await two.history() == []


async def test_the_alerts_of_an_instance_that_died_are_resolved_by_the_others(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock, instance="b:1") as two:
        async with watched(url, clock=clock, instance="a:1") as one:
            one.tank.set(0.05)
            await one.until(lambda: fired(one.current()))
            await one.saved()

            async def nothing(self: Keeping) -> None:
                """A process that dies says no goodbye."""

            monkeypatch.setattr(Keeping, "close", nothing)
        monkeypatch.undo()
        await two.saved()
        assert [view.instance for view in two.current()] == ["a:1"]
        await two.pass_time(310)
        await two.saved()
        await two.saved()
        assert [(view.instance, view.state) for view in two.current()] == [("a:1", "resolved")]
        history = await two.history()
        assert [one.alert.state for one in history] == ["resolved", "firing", "pending"]


async def test_a_process_takes_up_what_another_one_of_its_host_left(url: str) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock, instance="host:101") as one:
        one.tank.set(0.05)
        await one.until(lambda: fired(one.current()))
        before = one.current()[0]
    async with watched(url, clock=clock, instance="host:102") as two:
        (alert,) = two.current()
        assert (alert.state, alert.fired_at) == ("firing", before.fired_at)
        assert alert.labels["instance"] == "host:102" and alert.fingerprint == before.fingerprint
        two.tank.set(0.05)
        await two.pass_time(60)
        assert fired(two.current()) == ["TankEmpty"] and two.transitions == []
        await two.saved()
        (notice,) = await two.notices()
        assert notice.episode == before.fired_at


class Prometheus:
    """Knows the fleet: one tank that is empty, or none."""

    def __init__(self) -> None:
        self.empty = True
        self.asked: list[str] = []

    async def vector(self, expr: str, at: float | None = None, *, scope: str = "host") -> Vector:
        assert scope == "fleet"
        self.asked.append(expr)
        if "tank_level" not in expr or not self.empty:
            return ()
        return (Sample({"tank": "a", "instance": "far:1", "job": "plant"}, 0.05),)


def fleet(url: str, prometheus: Prometheus) -> Service:
    own = settings(
        database_url=url, alerts={"enabled": True}, samples={"instance": "a:1"}, prometheus_url="http://prometheus:9090"
    )
    service = Service("plant", None, [Tank([tank()])], settings=own)
    service.builtins.alerts._queries = prometheus  # type: ignore[assignment]
    return service


async def test_with_prometheus_one_of_all_evaluates_and_another_takes_over(url: str) -> None:
    prometheus, clock = Prometheus(), ManualClock()
    one, two = fleet(url, prometheus), fleet(url, prometheus)

    def leaders() -> list[Service]:
        return [one_ for one_ in (one, two) if (keeping := one_.builtins.alerts._keeping) and keeping.evaluates]

    async def passing(condition: Any) -> None:
        from bedplate.testing.harness import Harness

        async def met() -> bool:
            await clock.advance(5)
            # The database takes real time: when the driven one runs away from it, leases are lost again and again.
            loop = asyncio.get_running_loop()
            asked = loop.time()
            await two.builtins.alerts.database.ping()
            await asyncio.sleep(max(0.02, 3 * (loop.time() - asked)))
            found = condition()
            return bool(await found if asyncio.iscoroutine(found) else found)

        await Harness.eventually(None, met, 60)  # type: ignore[arg-type]

    async def both_tell() -> bool:
        told = [await service.builtins.alerts.notices() for service in (one, two)]
        return len(leaders()) == 1 and [[notice.status for notice in each] for each in told] == [["firing"]] * 2

    async with two.running(clock=clock):
        async with one.running(clock=clock):
            # Who does not evaluate reads what the other one has written, which is a moment later.
            await passing(both_tell)
            for service in (one, two):
                (notice,) = await service.builtins.alerts.notices()
                assert notice.status == "firing" and notice.lead.instance == ""
                assert notice.lead.labels["instance"] == "far:1"
            fired_at = one.builtins.alerts.current()[0].fired_at
        await passing(lambda: leaders() == [two])
        await passing(lambda: len(two.builtins.alerts.current()) == 1)
        assert two.builtins.alerts.current()[0].fired_at == fired_at, "the firing goes on under who took over"
        prometheus.empty = False
        await passing(lambda: two.builtins.alerts.current()[0].state == "resolved")
        history = await two.builtins.alerts.history()
        assert [one_.alert.state for one_ in history] == ["resolved", "firing", "pending"]


async def test_a_database_that_goes_away_and_comes_back_misses_nothing(server: Postgres) -> None:
    async with watched(server.database()) as plant:
        plant.tank.set(0.05, "a")
        await plant.until(lambda: fired(plant.current()))
        await plant.saved()
        server.stop()
        try:
            plant.tank.set(0.9, "a")
            plant.tank.set(0.05, "b")
            await plant.until(lambda: {(v.labels["tank"], v.state) for v in plant.current()} == BOTH)
            view = next(view for view in plant.harness.service.views if view.spec.kind == "alerts")
            assert view.state == "degraded"
            assert [notice.status for notice in await plant.notices()] == ["firing", "resolved"]
            await plant.alerts.acknowledge(plant.current()[0].fingerprint, "ann", "on it")
        finally:
            server.start()
        await plant.harness.eventually(plant.saved_all, 60)
        history = [(one.alert.labels["tank"], one.alert.state) for one in await plant.history()]
        assert sorted(history) == sorted(
            [("a", "pending"), ("a", "firing"), ("a", "resolved"), ("b", "pending"), ("b", "firing")]
        )
        assert plant.current()[0].acknowledged is not None
        view = next(view for view in plant.harness.service.views if view.spec.kind == "alerts")
        assert view.state == "running"


BOTH = {("a", "resolved"), ("b", "firing")}


async def test_old_history_is_forgotten(url: str) -> None:
    clock = ManualClock()
    async with watched(url, clock=clock) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        plant.tank.set(0.9)
        await plant.until(lambda: not fired(plant.current()))
        await plant.alerts.silence([Matcher("tank", "=", "a")], duration=10, actor="ann")
        assert len(await plant.history()) == 3
    await clock.advance(7200)
    async with watched(url, clock=clock, history=3600) as plant:
        await plant.saved()
        assert await plant.history() == [] and plant.alerts.silences(ended=True) == [] and plant.current() == []
