"""The rules that the process evaluates, as Prometheus' clients see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bedplate.component import Host, Spec
from bedplate.declarations import Alert, Runbook, Series
from bedplate.metric import Gauge
from bedplate.service import Service
from bedplate.testing import running, settings

HEAT = Gauge("oven_heat_celsius", "How hot the oven is.", {"oven": 5}, unit="celsius")


class Oven:
    @property
    def spec(self) -> Spec:
        hot = Alert(
            name="OvenHot",
            expr=f"{HEAT} > 250",
            summary="The oven {{ $labels.oven }} is {{ $value }} degrees hot.",
            severity="critical",
            for_="1m",
            fires=(Series(str(HEAT(oven="a")), "300x10"),),
            quiet=(Series(str(HEAT(oven="a")), "200x10"),),
        )
        book = Runbook(text="## OvenHot\nSwitch it off.")
        return Spec(kind="oven", summary="Bakes.", metrics=(HEAT,), alerts=(hot,), runbook=book)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self.heat = host.bind(HEAT, oven="a")
        yield


async def test_an_alert_that_fires_in_the_process_is_listed_with_its_rule() -> None:
    oven = Oven()
    service = Service("test", None, [oven], settings=settings(alerts={"enabled": True}))
    async with running(service) as harness:
        oven.heat.set(300)

        async def fires() -> bool:
            await harness.clock.advance(5)
            alerts = (await harness.client.get("/monitoring/prometheus/api/v1/alerts")).json()["data"]["alerts"]
            return any(one["labels"]["alertname"] == "OvenHot" and one["state"] == "firing" for one in alerts)

        await harness.eventually(fires, timeout=30)
        groups = (await harness.client.get("/monitoring/prometheus/api/v1/rules")).json()["data"]["groups"]
        (rule,) = (rule for group in groups for rule in group["rules"] if rule["name"] == "OvenHot")
        assert rule["query"] == 'oven_heat_celsius{job="test"} > 250'
        assert (rule["state"], rule["health"], rule["duration"]) == ("firing", "ok", 60.0)
        (alert,) = rule["alerts"]
        assert alert["annotations"]["summary"] == "The oven a is 300 degrees hot."
        assert alert["labels"]["severity"] == "critical"
