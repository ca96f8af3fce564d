"""The component: started by a button, carried out by its worker, shown by metrics, routes and the console."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from bedplate.database import Database, DatabaseSettings
from bedplate.database.cutover import Cutover
from bedplate.problems import RefusedError
from bedplate.service import Service
from bedplate.testing import CASES, Harness, running, settings
from bedplate.testing.conformance import a_failing_neighbour_unwinds_it, starts_and_stops_twice
from tests.unit.console.site import a_site, send, sign_in
from tests.unit.database.cutover_machine.scripted_cutover import Script

_ACTIONS = "/monitoring/components/cutover/{}/actions/{}"


def cutover(url: str, name: str, script: Script | None = None) -> Cutover:
    steps = script.steps() if script is not None else None
    return Cutover(Database(url), name, tables="orders", key="organization_id", partitions=4, steps=steps)


def embedded() -> Cutover:
    return Cutover(Database(), tables="orders", key="organization_id")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_it_conforms_where_there_is_nothing_to_do(case: Any) -> None:
    await case(embedded)


@pytest.mark.parametrize("case", [starts_and_stops_twice, a_failing_neighbour_unwinds_it])
async def test_it_conforms_on_a_server(case: Any, machine_url: str, name: str) -> None:
    await case(lambda: cutover(machine_url, name, Script()))


async def press(harness: Harness, name: str, action: str, status: int = 200, **parameters: Any) -> Any:
    answer = await harness.client.post(_ACTIONS.format(name, action), json=parameters)
    assert answer.status_code == status, answer.text
    return answer.json()


async def smoke(harness: Harness) -> list[str]:
    answer = await harness.client.post("/monitoring/components/checks/default/actions/run", json={"suite": "smoke"})
    assert answer.status_code == 200, answer.text
    return [one["outcome"] for one in answer.json()["result"]["results"] if one["group"] == "partition sync"]


async def test_buttons_write_what_is_wanted_and_the_worker_does_it(machine_url: str, name: str) -> None:
    component = cutover(machine_url, name, Script())
    async with running(component) as harness:
        refused = await press(harness, name, "switch", 409)
        assert "It has not begun" in refused["detail"]
        await press(harness, name, "start")

        async def is_(state: str) -> bool:
            assert component.running is not None
            record = (await component.running.look()).record
            return record is not None and record.state == state and record.wanted in ("verified", "")

        await harness.eventually(lambda: is_("verified"), 60)
        await press(harness, name, "switch")
        await harness.eventually(lambda: is_("switched"), 60)
        refused = await press(harness, name, "finalize", 409, confirm="yes")
        assert f"Type the name: {name}" in refused["detail"]
        await press(harness, name, "finalize", confirm=name)
        await harness.eventually(lambda: is_("finalized"), 60)
        assert await harness.value("bedplate_cutover_state", cutover=name, state="finalized") == 1
        assert "nothing left" in (await press(harness, name, "rollback", 409))["detail"]


async def test_what_is_told_over_http_and_to_the_page_of_everything(machine_url: str, name: str) -> None:
    component = cutover(machine_url, name, Script())
    async with running(component) as harness:
        await press(harness, name, "start")
        metrics = (await harness.client.get("/monitoring/partitions/metrics")).json()
        assert metrics["cutover"] == name and metrics["thresholds"] == {"warning": 10, "critical": 100}
        assert {"score", "ready", "reasons"} <= metrics["switchoverReadiness"].keys()
        stats = (await harness.client.get("/monitoring/partitions/table-stats")).json()
        assert stats["tables"]["orders"]["live"]["sizeBytes"] > 0 and "orders" in stats["recentWrites"]
        events = (await harness.client.get("/monitoring/partitions/events")).json()["events"]
        assert events[-1]["event"] == "start" and events[-1]["actor"] == "test"
        unified = (await harness.client.get("/monitoring/unified/metrics")).json()
        assert unified["cutover"]["cutover"] == name
        assert (await harness.client.get("/monitoring/partitions/metrics?cutover=none")).status_code == 404
        assert await smoke(harness) == ["passed"] * 5


async def test_its_page_shows_the_way_the_time_line_and_what_may_be_pressed(machine_url: str, name: str) -> None:
    component, path = cutover(machine_url, name, Script()), f"/console/components/cutover/{name}"
    async with a_site([component]) as site:
        assert component.running is not None
        await component.running.look()
        await sign_in(site, "viewer")
        page = (await site.client.get(path)).text
        assert "It has not begun" in page and f"{path}/actions/start" not in page, "viewers press nothing"
        await sign_in(site, "admin")
        page = (await site.client.get(path)).text
        assert f'href="{path}/actions/start"' in page and f"{path}/actions/switch" not in page
        assert (await send(site, f"{path}/actions/start", step="do")).status_code == 200
        page = (await site.client.get(path)).text
        assert re.search(r"<ol class=\"steps\">.*backfilling.*</ol>", page, re.DOTALL)
        assert re.search(r"Time line.*Start.*by admin", page, re.DOTALL)


async def test_on_sqlite_it_says_that_there_is_nothing_to_do() -> None:
    component = embedded()
    async with running(component) as harness:
        metrics = (await harness.client.get("/monitoring/partitions/metrics")).json()
        assert metrics["state"] == "not needed" and "SQLite" in metrics["reason"]
        assert (await harness.client.get("/monitoring/partitions/table-stats")).json()["state"] == "not needed"
        assert "SQLite" in (await press(harness, "default", "start", 409))["detail"]
        assert await harness.value("bedplate_cutover_state", state="not needed") == 1
        assert (await harness.client.get("/monitoring/unified/metrics")).json()["cutover"]["state"] == "not needed"
        assert await smoke(harness) == ["passed"] * 5


def test_behind_a_pooler_it_wants_the_primarys_own_address() -> None:
    pooled = Database("postgresql://bouncer/ledger", settings=DatabaseSettings(pooler="transaction"))
    plan: dict[str, Any] = {"tables": "orders", "key": "organization_id"}
    with pytest.raises(RefusedError, match="DATABASE_PRIMARY_URL"):
        Service("ledger", None, [Cutover(pooled, **plan)], settings=settings()).check()
    direct = Cutover(pooled, primary="postgresql://primary/ledger", **plan)
    Service("ledger", None, [direct], settings=settings()).check()


async def test_the_tables_are_as_they_are_declared(machine_url: str) -> None:
    from sqlalchemy import create_engine

    from bedplate.database.cutover.machine.tables import METADATA
    from bedplate.database.migrations import drift

    with psycopg.connect(machine_url) as opened:
        engine = create_engine("postgresql+psycopg://", creator=lambda: opened)
        with engine.connect() as connection:
            assert drift(connection, METADATA) == []
