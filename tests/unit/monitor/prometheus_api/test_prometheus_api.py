from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.monitor.prometheus_api.answers import number
from bedplate.monitor.prometheus_api.component import REQUESTS
from bedplate.monitor.prometheus_api.rules import ActiveAlert, AlertingRule, RuleGroup
from bedplate.service import Service
from bedplate.testing import Harness, ManualClock, running, settings
from bedplate.testing.harness import TOKEN

BASE = "/monitoring/prometheus/api/v1"


@asynccontextmanager
async def service(**values: Any) -> AsyncIterator[Harness]:
    async with running(Service("shop", settings=settings(**values))) as harness:
        await harness.clock.advance(60)
        yield harness


async def get(harness: Harness, call: str, status: int = 200, **params: Any) -> Any:
    answer = await harness.client.get(f"{BASE}/{call}", params=params)
    assert answer.status_code == status, answer.text
    document = answer.json()
    return document["data"] if status == 200 else (document["errorType"], document["error"])


@given(st.floats())
def test_every_value_is_written_so_that_the_same_value_is_read(value: float) -> None:
    text = number(value)
    read = float(text)
    assert read == value or (math.isnan(read) and math.isnan(value))
    assert math.copysign(1, read) == math.copysign(1, value) or math.isnan(value)
    if value == 0 or 1e-6 <= abs(value) < 1e21:
        assert "e" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (1.5e20, "150000000000000000000"),
        (1e21, "1e+21"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (2.5e-9, "2.5e-09"),
        (math.inf, "+Inf"),
    ],
)
def test_values_look_as_prometheus_writes_them(value: float, text: str) -> None:
    assert number(value) == text


async def test_times_are_unix_seconds_or_rfc_3339_and_the_present_by_default() -> None:
    async with service() as harness:
        now = harness.clock.time()
        for time in (str(now), "2023-11-14T22:14:35Z", "2023-11-14T23:14:35.000+01:00"):
            data = await get(harness, "query", query="timestamp(up) > 0", time=time)
            assert len(data["result"]) == 1, time
        assert (await get(harness, "query", query="time()"))["result"][0] == pytest.approx(now, abs=0.001)
        for time in ("", "tomorrow", "2023-11-14", "nan", "1e300", "20231114T221435"):
            status = 200 if time == "" else 400
            await get(harness, "query", status, query="up", time=time)


async def test_steps_are_seconds_or_durations_and_points_are_limited() -> None:
    async with service() as harness:
        end = harness.clock.time()
        asked = {"query": "vector(1)", "end": end}
        for step in ("15", "15s", "0.25m", "1m30s"):
            ok = step != "0.25m"
            found = await get(harness, "query_range", 200 if ok else 400, **asked, start=end - 90, step=step)
            if ok:
                assert len(found["result"][0]["values"]) == (2 if step == "1m30s" else 7)
        assert (
            len((await get(harness, "query_range", **asked, start=end - 10_999, step=1))["result"][0]["values"])
            == 11_000
        )
        kind, text = await get(harness, "query_range", 400, **asked, start=end - 11_001, step=1)
        assert (kind, "11,000 points" in text) == ("bad_data", True)


async def test_what_takes_too_long_or_too_much_is_said_as_prometheus_says_it() -> None:
    async with service(samples={"query_samples": 1000}) as harness:
        kind, text = await get(harness, "query", 422, query='count({__name__=~".+"}) + count_over_time(up[1h])')
        assert (kind, "too many samples" in text) == ("execution", True)
        kind, text = await get(harness, "query", 503, query="up", timeout="0.0000001")
        assert kind == "timeout"
        assert await harness.value(REQUESTS(call="query", outcome="timeout")) == 1
        kind, text = await get(harness, "query", 400, query="histogram_fraction(0, 1, up)")
        assert (kind, "histogram_quantile" in text) == ("bad_data", True)


async def test_a_process_that_takes_no_samples_says_so(tmp_path: Path) -> None:
    shop = Service("shop", settings=settings())
    transport = httpx2.ASGITransport(app=cast(Any, shop))
    async with shop.running(role="worker", directory=tmp_path, clock=ManualClock()):
        async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.get(f"{BASE}/query?query=up", headers={"authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.json()["errorType"]) == (503, "unavailable")


async def test_a_form_that_is_too_long_is_refused() -> None:
    async with service() as harness:
        answer = await harness.client.post(f"{BASE}/query", data={"query": "up" + " " * (1 << 20)})
        assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data")


async def test_viewers_may_read_and_post_queries_and_nobody_else_may() -> None:
    values = settings(auth={"tokens": "eve:viewer:a-viewers-token-that-nobody-guesses"})
    eve = {"authorization": "Bearer a-viewers-token-that-nobody-guesses"}
    async with running(Service("shop", settings=values), headers={}) as harness:
        for call in ("query?query=up", "labels", "series?match[]=up"):
            for method in ("GET", "POST"):
                assert (await harness.client.request(method, f"{BASE}/{call}")).status_code == 401, call
                assert (await harness.client.request(method, f"{BASE}/{call}", headers=eve)).status_code == 200, call
        for call in ("rules", "alerts", "metadata", "status/buildinfo", "label/job/values"):
            assert (await harness.client.get(f"{BASE}/{call}")).status_code == 401
            assert (await harness.client.get(f"{BASE}/{call}", headers=eve)).status_code == 200
            assert (await harness.client.post(f"{BASE}/{call}", headers=eve)).status_code == 405
        answer = await harness.client.delete(f"{BASE}/query", headers=eve)
        assert answer.status_code == 405


class Rules:
    """Rules that somebody else evaluates."""

    def rule_groups(self) -> list[RuleGroup]:
        alert = ActiveAlert(
            labels={"alertname": "Hot", "severity": "critical"},
            annotations={"summary": "It is hot."},
            state="firing",
            active_at=1_700_000_000.5,
            value=12.5,
            keep_firing_since=1_700_000_060.0,
        )
        hot = AlertingRule(
            name="Hot",
            query="degrees > 10",
            duration=60.0,
            keep_firing_for=300.0,
            alerts=[alert],
            evaluated_at=1_700_000_070.0,
        )
        broken = AlertingRule(name="Broken", query="x", duration=0, error="many match many", evaluated_at=1.0)
        return [
            RuleGroup(name="critical", interval=30.0, rules=[hot, broken], evaluated_at=1_700_000_070.0),
            RuleGroup(name="idle", interval=30.0, rules=[AlertingRule(name="Cold", query="y", duration=0)]),
        ]


async def test_rules_and_alerts_of_whoever_evaluates_them_are_shown() -> None:
    async with service() as harness:
        api = harness.service.builtins.prometheus_api
        api.rules = None
        assert await get(harness, "rules") == {"groups": []}
        assert await get(harness, "alerts") == {"alerts": []}
        api.rules = Rules()
        critical, idle = (await get(harness, "rules"))["groups"]
        hot, broken = critical["rules"]
        assert (hot["state"], hot["health"], hot["keepFiringFor"]) == ("firing", "ok", 300.0)
        assert hot["alerts"][0]["activeAt"] == "2023-11-14T22:13:20.500000Z"
        assert hot["alerts"][0]["value"] == "1.25e+01"
        assert hot["alerts"][0]["keepFiringSince"] == "2023-11-14T22:14:20Z"
        assert (broken["health"], broken["lastError"]) == ("err", "many match many")
        assert (idle["rules"][0]["health"], idle["lastEvaluation"]) == ("unknown", "0001-01-01T00:00:00Z")
        assert [alert["labels"]["alertname"] for alert in (await get(harness, "alerts"))["alerts"]] == ["Hot"]
        chosen = await get(harness, "rules", **{"rule_name[]": "Cold", "exclude_alerts": "true"})
        assert [group["name"] for group in chosen["groups"]] == ["idle"]
        assert [group["name"] for group in (await get(harness, "rules", **{"rule_group[]": "idle"}))["groups"]] == [
            "idle"
        ]
        assert (await get(harness, "rules", type="record"))["groups"] == []
        without = await get(harness, "rules", exclude_alerts="true")
        assert without["groups"][0]["rules"][0]["alerts"] == []


async def test_limits_cut_what_there_is_to_ask_for() -> None:
    async with service() as harness:
        assert len(await get(harness, "label/__name__/values", limit=3)) == 3
        assert len(await get(harness, "labels", limit=2)) == 2
        assert len(await get(harness, "series", **{"match[]": '{__name__=~"bedplate.*"}', "limit": "4"})) == 4
        assert (await get(harness, "labels", 400, limit="many"))[0] == "bad_data"


async def test_queries_wait_for_their_turn_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bedplate.monitor.prometheus_api.component._AT_ONCE", 0)
    async with service(samples={"query_timeout": 0.05}) as harness:
        kind, text = await get(harness, "query", 503, query="up")
        assert (kind, "queue" in text) == ("timeout", True)


async def test_an_answer_with_too_many_points_is_refused_before_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bedplate.monitor.prometheus_api.answers._MOST_POINTS", 50)
    async with service() as harness:
        end = harness.clock.time()
        kind, text = await get(harness, "query_range", 422, query="vector(1)", start=end - 60, end=end, step=1)
        assert (kind, "61 points" in text) == ("execution", True)
