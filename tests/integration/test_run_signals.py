"""Signals at the wrong moment: while it starts, a second one, and to a supervisor."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import httpx2
import pytest

from tests.serving import run

SHOP = '''
import asyncio, os
from contextlib import asynccontextmanager
from bedplate import Service, Settings, Spec

class Part:
    """Says when it is stopped; what starts after it may take its time."""

    def __init__(self, kind, *needs, seconds=0.0):
        self.kind, self.needs, self.seconds = kind, needs, seconds

    @property
    def spec(self):
        return Spec(kind=self.kind, summary="A part.", needs=self.needs)

    @asynccontextmanager
    async def lifespan(self, host):
        print(self.kind, "starts", flush=True)
        await asyncio.sleep(self.seconds)
        yield
        print(self.kind, "stopped", flush=True)

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.Event().wait()

def build(settings: Settings) -> Service:
    base = Part("base")
    slow = Part("slow", base, seconds=float(os.environ.get("SECONDS", "0")))
    return Service("shop", app, [slow], settings=settings)
'''


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_that_is_told_to_stop_while_it_starts_unwinds_and_ends_well(tmp_path: Path, number: int) -> None:
    (tmp_path / "parts.py").write_text(SHOP)
    with run(tmp_path, target="parts:build", SECONDS="25") as shop:
        shop.eventually(lambda: "slow starts" in shop.log)
        shop.process.send_signal(number)
        began = time.monotonic()
        assert shop.process.wait(60) == 0
        assert time.monotonic() - began < 15, "it did not wait for the start"
        assert "base stopped" in shop.log and "slow stopped" not in shop.log
        assert "Traceback" not in shop.log


@pytest.mark.parametrize("options", [(), ("--workers", "1", "--run-dir", "run"), ("--workers", "2")])
def test_a_second_signal_waits_for_no_request_and_still_stops_the_components(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    (tmp_path / "parts.py").write_text(SHOP)
    with run(tmp_path, *options, target="parts:build", BEDPLATE_SERVICE__STOP_TIMEOUT="30") as shop:
        shop.ready()
        begun = threading.Event()

        def hold() -> None:
            try:
                with httpx2.stream("GET", f"http://127.0.0.1:{shop.port}/", timeout=60) as answer:
                    for _ in answer.iter_bytes():
                        begun.set()
            except httpx2.HTTPError:
                pass

        holding = threading.Thread(target=hold)
        holding.start()
        assert begun.wait(60)
        shop.process.send_signal(signal.SIGTERM)
        time.sleep(1.0)
        assert shop.process.poll() is None, "an open request may end"
        shop.process.send_signal(signal.SIGTERM)
        assert shop.process.wait(60) == 0
        holding.join()
        assert "base stopped" in shop.log
        assert "Task was destroyed" not in shop.log
        cells = list((tmp_path / "run").rglob("*.values"))
        assert len(cells) == (1 if "--run-dir" in options else 0), "what a run directory is given for is in it"
