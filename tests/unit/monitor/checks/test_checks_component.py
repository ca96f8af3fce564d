"""A service that tells its checks and checks itself, without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from bedplate.component import Component, Host, Spec
from bedplate.declarations import Check
from bedplate.service import Service
from bedplate.settings import Settings
from bedplate.testing import Harness, running, settings

TOKEN = "operator-token-that-is-long-enough"


class Shop:
    """Declares checks; whether it breaks is the test's decision."""

    @property
    def spec(self) -> Spec:
        return Spec(
            kind="shop",
            summary="Sells.",
            checks=(
                Check(name="door", path="/door?open=yes", fields=("open",)),
                Check(name="hidden", path="/hidden", role="operator"),
            ),
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        yield


class Open:
    """What the application waits for before it answers."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()


def shop(given: Settings | None = None, gate: Open | None = None) -> Service:
    app, door = FastAPI(), gate or Open()

    @app.get("/door")
    async def opened(open: str) -> dict[str, str]:
        await door.gate.wait()
        return {"open": open}

    @app.get("/hidden")
    async def hidden() -> dict[str, str]:
        raise RuntimeError("boom")

    components: list[Component] = [Shop()]
    return Service("shop", app, components, settings=given or settings())


async def press(harness: Harness, **parameters: Any) -> dict[str, Any]:
    answer = await harness.client.post("/monitoring/components/checks/default/actions/run", json=parameters)
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()["result"]
    return {**result, "by_name": {row["name"]: row for row in result["results"]}}


async def test_the_service_checks_itself_as_a_client_would() -> None:
    async with running(shop()) as harness:
        report = await press(harness)
        rows = report["by_name"]
        assert rows["shop/door"]["outcome"] == "passed"
        assert rows["shop/hidden"]["outcome"] == "failed"
        assert "500" in rows["shop/hidden"]["detail"]
        assert rows["checks/list"]["outcome"] == rows["logs.request"]["outcome"] == "passed"
        assert rows["traces.request"]["outcome"] == "passed"
        assert report["failed"] == len([row for row in report["results"] if row["outcome"] == "failed"])
        smoke = await press(harness, suite="smoke")
        assert {row["suite"] for row in smoke["results"]} == {"smoke"}
        assert len(smoke["results"]) < len(report["results"])


async def test_everybody_is_told_what_everybody_may_run_and_how_much_more_there_is() -> None:
    async with running(shop()) as harness:
        whole = (await harness.client.get("/monitoring/checks")).json()
        assert (whole["service"], whole["environment"], whole["grant"], whole["hidden"]) == (
            "shop",
            "test",
            "admin",
            {},
        )
        harness.client.headers.pop("authorization")
        answer = await harness.client.get("/monitoring/checks")
        part = answer.json()
        names = {check["name"] for check in part["checks"]}
        assert "shop/door" in names
        assert "shop/hidden" not in answer.text
        assert part["grant"] is None
        assert len(names) + sum(part["hidden"].values()) == len(whole["checks"])
        wrong = await harness.client.get("/monitoring/checks", headers={"authorization": "Bearer wrong"})
        assert wrong.status_code == 401


async def test_a_viewer_sees_less_than_an_operator_and_may_not_run_them() -> None:
    given = settings(auth={"tokens": f"eve:viewer:{TOKEN}, scraper:metrics:{TOKEN}2"})
    async with running(shop(given)) as harness:
        harness.client.headers["authorization"] = f"Bearer {TOKEN}"
        listing = (await harness.client.get("/monitoring/checks")).json()
        names = {check["name"] for check in listing["checks"]}
        assert "shop.runs" in names and "shop/hidden" not in names
        assert listing["hidden"] == {"smoke": 1}
        denied = await harness.client.post("/monitoring/components/checks/default/actions/run", json={})
        assert denied.status_code == 403
        harness.client.headers["authorization"] = f"Bearer {TOKEN}2"
        assert "shop.runs" not in (await harness.client.get("/monitoring/checks")).text


async def test_outside_development_its_doors_are_tried_as_a_stranger() -> None:
    given = Settings(environment="staging", auth={"tokens": f"op:admin:{TOKEN}"}, logs={"stream": "off"})
    async with running(shop(given)) as harness:
        harness.client.headers["authorization"] = f"Bearer {TOKEN}"
        rows = (await press(harness, suite="smoke"))["by_name"]
        assert rows["health/healthz-closed"]["outcome"] == "passed"
        # The application answers anybody: that it does not keep its promise is found.
        assert rows["shop/hidden-closed"]["outcome"] == "failed"


async def test_the_process_that_watches_does_not_ask_for_what_others_serve() -> None:
    async with running(shop(), role="ops") as harness:
        rows = (await press(harness))["by_name"]
        assert "shop/door" not in rows
        assert rows["shop.runs"]["outcome"] == rows["logs.request"]["outcome"] == "passed"


async def test_they_run_once_at_a_time() -> None:
    gate = Open()
    async with running(shop(gate=gate)) as harness:
        gate.gate.clear()
        first = asyncio.create_task(press(harness, suite="smoke"))
        detail = "/monitoring/components/checks/default"

        async def refused() -> bool:
            actions = (await harness.client.get(detail)).json()["actions"]
            return bool(actions[0]["refused"])

        await harness.eventually(refused)
        second = await harness.client.post(f"{detail}/actions/run", json={})
        assert second.status_code == 409
        gate.gate.set()
        assert (await first)["by_name"]["shop/door"]["outcome"] == "passed"
        assert not await refused()
