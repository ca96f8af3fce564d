"""An outage of something shared is one alert to people, and all that follows from it stands below."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bedplate.component import Component, Host, Spec
from bedplate.console.story import findings
from bedplate.database import Database
from bedplate.declarations import Alert, Runbook, Series
from bedplate.metric import Gauge
from bedplate.monitor.alerts.causes import because, causes
from bedplate.monitor.alerts.notices import AlertView
from bedplate.monitor.alerts.notify.plan import Owed, owed
from bedplate.monitor.health.status import Reason
from bedplate.render.alertmanager import configuration
from bedplate.render.options import Options
from bedplate.render.subject import Container, Subject
from bedplate.state import store
from bedplate.state.cache import Cache

from .alert_shapes import tank, watched
from .notify.telling import START, alert, notice

PRESSURE = Gauge("mains_pressure_ratio", "Of the mains.", unit="ratio")
OPEN = Gauge("tap_open", "Whether the tap runs.", {"tap": 4})


def rule(name: str, expr: str, **changes: Any) -> Alert:
    return tank(name=name, expr=expr, summary=f"{name}.", fires=(Series("a", "1"),), **changes)


class Thing:
    """A component with alerts, which needs others."""

    def __init__(self, kind: str, *alerts: Alert, needs: tuple[Component, ...] = (), metric: Gauge = OPEN) -> None:
        self.kind, self.alerts, self.needs, self.metric = kind, alerts, needs, metric
        self.host: Host | None = None

    @property
    def spec(self) -> Spec:
        runbook = Runbook(text="".join(f"## {one.name}\nMend it.\n" for one in self.alerts))
        return Spec(
            kind=self.kind,
            summary="A thing.",
            needs=self.needs,
            metrics=(self.metric,),
            alerts=self.alerts,
            runbook=runbook,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.host = host
        yield


MAINS = Thing(
    "mains",
    rule("MainsDry", f"{PRESSURE} < 0.1", explains=True),
    rule("MainsLow", f"{PRESSURE} < 0.5"),
    metric=PRESSURE,
)
TAP = Thing("tap", rule("TapDry", f"{OPEN} == 0", severity="warning"), needs=(MAINS,))
BATH = Thing("bath", rule("BathCold", f"{OPEN} == 0", severity="warning"), needs=(TAP,))
LAMP = Thing("lamp", rule("LampOut", "vector(1)", severity="warning"))
SPECS = [one.spec for one in (MAINS, LAMP, TAP, BATH)]
DRY = alert(key="dry", name="MainsDry", source="mains", severity="critical", labels={})
OLD = START - 3600


def told(*views: AlertView, now: float = START + 60) -> dict[str, str]:
    return {view.key: view.because for view in because(views, causes(SPECS), now)}


def at(key: str, source: str, **changes: Any) -> AlertView:
    return alert(**{"key": key, "name": key.title(), "source": source, "labels": {}, **changes})


def test_what_needs_it_however_far_away_follows_from_it_and_nothing_else_does() -> None:
    found = told(at("tap", "tap"), at("bath", "bath"), at("lamp", "lamp"), DRY, at("mains", "mains"))
    assert found == {"tap": "dry", "bath": "dry", "lamp": "", "dry": "", "mains": "dry"}


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, "dry"),
        ({"source": "health", "labels": {"component": "bath"}}, "dry"),
        ({"source": "health", "labels": {"component": "lamp"}}, ""),
        ({"state": "pending", "fired_at": None}, "dry"),
        ({"instance": "10.0.0.2:8000"}, ""),
    ],
    ids=["plain", "about-it", "about-another", "pending", "elsewhere"],
)
def test_it_is_about_a_dependent_of_the_same_instance(changes: dict[str, Any], cause: str) -> None:
    assert told(DRY, at("one", **{"source": "tap", **changes}))["one"] == cause


def test_a_warning_explains_nothing_critical() -> None:
    mild = Thing("mains", replace(MAINS.alerts[0], severity="warning"), metric=PRESSURE)
    found = causes([mild.spec, Thing("tap", needs=(mild,)).spec])
    grave, other = at("a", "tap", severity="critical"), at("b", "tap", severity="warning")
    views = because([replace(DRY, severity="warning"), grave, other], found, START)
    assert [view.because for view in views] == ["", "", "dry"]


def test_what_goes_on_for_a_while_after_it_still_follows_and_what_begins_then_does_not() -> None:
    over = replace(DRY, state="resolved", fired_at=OLD, resolved_at=START)
    during, after = at("during", "tap", fired_at=OLD + 60), at("after", "tap", fired_at=START + 1)
    assert told(over, during, after, now=START + 300) == {"dry": "", "during": "dry", "after": ""}
    assert told(over, during, now=START + 700)["during"] == ""
    ended = replace(during, state="resolved", resolved_at=START + 200)
    assert told(over, ended, now=START + 800)["during"] == "dry", "nobody is told late of what was explained"


def test_people_are_told_of_the_cause_alone() -> None:
    explained = notice(alert(because="dry"))
    assert owed(explained, "slack", START + 60, 3600.0) is None
    assert owed(notice(alert(because="")), "slack", START + 60, 3600.0) == Owed("firing")
    gone = alert(state="resolved", resolved_at=START + 60, because="dry")
    assert owed(notice(gone, resolved_at=START + 60), "slack", START + 90, 3600.0) == Owed(None)


def test_the_home_page_shows_one_fault_with_all_that_follows() -> None:
    views = because([at("tap", "tap"), at("lamp", "lamp"), DRY], causes(SPECS), START)
    shown = findings([], views, [_View(spec) for spec in SPECS])  # type: ignore[misc]
    assert [(one.alert, [each.alert for each in one.follows]) for one in shown] == [
        ("MainsDry", ["Tap"]),
        ("Lamp", []),
    ]


def test_the_home_page_loses_nothing_that_follows_from_what_follows() -> None:
    chain = [
        at("a", "bath", because="b"),
        at("b", "tap", because="dry"),
        DRY,
        at("gone", "lamp", because="over"),
    ]
    shown = findings([], chain, [_View(spec) for spec in SPECS])  # type: ignore[misc]
    assert [(one.path, len(one.follows)) for one in shown] == [("/alerts/dry", 2), ("/alerts/gone", 0)]


def test_what_is_down_stands_with_the_outage_of_what_it_needs_and_not_of_its_like() -> None:
    fast, safe = store("redis://localhost:1/0", name="fast"), store("redis://localhost:2/0", name="safe")
    cached = Cache(fast, name="reports")
    views = [_View(one.spec) for one in (fast, safe, cached)]
    reason = Reason(level="degraded", component=cached.spec.label, probe="", since=START, error="", meaning="")
    for down, follows in ((fast, 1), (safe, 0)):
        alone = at("down", down.spec.label, name="RedisDown", severity="critical")
        first = next(one for one in findings([reason], [alone], views) if one.alert == "RedisDown")  # type: ignore[arg-type]
        assert len(first.follows) == follows


class _View:
    def __init__(self, spec: Spec) -> None:
        self.spec = spec


def test_alertmanager_is_told_the_same() -> None:
    subject = Subject(name="house", specs=tuple(SPECS), container=Container(name="house", target="house:build"))
    rules = yaml.safe_load(configuration([subject], Options()))["inhibit_rules"]
    source = ['job="house"', 'alertname="MainsDry"', 'source="mains"']
    mine = [one for one in rules if one["source_matchers"] == source]
    assert [one["target_matchers"][2] for one in mine] == ['source=~"bath|mains|tap"', 'component=~"bath|mains|tap"']
    assert all(one["equal"] == ["job", "instance"] for one in mine)


def test_bedplates_own_outages_explain_what_needs_them() -> None:
    redis = store("redis://localhost:1/0")
    cache, database = Cache(redis, name="reports"), Database()
    found = {one.name: one.dependents for one in causes([redis.spec, database.spec, cache.spec])}
    assert found["RedisDown"] == {redis.spec.label, "cache:reports"}
    assert found["DatabaseDown"] == {"database"}


async def test_a_running_service_folds_them(tmp_path: Path) -> None:
    mains = Thing("mains", *MAINS.alerts, metric=PRESSURE)
    tap = Thing("tap", *TAP.alerts, needs=(mains,))
    async with watched(tmp_path / "a.sqlite3", components=(mains, tap)) as plant:

        def state() -> dict[str, str]:
            ours = [view for view in plant.alerts.current() if view.source in ("mains", "tap")]
            keys = {view.key: view.name for view in ours}
            return {view.name: keys.get(view.because, "") for view in ours if view.state == "firing"}

        assert mains.host is not None and tap.host is not None
        tap.host.bind(OPEN, tap="kitchen").set(0)
        mains.host.bind(PRESSURE).set(1)
        await plant.until(lambda: state() == {"TapDry": ""})
        mains.host.bind(PRESSURE).set(0)
        await plant.until(lambda: state() == {"MainsDry": "", "MainsLow": "MainsDry", "TapDry": "MainsDry"})
        quiet = {one.lead.name for one in await plant.alerts.notices() if one.explained}
        assert {"MainsLow", "TapDry"} <= quiet and "MainsDry" not in quiet
        mains.host.bind(PRESSURE).set(1)
        await plant.until(lambda: "MainsDry" not in state())
        await plant.pass_time(600)
        assert state() == {"TapDry": ""}
