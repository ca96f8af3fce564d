"""Processes of one service killed and stopped at random moments, under load and concurrent scrapes."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.endurance import dice, size, tell
from tests.serving import Running, run

SECONDS = size(3.0, 180.0)

SHOP = '''
from contextlib import asynccontextmanager
from bedplate import Counter, Service, Settings, Spec

SERVED = Counter("shop_served_total", "Answers that were about to be sent.")

class Till:
    """Counts every answer just before it is sent."""

    @property
    def spec(self):
        return Spec(kind="till", summary="Counts answers.", metrics=(SERVED,))

    @asynccontextmanager
    async def lifespan(self, host):
        self.served = host.bind(SERVED)
        yield

till = Till()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    till.served.inc()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

def build(settings: Settings) -> Service:
    return Service("shop", app, [till], settings=settings)
'''


class Load:
    """Requests and scrapes, and what became of them."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answered = 0
        self.unknown = 0
        self.scrapes = 0
        self.away = 0
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._over = threading.Event()

    def request(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3)
        answered = False
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/buy")
            answer = connection.getresponse()
            answered = answer.read() == b"ok"
        with self._lock:
            self.answered += answered
            self.unknown += not answered

    def scrape(self) -> float | None:
        try:
            answer = httpx2.get(f"http://127.0.0.1:{self.port}/metrics", timeout=7)
        except httpx2.HTTPError:
            return None
        if answer.status_code == 503:
            self.away += 1
            if answer.headers.get("content-type") != "application/problem+json" or "retry-after" not in answer.headers:
                self.faults.append(f"503 is no problem: {answer.headers} {answer.text[:200]}")
            return None
        if answer.status_code != 200:
            self.faults.append(f"{answer.status_code} {answer.text[:300]}")
            return None
        self.scrapes += 1
        return sample(answer.text, "shop_served_total ")

    def _scraping(self) -> None:
        last = 0.0
        while not self._over.is_set():
            value = self.scrape()
            if value is not None:
                if value < last:
                    self.faults.append(f"the counter fell from {last} to {value}")
                last = value
            time.sleep(0.01)

    def _requesting(self) -> None:
        while not self._over.is_set():
            self.request()

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        work: list[Callable[[], None]] = [self._requesting, self._requesting, self._scraping, self._scraping]
        threads = [threading.Thread(target=each) for each in work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()


def sample(text: str, pattern: str) -> float:
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(pattern, line))


def children(shop: Running) -> dict[int, str]:
    """Return the processes under the supervisor, by their role."""
    found = {}
    for child in psutil.Process(shop.process.pid).children():
        with contextlib.suppress(psutil.Error):
            command = child.cmdline()
            found[child.pid] = command[command.index("--role") + 1] if "--role" in command else ""
    return found


def complete(shop: Running) -> bool:
    return sorted(children(shop).values()) == ["ops", "web", "web"]


def harm(shop: Running, source: random.Random) -> bool:
    """Kill a process, or stop it for a moment; return whether it was killed."""
    if not (living := sorted(children(shop))):
        return False
    victim = source.choice(living)
    with contextlib.suppress(ProcessLookupError):
        if source.random() < 0.4:
            os.kill(victim, signal.SIGKILL)
            return True
        os.kill(victim, signal.SIGSTOP)
        time.sleep(source.uniform(0.05, 0.4))
        os.kill(victim, signal.SIGCONT)
    return False


@pytest.mark.timeout(SECONDS * 3 + 120)
def test_every_answer_is_counted_once_whoever_is_killed_or_stopped(tmp_path: Path) -> None:
    source = dice()
    (tmp_path / "till.py").write_text(SHOP)
    with run(tmp_path, "--workers", "2", target="till:build") as shop:
        # Children that are still importing have no handler yet; being told to reload must not kill them.
        shop.eventually(lambda: complete(shop))
        for _ in range(5):
            shop.process.send_signal(signal.SIGHUP)
            time.sleep(0.2)
        shop.ready()
        shop.eventually(lambda: shop.get("/metrics").status_code == 200)
        assert "restarting" not in shop.log

        load, kills = Load(shop.port), 0
        with load.going_on():
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                time.sleep(source.uniform(0.05, 0.5))
                kills += harm(shop, source)
            # One of each at least, whatever the dice said.
            for role in ("web", "ops"):
                # The dice may have ended the last one just now.
                shop.eventually(lambda: complete(shop))
                os.kill(next(pid for pid, its in children(shop).items() if its == role), signal.SIGKILL)
                kills += 1
                shop.eventually(lambda: complete(shop) and shop.get("/metrics").status_code == 200)
        shop.ready()

        assert load.faults == []
        assert load.scrapes > 2 and load.answered > 20, "there was a load"
        for _ in range(3):
            text = shop.eventually(lambda: shop.get("/metrics").text)
            served = sample(text, "shop_served_total ")
            assert load.answered <= served <= load.answered + load.unknown, (load.answered, load.unknown)
            # A worker counts a request when its answer is out: one that dies in between has sent and not counted it.
            timed = sample(text, r'http_server_request_duration_seconds_count\{.*status_code="200"')
            operated = sample(text, r'http_server_request_duration_seconds_count\{.*http_route="/metrics".*"200"')
            assert load.answered - kills <= timed - operated <= load.answered + load.unknown

        figures = {"answered": load.answered, "unknown": load.unknown, "scrapes": load.scrapes, "away": load.away}
        tell("workers killed and stopped under load", kills=kills, **figures)
        # A supervisor that is killed takes its children with it, and the port is free.
        left = [psutil.Process(pid) for pid in children(shop)]
        shop.process.kill()
        shop.process.wait()
        _, alive = psutil.wait_procs(left, timeout=20)
        assert alive == []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", shop.port))
