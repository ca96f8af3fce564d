"""While Prometheus cannot be asked: alerts go on over own samples, the status says so, and nothing seems to end."""

from __future__ import annotations

from pathlib import Path

from bedplate.component import Sample, Vector
from bedplate.monitor.alerts.engine import Engine, Evaluated
from bedplate.monitor.alerts.rules import rules
from bedplate.problems import UnreachableError
from bedplate.service import Service
from bedplate.testing import ManualClock, running, settings

from .alert_shapes import LEVEL, Tank, tank

FAR = Sample({"tank": "a", "instance": "far:1", "job": "plant"}, 0.05)
NEAR = Sample({"tank": "b", "instance": "near:1", "job": "plant"}, 0.05)


class Fleet:
    """A Prometheus that can be away, beside the samples of one instance."""

    def __init__(self) -> None:
        self.away = False
        self.all: Vector = ()
        self.own: Vector = ()
        self.clock = ManualClock()
        alerts = (tank(for_="0s"), tank(name="TankEmptyLong", expr=f"max_over_time({LEVEL}[2d]) < 0.1", for_="0s"))
        known = rules("plant", [Tank(alerts).spec])
        self.engine = Engine(known, ask=self.ask, alone=self.ask_own, own=86400.0, clock=self.clock)
        self.engine.begin(past=True)

    async def ask(self, expr: str, at: float) -> Vector:
        if self.away:
            raise UnreachableError("Prometheus cannot be asked.")
        return self.all

    async def ask_own(self, expr: str, at: float) -> Vector:
        return self.own

    async def evaluated(self) -> Evaluated:
        await self.clock.advance(10)
        return await self.engine.evaluate(self.engine.groups[0], self.clock.time())

    def firing(self) -> set[str]:
        """Return the tanks that TankEmpty fires for."""
        alerts = [one for state, one in self.engine.alerts() if state.rule.name == "TankEmpty"]
        return {dict(one.labels)["tank"] for one in alerts if one.state == "firing"}


async def test_own_samples_are_asked_and_what_the_fleet_showed_is_believed() -> None:
    fleet = Fleet()
    fleet.all = (FAR,)
    await fleet.evaluated()
    assert fleet.firing() == {"a"} and fleet.engine.away == ""
    fleet.away, fleet.own = True, (NEAR,)
    for _ in range(100):
        await fleet.evaluated()
    assert fleet.firing() == {"a", "b"}, "nobody here knows whether the far tank is full again"
    assert fleet.engine.away == "Prometheus cannot be asked."
    fleet.own = ()
    await fleet.evaluated()
    assert fleet.firing() == {"a"}, "what began here ends here"
    fleet.away, fleet.all = False, ()
    await fleet.evaluated()
    assert fleet.firing() == set() and fleet.engine.away == ""


async def test_a_rule_that_looks_further_back_than_own_samples_waits_and_says_so() -> None:
    fleet = Fleet()
    fleet.away = True
    done = await fleet.evaluated()
    assert [state.rule.name for state in done.failed] == ["TankEmptyLong"]


async def test_the_status_tells_that_prometheus_is_away(tmp_path: Path) -> None:
    own = settings(
        database_url=f"sqlite:///{tmp_path / 'alerts.sqlite3'}",
        alerts={"enabled": True},
        samples={"instance": "a:1"},
        prometheus_url="http://127.0.0.1:9",  # nobody listens to port 9
    )
    async with running(Service("plant", None, [Tank()], settings=own)) as harness:

        async def told() -> bool:
            await harness.clock.advance(1)
            reasons = (await harness.client.get("/monitoring/health")).json()["reasons"]
            return any(one["component"] == "alerts" and "127.0.0.1:9" in one["error"] for one in reasons)

        await harness.eventually(told, 60)
