"""From a number that goes wrong to people, Alertmanager and the command line, with real processes on all sides."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app
from tests.prometheus import Alertmanager, alertmanager
from tests.serving import Running, run
from tests.unit.monitor.alerts.notify.telling import Receiver, receiver

SERVICE = """
from contextlib import asynccontextmanager
from fastapi import FastAPI
from bedplate import Alert, Gauge, Host, Runbook, Series, Service, Settings, Spec

DEPTH = Gauge("shop_queue_depth", "Orders that wait.", {"queue": ("orders", "returns")}, merge="sum")
app = FastAPI()

class Queues:
    spec = Spec(
        kind="queues",
        summary="Orders that wait.",
        metrics=(DEPTH,),
        alerts=(
            Alert(
                name="QueuesTooDeep", expr=f"max by (queue) ({DEPTH}) > 10", for_="30s", severity="critical",
                summary="{{ $value }} orders wait in {{ $labels.queue }}.",
                fires=(Series(str(DEPTH(queue="orders")), "20x20"),),
                quiet=(Series(str(DEPTH(queue="orders")), "1x20"),),
            ),
        ),
        runbook=Runbook(text="## QueuesTooDeep\\n\\nStart another worker."),
    )

    def overview(self):
        return {"deepest": self.deepest}

    @asynccontextmanager
    async def lifespan(self, host: Host):
        self.deepest = 0
        @app.put("/depth/{queue}/{orders}")
        async def put(queue: str, orders: int) -> None:
            self.deepest = orders
            host.bind(DEPTH, queue=queue).set(orders)
        for queue in ("orders", "returns"):
            host.bind(DEPTH, queue=queue).set(0)
        yield

def build(settings: Settings) -> Service:
    return Service("shop", app, [Queues()], settings=settings)
"""


class Place:
    """A shop with somebody who is told, and an Alertmanager."""

    def __init__(self, shop: Running, hook: Receiver, manager: Alertmanager) -> None:
        self.shop = shop
        self.hook = hook
        self.manager = manager

    def depth(self, queue: str, orders: int) -> None:
        assert self.shop.client.put(f"/depth/{queue}/{orders}").status_code == 200

    def told(self, title: str) -> bool:
        return any(each.startswith(title) for each in self.hook.titles)

    def unified(self, path: str) -> Any:
        return self.shop.get(f"/monitoring/unified/{path}").json()

    def command(self, *arguments: str) -> Result:
        first, *rest = arguments
        return CliRunner().invoke(app, ["alerts", first, "--url", f"http://127.0.0.1:{self.shop.port}", *rest])

    def answer(self, *arguments: str) -> Any:
        result = self.command(*arguments, "--json")
        return json.loads(result.stdout)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "queues.py").write_text(SERVICE)
    (tmp_path / "am").mkdir()
    with receiver() as hook, alertmanager(tmp_path / "am") as manager:
        environment = {
            "BEDPLATE_ALERTS__NOTIFY_URLS": hook.url,
            "BEDPLATE_ALERTS__ALERTMANAGER_URLS": manager.url,
            "BEDPLATE_ALERTS__ALERTMANAGER_RESEND": "1",
            "BEDPLATE_ALERTS__TIME_SCALE": "0.02",
            "BEDPLATE_SAMPLES__INTERVAL": "0.25",
            "BEDPLATE_SAMPLES__INSTANCE": "shop-1",
            "BEDPLATE_SERVICE__PUBLIC_URL": "https://shop.example",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}",
        }
        with run(tmp_path, target="queues:build", **environment) as shop:
            shop.ready()
            yield Place(shop, hook, manager)


def handed_over(place: Place) -> dict[str, str]:
    return {
        alert["labels"]["queue"]: alert["status"]["state"]
        for alert in place.manager.alerts()
        if alert["labels"]["alertname"] == "QueuesTooDeep"
    }


def test_an_alert_reaches_everybody_and_its_end_does_too(place: Place) -> None:
    shop = place.shop
    assert shop.eventually(lambda: place.unified("health")["status"] == "healthy")
    place.depth("orders", 25)
    shop.eventually(lambda: place.told("[critical] QueuesTooDeep on shop"))
    (told,) = [each for each in place.hook.got if "QueuesTooDeep" in each["title"]]
    assert told["type"] == "failure"
    for line in (
        "25 orders wait in orders.",
        "Start another worker.",
        "Labels: queue=orders",
        "Runbook: https://shop.example/console/components/queues/default",
    ):
        assert line in told["message"]
    shop.eventually(lambda: handed_over(place) == {"orders": "active"})
    (handed,) = [each for each in place.manager.alerts() if each["labels"]["alertname"] == "QueuesTooDeep"]
    assert handed["annotations"]["summary"] == "25 orders wait in orders."
    assert handed["labels"]["job"] == "shop"

    whole = shop.get("/monitoring/unified/health")
    assert (whole.status_code, whole.json()["status"]) == (503, "unhealthy")
    assert whole.json()["reasons"][0]["text"] == "25 orders wait in orders."
    assert shop.get("/readyz").status_code == 200  # an alert takes no instance out of rotation
    numbers = place.unified("metrics")
    assert (numbers["system"]["status"], numbers["alerts"]["critical"]) == ("unhealthy", 1)
    assert numbers["queues"] == {"deepest": 25}

    assert place.command("list", "--exit-code").exit_code == 1
    (alert,) = place.answer("list", "--name", "QueuesTooDeep")["alerts"]
    done = place.command("ack", "QueuesTooDeep", "-m", "more workers")
    assert f"looks after QueuesTooDeep ({alert['fingerprint']})" in done.stdout
    assert "is on it" in place.command("list").stdout
    cause = next(each for each in place.unified("health")["reasons"] if each["alert"])
    assert cause["acknowledged"]

    place.depth("orders", 0)
    shop.eventually(lambda: place.told("[resolved] QueuesTooDeep on shop"))
    shop.eventually(lambda: handed_over(place) == {})
    shop.eventually(lambda: place.unified("health")["status"] == "healthy")
    changes = [(item["before"], item["state"]) for item in place.answer("history", "--name", "QueuesTooDeep")["items"]]
    assert changes == [("firing", "resolved"), ("pending", "firing"), ("inactive", "pending")]
    assert place.command("list", "--exit-code").exit_code == 0
    assert len([title for title in place.hook.titles if "QueuesTooDeep" in title]) == 2


def test_what_is_silenced_tells_nobody_until_the_silence_is_ended(place: Place) -> None:
    shop = place.shop
    made = place.command("silence", "QueuesTooDeep", "queue=returns", "--for", "1h", "-m", "stocktaking")
    assert made.exit_code == 0, made.output
    (silence,) = place.answer("silences")["silences"]
    assert silence["matchers"] == ['alertname="QueuesTooDeep"', 'queue="returns"']
    assert "stocktaking" in place.command("silences").stdout
    place.depth("returns", 30)
    place.depth("orders", 25)
    shop.eventually(lambda: place.told("[critical] QueuesTooDeep"))
    shop.eventually(lambda: len(place.answer("list", "--state", "firing")["alerts"]) == 2)
    shop.eventually(lambda: handed_over(place) == {"orders": "active"})
    counts = place.unified("metrics")["alerts"]
    assert (counts["critical"], counts["silenced"]) == (1, 1)
    assert not any("returns" in each["message"] for each in place.hook.got)
    assert "has ended" in place.command("expire", silence["id"]).stdout
    shop.eventually(lambda: any("30 orders wait in returns." in each["message"] for each in place.hook.got))
    assert place.answer("silences")["silences"] == []
    assert [each["state"] for each in place.answer("silences", "--expired")["silences"]] == ["expired"]


def test_problems_are_told_in_a_sentence(place: Place) -> None:
    shop = place.shop
    shop.eventually(lambda: place.command("ack", "QueuesTooDeep").exit_code == 2)
    refused = place.command("ack", "QueuesTooDeep")
    assert "is not active; there is nothing to do" in refused.stderr
    assert "There is no alert deadbeef" in place.command("ack", "deadbeef").stderr
    assert "is no condition" in place.command("silence", "queue=~").stderr + place.command("silence", "a=b=c d").stderr
    assert place.command("silence", "QueuesTooDeep", "--for", "soon").exit_code == 2
    assert "there" in place.command("expire", "nothing").stderr.lower()
    assert place.answer("list", "--prefix", "/elsewhere")["ok"] is False


def test_a_restart_tells_nothing_twice_and_forgets_nothing(place: Place, tmp_path: Path) -> None:
    place.depth("orders", 25)
    sent = r'bedplate_notify_sent_total\{channel="json",kind="firing"'
    place.shop.eventually(lambda: place.told("[critical] QueuesTooDeep") and place.shop.metric(sent) >= 1)
    place.shop.process.kill()
    place.shop.process.wait()
    environment = {
        "BEDPLATE_ALERTS__NOTIFY_URLS": place.hook.url,
        "BEDPLATE_ALERTS__TIME_SCALE": "0.02",
        "BEDPLATE_SAMPLES__INTERVAL": "0.25",
        "BEDPLATE_SAMPLES__INSTANCE": "shop-1",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}",
    }
    with run(tmp_path, target="queues:build", **environment) as shop:
        shop.ready()
        shop.eventually(lambda: place.told("[resolved] QueuesTooDeep"))
    assert len([title for title in place.hook.titles if "QueuesTooDeep" in title]) == 2


def test_two_instances_tell_once(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    with receiver() as hook, ExitStack() as stack:
        shops = []
        for folder in folders:
            folder.mkdir()
            (folder / "queues.py").write_text(SERVICE)
            environment = {
                "BEDPLATE_ALERTS__NOTIFY_URLS": hook.url,
                "BEDPLATE_ALERTS__TIME_SCALE": "0.02",
                "BEDPLATE_ALERTS__SYNC_INTERVAL": "0.5",
                "BEDPLATE_SAMPLES__INTERVAL": "0.25",
                "BEDPLATE_SAMPLES__INSTANCE": folder.name,
                "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}",
            }
            shops.append(stack.enter_context(run(folder, target="queues:build", **environment)))
            shops[-1].ready()
        for shop in shops:
            assert shop.client.put("/depth/orders/25").status_code == 200
        for shop in shops:
            shop.eventually(lambda shop=shop: "alert_firing" in shop.log and "QueuesTooDeep" in shop.log)
        shops[0].eventually(lambda: any("QueuesTooDeep" in title for title in hook.titles))
        current = shops[0].get("/monitoring/unified/alerts", params={"name": "QueuesTooDeep"})
        shops[0].eventually(
            lambda: (
                {"one", "two"}
                == {
                    alert["instance"]
                    for alert in shops[0].get("/monitoring/unified/alerts?name=QueuesTooDeep").json()["current"]
                }
            )
        )
        assert len({alert["fingerprint"] for alert in current.json()["current"]}) == 1
        for shop in shops:
            assert shop.client.put("/depth/orders/0").status_code == 200
        shops[0].eventually(lambda: any(title.startswith("[resolved] QueuesTooDeep") for title in hook.titles))
    assert [title for title in hook.titles if "QueuesTooDeep" in title] == [
        "[critical] QueuesTooDeep on shop",
        "[resolved] QueuesTooDeep on shop",
    ]


def test_with_several_workers_the_process_that_watches_tells(tmp_path: Path) -> None:
    (tmp_path / "queues.py").write_text(SERVICE)
    with receiver() as hook:
        environment = {
            "BEDPLATE_ALERTS__NOTIFY_URLS": hook.url,
            "BEDPLATE_ALERTS__TIME_SCALE": "0.02",
            "BEDPLATE_SAMPLES__INTERVAL": "0.25",
            "DATABASE_URL": f"sqlite:///{tmp_path / 'shop.db'}",
        }
        with run(tmp_path, "--workers", "2", target="queues:build", **environment) as shop:
            shop.ready()
            assert shop.client.put("/depth/orders/25").status_code == 200
            shop.eventually(lambda: any(title.startswith("[critical] QueuesTooDeep") for title in hook.titles))
            shop.eventually(lambda: shop.get("/monitoring/unified/metrics").json()["alerts"]["critical"] == 1)
            path = "/monitoring/components/notifier/default/actions/test-notification"
            assert shop.client.post(path, json={}).json()["result"]["channels"] == [
                {"channel": "json", "delivered": True}
            ]
    assert len([title for title in hook.titles if title.startswith("[critical] QueuesTooDeep")]) == 1
