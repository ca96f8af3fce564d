"""Alerts of a running service: from a gauge to who knows of it, over restarts and without a database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bedplate.monitor.alerts.metrics import ACTIVE, EVALUATIONS, FAILURES, WAITING
from bedplate.monitor.alerts.notices import Matcher
from bedplate.problems import BedplateError
from bedplate.testing import ManualClock

from .alert_shapes import LEVEL, fired, tank, watched


async def test_an_alert_comes_waits_fires_and_is_resolved(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: plant.current())
        (alert,) = plant.current()
        assert (alert.state, alert.name, alert.severity) == ("pending", "TankEmpty", "critical")
        assert (
            alert.labels["tank"] == "a" and alert.labels["instance"] == "web-1:8000" and alert.labels["job"] == "plant"
        )
        await plant.until(lambda: fired(plant.current()))
        (alert,) = plant.current()
        assert alert.fired_at is not None and alert.fired_at - alert.since == pytest.approx(30)
        assert alert.summary == "Tank a is at 5%."
        assert alert.section == "Fill it."
        assert await plant.harness.value(ACTIVE, state="firing", severity="critical") == 1
        plant.tank.set(0.8)
        await plant.until(lambda: not fired(plant.current()))
        (alert,) = plant.current()
        assert alert.state == "resolved" and alert.resolved_at is not None
        assert [(one.before, one.alert.state) for one in plant.transitions] == [
            ("inactive", "pending"),
            ("pending", "firing"),
            ("firing", "resolved"),
        ]
        history = await plant.history()
        assert [one.alert.state for one in history] == ["resolved", "firing", "pending"]
        assert history[0].alert == plant.transitions[-1].alert


async def test_each_series_is_an_alert_of_its_own(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        plant.tank.set(0.05, "a")
        plant.tank.set(0.5, "b")
        plant.tank.set(0.01, "c")
        await plant.until(lambda: len(fired(plant.current())) == 2)
        assert {view.labels["tank"] for view in plant.current()} == {"a", "c"}
        assert len({view.fingerprint for view in plant.current()}) == 2


async def test_alerts_are_series_that_rules_can_ask_for(tmp_path: Path) -> None:
    many = tank(name="TanksAlerting", expr='count(ALERTS{alertname="TankEmpty", alertstate="firing"}) > 0', for_="0s")
    async with watched(tmp_path / "a.sqlite3", [tank(), many]) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: "TanksAlerting" in fired(plant.current()))
        found = await plant.harness.service.builtins.queries.vector("ALERTS_FOR_STATE")
        empty = next(one for one in found if one.labels["alertname"] == "TankEmpty")
        assert empty.value == next(one for one in plant.current() if one.name == "TankEmpty").since
        plant.tank.set(0.5)
        await plant.until(lambda: not fired(plant.current()))
        await plant.pass_time(15)
        assert await plant.harness.service.builtins.queries.vector('ALERTS{source="tank"}') == ()


async def test_a_restart_forgets_neither_what_fires_nor_what_waits(tmp_path: Path) -> None:
    clock, file = ManualClock(), tmp_path / "a.sqlite3"
    slow = tank(name="TankEmptyForLong", for_="300s")
    async with watched(file, [tank(), slow], clock=clock) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        await plant.saved()
        before = {view.name: view for view in plant.current()}
    await clock.advance(20)
    async with watched(file, [tank(), slow], clock=clock) as plant:
        assert {view.name: view.state for view in plant.current()} == {
            "TankEmpty": "firing",
            "TankEmptyForLong": "pending",
        }
        assert plant.current()[0].fired_at == before["TankEmpty"].fired_at
        plant.tank.set(0.05)
        await plant.until(lambda: len(fired(plant.current())) == 2, 400)
        assert [one.alert.name for one in plant.transitions] == ["TankEmptyForLong"], "nothing is fired twice"
        long = next(view for view in plant.current() if view.name == "TankEmptyForLong")
        assert long.fired_at is not None
        waited = long.fired_at - before["TankEmptyForLong"].since
        assert 300 < waited <= 350, "it waited on, without the time in which nobody looked"


async def test_what_ended_during_a_restart_is_resolved_once_there_are_samples(tmp_path: Path) -> None:
    clock, file = ManualClock(), tmp_path / "a.sqlite3"
    async with watched(file, clock=clock) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        await plant.saved()
    async with watched(file, clock=clock) as plant:
        plant.tank.set(0.9)
        assert fired(plant.current()) == ["TankEmpty"]
        await plant.until(lambda: not fired(plant.current()), 60)
        assert [one.alert.state for one in plant.transitions] == ["resolved"]


async def test_an_acknowledgement_holds_over_a_restart_and_ends_with_the_alert(tmp_path: Path) -> None:
    clock, file = ManualClock(), tmp_path / "a.sqlite3"
    async with watched(file, clock=clock) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        fingerprint = plant.current()[0].fingerprint
        await plant.alerts.acknowledge(fingerprint, "ann", "the pump is ordered")
        with pytest.raises(BedplateError, match="No alert"):
            await plant.alerts.acknowledge("feedfeed", "ann")
    async with watched(file, clock=clock) as plant:
        acknowledged = plant.current()[0].acknowledged
        assert acknowledged is not None and (acknowledged.actor, acknowledged.note) == ("ann", "the pump is ordered")
        plant.tank.set(0.9)
        await plant.until(lambda: not fired(plant.current()))
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        await plant.saved()
        assert plant.current()[0].acknowledged is None


async def test_silences_match_until_they_end(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        plant.tank.set(0.05, "a")
        plant.tank.set(0.05, "b")
        await plant.until(lambda: len(fired(plant.current())) == 2)
        made = await plant.alerts.silence([Matcher("tank", "=~", "a|x")], duration=60, actor="ann", comment="cleaning")
        silenced = {view.labels["tank"]: view.silenced_by for view in plant.current()}
        assert silenced == {"a": (made.id,), "b": ()}
        await plant.pass_time(65)
        assert not any(view.silenced for view in plant.current())
        assert plant.alerts.silences() == [] and len(plant.alerts.silences(ended=True)) == 1
        others = [Matcher("tank", "!=", "a"), Matcher("alertname", "=", "TankEmpty")]
        made = await plant.alerts.silence(others, duration=600, actor="ann")
        ended = await plant.alerts.unsilence(made.id, "bob")
        assert ended.ends == plant.clock.time() and not any(view.silenced for view in plant.current())
        with pytest.raises(BedplateError, match="no silence"):
            await plant.alerts.unsilence(made.id, "bob")
        with pytest.raises(BedplateError, match="every alert"):
            await plant.alerts.silence([Matcher("tank", "=~", ".*")], duration=60, actor="ann")
        with pytest.raises(BedplateError, match="over before"):
            await plant.alerts.silence([Matcher("tank", "=", "a")], duration=-1, actor="ann")


async def test_actions_acknowledge_and_silence_over_http(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        path, client = "/monitoring/components/alerts/default/actions", plant.harness.client
        fingerprint = plant.current()[0].fingerprint
        done = await client.post(f"{path}/acknowledge", json={"fingerprint": fingerprint, "note": "on it"})
        assert done.status_code == 200, done.text
        assert plant.current()[0].acknowledged is not None
        refused = await client.post(f"{path}/acknowledge", json={"fingerprint": "nope"})
        assert refused.status_code == 409
        made = await client.post(f"{path}/silence", json={"matchers": ['tank="a"'], "duration": "2h", "comment": "x"})
        assert made.status_code == 200, made.text
        assert plant.current()[0].silenced
        wrong = await client.post(f"{path}/silence", json={"matchers": ['tank=~"(("']})
        assert wrong.status_code == 409 and "pattern" in wrong.text
        ended = await client.post(f"{path}/expire-silence", json={"id": plant.alerts.silences()[0].id})
        assert ended.status_code == 200
        assert not plant.current()[0].silenced


async def test_a_rule_that_fails_is_counted_shown_and_stays_as_it_was(tmp_path: Path) -> None:
    twice = tank(name="TankTwice", expr=f"label_replace({LEVEL} < 0.1, 'tank', '', 'tank', '.*')", for_="0s")
    async with watched(tmp_path / "a.sqlite3", [twice, tank()]) as plant:
        plant.tank.set(0.05, "a")
        await plant.until(lambda: "TankTwice" in fired(plant.current()))
        plant.tank.set(0.05, "b")
        await plant.until(lambda: len(fired(plant.current())) == 3)
        state = {view.rule.name: view for view in plant.alerts.rules()}
        assert state["TankTwice"].health == "err" and "same labels" in state["TankTwice"].error
        assert state["TankEmpty"].health == "ok"
        assert "TankTwice" in fired(plant.current())
        assert await plant.harness.value(FAILURES, group="tanks") > 0
        await plant.until(lambda: "AlertsEvaluationFailing" in fired(plant.alerts.current()))


async def test_the_rules_of_prometheus_alone_are_not_evaluated(tmp_path: Path) -> None:
    gone = tank(name="TankGone", expr=f"absent({LEVEL})", external=True, for_="0s")
    async with watched(tmp_path / "a.sqlite3", [gone]) as plant:
        await plant.pass_time(60)
        rule = next(view for view in plant.alerts.rules() if view.rule.name == "TankGone")
        assert rule.external and rule.evaluated_at is None
        assert fired(plant.current()) == []


async def test_time_can_run_faster(tmp_path: Path) -> None:
    slow = tank(for_="300s", expr=f"avg_over_time({LEVEL}[300s]) < 0.1")
    async with watched(tmp_path / "a.sqlite3", [slow], time_scale=0.1) as plant:
        rule = next(view for view in plant.alerts.rules() if view.rule.name == "TankEmpty")
        assert (rule.hold, rule.interval) == (30.0, 1.0) and "[30s]" in rule.expr
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()), 60)


async def test_without_its_database_it_goes_on_and_writes_later(tmp_path: Path) -> None:
    folder = tmp_path / "not_yet"
    folder.write_text("a file where a folder belongs")
    clock = ManualClock()
    async with watched(folder / "a.sqlite3", clock=clock) as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        view = next(view for view in plant.harness.service.views if view.spec.kind == "alerts")
        assert view.state == "degraded" and "memory alone" in view.reason
        await plant.alerts.acknowledge(plant.current()[0].fingerprint, "ann", "seen")
        await plant.alerts.silence([Matcher("tank", "=", "z")], duration=3600, actor="ann")
        assert plant.current()[0].acknowledged is not None
        assert [one.alert.state for one in await plant.history()] == ["firing", "pending"]
        notices = await plant.notices()
        await plant.alerts.note_sent(notices[0], "slack")
        folder.unlink()
        await plant.harness.eventually(plant.saved_all, 60)
        view = next(view for view in plant.harness.service.views if view.spec.kind == "alerts")
        assert view.state == "running"
    async with watched(folder / "a.sqlite3", clock=clock) as plant:
        (alert,) = plant.current()
        assert alert.state == "firing" and alert.acknowledged is not None
        assert len(plant.alerts.silences()) == 1
        history = await plant.history()
        assert [one.alert.state for one in history] == ["firing", "pending"]
        (notice,) = await plant.notices()
        assert notice.sent["slack"].episode == notice.episode


async def test_a_process_that_does_not_watch_opens_no_database(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        assert plant.alerts.active
    from bedplate.service import Service
    from bedplate.testing import settings

    own = settings(database_url=f"sqlite:///{tmp_path / 'b.sqlite3'}", alerts={"enabled": True})
    service = Service("plant", None, [], settings=own)
    async with service.running(role="web", instance="2", directory=tmp_path / "run", clock=ManualClock()):
        assert not service.builtins.alerts.active
        assert service.builtins.alerts.current() == ()
    assert not (tmp_path / "b.sqlite3").exists()


async def test_evaluations_are_counted(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        await plant.pass_time(30)
        assert await plant.harness.value(EVALUATIONS, group="tanks") >= 2


async def test_a_value_that_changes_while_an_alert_fires_is_nothing_that_waits_for_the_database(tmp_path: Path) -> None:
    async with watched(tmp_path / "a.sqlite3") as plant:
        plant.tank.set(0.05)
        await plant.until(lambda: fired(plant.current()))
        await plant.harness.eventually(plant.saved_all, 60)
        keeping = plant.alerts._keeping
        assert keeping is not None and await plant.harness.value(WAITING) == 0
        (view,) = plant.current()
        keeping.take(view.group, [replace(view, value=0.04)], [])
        assert await plant.harness.value(WAITING) == 0
