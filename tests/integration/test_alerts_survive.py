"""An alert over the death of its process: it goes on firing, and nobody takes it for a new one."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.serving import Running, run

SERVICE = """
from contextlib import asynccontextmanager
from pathlib import Path
from bedplate import Alert, Gauge, Runbook, Series, Service, Settings, Spec

DEPTH = Gauge("shop_queue_depth", "Orders that wait.", merge="max")

class Queue:
    spec = Spec(
        kind="queue",
        summary="Orders that wait.",
        metrics=(DEPTH,),
        alerts=(
            Alert(
                name="QueueTooDeep", expr=f"max_over_time({DEPTH}[5m]) > 10", for_="2m", severity="critical",
                summary="{{ $value }} orders wait.",
                fires=(Series(str(DEPTH), "20x20"),), quiet=(Series(str(DEPTH), "1x20"),),
            ),
        ),
        runbook=Runbook(text="## QueueTooDeep\\n\\nStart another worker."),
    )

    @asynccontextmanager
    async def lifespan(self, host):
        host.bind(DEPTH).set(float(Path("depth").read_text()))
        yield

def build(settings: Settings) -> Service:
    return Service("shop", None, [Queue()], settings=settings)
"""


def environment(file: Path) -> dict[str, str]:
    return {
        "DATABASE_URL": f"sqlite:///{file}",
        "BEDPLATE_SAMPLES__INSTANCE": "shop-1",
        "BEDPLATE_SAMPLES__INTERVAL": "0.5",
        "BEDPLATE_ALERTS__TIME_SCALE": "0.02",
    }


def alert(shop: Running) -> dict[str, Any] | None:
    answer = shop.get("/monitoring/prometheus/api/v1/alerts")
    if answer.status_code != 200:
        return None
    found = [one for one in answer.json()["data"]["alerts"] if one["labels"]["alertname"] == "QueueTooDeep"]
    return found[0] if found else None


def fires(shop: Running) -> dict[str, Any] | None:
    found = alert(shop)
    return found if found is not None and found["state"] == "firing" else None


def test_it_fires_on_after_its_process_was_killed_and_is_resolved_by_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "shop_queue.py").write_text(SERVICE)
    (tmp_path / "depth").write_text("40")
    options = {"target": "shop_queue:build", **environment(tmp_path / "shop.sqlite3")}
    with run(tmp_path, **options) as shop:
        shop.ready()
        first = shop.eventually(lambda: fires(shop))
        assert first["labels"]["instance"] == "shop-1"
        assert shop.metric(r"bedplate_database_up\{") == 1
        shop.eventually(lambda: shop.metric(r"bedplate_alerts_unsaved") == 0)
        os.kill(shop.process.pid, signal.SIGKILL)
        shop.process.wait()
    with run(tmp_path, **options) as shop:
        shop.ready()
        again = shop.eventually(lambda: fires(shop))
        assert again["activeAt"] == first["activeAt"]
        shop.eventually(lambda: shop.metric(r"bedplate_alerts_evaluations_total\{.*queue") > 5)
        assert fires(shop) is not None
    (tmp_path / "depth").write_text("0")
    with run(tmp_path, **options) as shop:
        shop.ready()
        shop.eventually(lambda: alert(shop) is None and shop.metric(r"bedplate_alerts_evaluations_total\{.*queue") > 5)
        history = shop.get("/monitoring/unified/alerts").json()
        assert "QueueTooDeep" in str(history)
        assert "Traceback" not in shop.log
