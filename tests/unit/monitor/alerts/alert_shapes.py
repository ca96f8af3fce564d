"""A service whose alerts a test makes fire: components with a gauge, and runs of it that follow each other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bedplate.component import BoundGauge, Component, Host, Spec
from bedplate.declarations import Alert, AlertGroup, Runbook, Series
from bedplate.metric import Gauge
from bedplate.monitor.alerts import Alerts
from bedplate.monitor.alerts.notices import AlertView, Notice, Transition
from bedplate.service import Service
from bedplate.testing import Harness, ManualClock, running, settings

__all__ = ["LEVEL", "Tank", "Watched", "fired", "tank", "watched"]

LEVEL = Gauge("tank_level_ratio", "How full it is.", {"tank": 10}, unit="ratio")
GROUP = AlertGroup(name="tanks", interval="10s")


def tank(**changes: Any) -> Alert:
    """Return an alert on the level of a tank."""
    values: dict[str, Any] = {
        "name": "TankEmpty",
        "expr": f"{LEVEL} < 0.1",
        "summary": "Tank {{ $labels.tank }} is at {{ $value | humanizePercentage }}.",
        "severity": "critical",
        "for_": "30s",
        "group": GROUP,
        "fires": (Series(str(LEVEL(tank="a")), "0x10"),),
        "quiet": (Series(str(LEVEL(tank="a")), "1x10"),),
    }
    return Alert(**(values | changes))


class Tank:
    """A component that measures tanks."""

    def __init__(self, alerts: Sequence[Alert] = (tank(),)) -> None:
        self.alerts = tuple(alerts)
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        sections = "".join(f"## {alert.name}\nFill it.\n" for alert in self.alerts)
        return Spec(
            kind="tank",
            summary="Holds water.",
            metrics=(LEVEL,),
            alerts=self.alerts,
            runbook=Runbook(text=sections),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._host = host
        yield

    def set(self, level: float, name: str = "a") -> None:
        assert self._host is not None
        cell: BoundGauge = self._host.bind(LEVEL, tank=name)
        cell.set(level)


class Watched:
    """A running service with a tank."""

    def __init__(self, harness: Harness, tank: Tank) -> None:
        self.harness = harness
        self.tank = tank
        self.alerts: Alerts = harness.service.builtins.alerts
        self.transitions: list[Transition] = []
        self.alerts.subscribe(self._changed)

    def _changed(self, transition: Transition) -> None:
        if transition.alert.source == "tank":
            self.transitions.append(transition)

    def current(self) -> list[AlertView]:
        """Return the alerts of the tank."""
        return [view for view in self.alerts.current() if view.source == "tank"]

    async def history(self) -> list[Transition]:
        """Return what became of the alerts of the tank, the latest first."""
        return [one for one in await self.alerts.history() if one.alert.source == "tank"]

    async def notices(self) -> list[Notice]:
        """Return what people should know of the tank."""
        return [one for one in await self.alerts.notices() if one.lead.source == "tank"]

    @property
    def clock(self) -> ManualClock:
        return self.harness.clock

    async def saved(self) -> None:
        """Return when all is written and read."""
        await self.alerts.notices()

    async def saved_all(self) -> bool:
        """Let a little time pass, and say whether nothing waits for the database."""
        await self.pass_time(5)
        keeping = self.alerts._keeping
        return keeping is not None and keeping.restored and len(keeping._outbox) == 0

    async def pass_time(self, seconds: float) -> None:
        """Let time pass in steps in which samples are taken and rules evaluated."""
        while seconds > 0:
            await self.clock.advance(min(5.0, seconds))
            seconds -= 5.0

    async def until(self, condition: Any, seconds: float = 300.0) -> None:
        """Let time pass until something is so."""
        for _ in range(int(seconds / 5)):
            if condition():
                return
            await self.pass_time(5)
        assert condition()


@asynccontextmanager
async def watched(
    url: str | Path = "",
    alerts: Sequence[Alert] = (tank(),),
    *,
    instance: str = "web-1:8000",
    clock: ManualClock | None = None,
    components: Sequence[Component] = (),
    name: str = "plant",
    **changes: Any,
) -> AsyncIterator[Watched]:
    """Run a service with a tank and alerts that are evaluated, its database at ``url``."""
    given = f"sqlite:///{url}" if isinstance(url, Path) else url
    measured = Tank(alerts)
    own = settings(
        database_url=given or None,
        alerts={"enabled": True, **changes},
        samples={"instance": instance},
    )
    service = Service(name, None, [measured, *components], settings=own)
    async with running(service, clock=clock) as harness:
        started = Watched(harness, measured)
        await harness.eventually(lambda: _restored(service), 60)
        yield started


def _restored(service: Service) -> bool:
    keeping = service.builtins.alerts._keeping
    return keeping is not None and (keeping.restored or keeping._fault != "")


def fired(views: Sequence[AlertView]) -> list[str]:
    """Return the names of the alerts that fire."""
    return [view.name for view in views if view.state == "firing"]
