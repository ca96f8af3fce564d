"""What is handed over to Alertmanager, when, and what it is asked for."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from bedplate.monitor.alerts.notify import Notifier, NotifySettings
from bedplate.monitor.alerts.notify.alertmanager import payload
from bedplate.monitor.alerts.notify.metrics import FAILED, SENT, WAITING
from bedplate.monitor.alerts.notify.posting import PostError, post
from tests.unit.monitor.alerts.notify.telling import START, Engine, Receiver, alert, notice, receiver, serving


def handing(engine: Engine, manager: Receiver) -> Notifier:
    url = f"http://127.0.0.1:{manager.server_port}"
    return Notifier(NotifySettings(alertmanager_urls=(url,)), alerts=engine)  # type: ignore[arg-type]


def times(one: Any) -> tuple[str, str]:
    return one["startsAt"], one["endsAt"]


def test_an_alert_is_what_prometheus_would_send() -> None:
    links = {"runbook": "https://r", "dashboard": "https://d"}
    document = payload(alert(), START + 60, ends_in=240, links=lambda _: links)
    assert document["labels"]["alertname"] == "CacheHitRateLow"
    assert document["labels"]["cache"] == "reports"
    assert times(document) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:18:20.000Z")
    assert document["annotations"] == {
        "summary": "Reports are slow: only 42 % of them come from the cache.",
        "value": "0.42",
        "runbook": "What it means. Too few hits.\nWhat to do. Look at `bedplate_cache_evictions_total`.",
        "runbook_url": "https://r",
        "dashboard_url": "https://d",
    }
    assert document["generatorURL"] == "https://d"
    over = payload(alert(state="resolved", resolved_at=START + 30), START + 60, ends_in=240)
    assert times(over) == ("2023-11-14T22:13:20.000Z", "2023-11-14T22:13:50.000Z")


async def test_it_hears_again_and_again_while_something_fires_and_once_of_the_end() -> None:
    engine = Engine()
    with receiver() as manager:
        async with serving(engine, handing(engine, manager)) as host:
            engine.says(notice(alert(instance="a"), alert(instance="b", key="b")))
            await host.eventually(lambda: len(manager.got) == 1)
            await host.eventually(lambda: "f1" in engine.sent)
            assert manager.asked == ["POST /api/v2/alerts"]
            assert len(manager.got[0]) == 2  # each instance's alert, as Prometheus would have them
            await host.clock.advance(30)
            assert len(manager.got) == 1
            await host.clock.advance(35)
            await host.eventually(lambda: len(manager.got) == 2)
            first, second = (body[0]["endsAt"] for body in manager.got)
            assert second > first
            assert engine.sent["f1"]["alertmanager"].times == 1  # hearing again is nothing to write down
            engine.resolves("f1", START + 70)
            await host.eventually(lambda: len(manager.got) == 3)
            assert manager.got[2][0]["endsAt"] == "2023-11-14T22:14:30.000Z"
            await host.eventually(lambda: engine.sent["f1"]["alertmanager"].status == "resolved")
            await host.clock.advance(200)
            assert len(manager.got) == 3
            assert host.total(SENT, channel="alertmanager", kind="firing") == 1
            assert host.total(SENT, channel="alertmanager", kind="resolved") == 1


async def test_what_is_silenced_is_not_handed_over() -> None:
    engine = Engine()
    with receiver() as manager:
        async with serving(engine, handing(engine, manager)) as host:
            engine.says(notice(alert(silenced_by=("s1",))))
            await host.clock.advance(120)
            assert manager.asked == []


async def test_an_end_waits_for_an_alertmanager_that_is_away() -> None:
    engine = Engine()
    with receiver() as manager:
        async with serving(engine, handing(engine, manager)) as host:
            engine.says(notice())
            await host.eventually(lambda: "f1" in engine.sent)
            manager.status = 503
            engine.resolves("f1", START + 70)
            await host.eventually(lambda: host.total(FAILED, channel="alertmanager") == 1)
            assert host.total(WAITING, channel="alertmanager") == 1
            manager.status = 200

            async def told() -> bool:
                await host.clock.advance(10)
                return engine.sent["f1"]["alertmanager"].status == "resolved"

            await host.eventually(told)
            assert host.total(WAITING, channel="alertmanager") == 0


def test_a_post_carries_credentials_apart_from_the_address() -> None:
    with receiver() as server:
        seen: list[str | None] = []
        handler: Any = server.RequestHandlerClass

        class Watching(handler):  # type: ignore[misc]
            def do_POST(self) -> None:
                seen.append(self.headers["Authorization"])
                super().do_GET()

        server.RequestHandlerClass = Watching
        post(f"http://me:p%40ss@127.0.0.1:{server.server_port}/x", {}, timeout=5)
        assert seen == ["Basic " + base64.b64encode(b"me:p@ss").decode()]


def test_a_post_that_is_refused_says_why_and_not_where() -> None:
    with receiver() as server:
        server.status = 404
        with pytest.raises(PostError, match="It answers 404: no such hook") as raised:
            post(f"http://127.0.0.1:{server.server_port}/s3cret", {}, timeout=5)
        assert "s3cret" not in str(raised.value)
    with pytest.raises(PostError, match="It cannot be reached: Connection refused"):
        post(f"http://127.0.0.1:{server.server_port}/s3cret", {}, timeout=5)
