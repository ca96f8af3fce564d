"""An alert engine that a test drives, and a target that a test looks into."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from bedplate.clock import Clock
from bedplate.component import Host, Lease, Spec
from bedplate.metric import Metric
from bedplate.monitor.alerts.notices import Acknowledgement, AlertView, Notice, Sent, Transition
from tests.unit.monitor.monitor_fakes import DrivenClock, FakeHost, running

__all__ = ["Engine", "Evaluation", "Free", "Receiver", "Telling", "alert", "notice", "receiver", "serving"]

START = 1_700_000_000.0


def alert(**changes: Any) -> AlertView:
    values: dict[str, Any] = {
        "key": "a1",
        "fingerprint": "f1",
        "name": "CacheHitRateLow",
        "service": "ledger",
        "source": "cache:reports",
        "group": "cache",
        "severity": "warning",
        "state": "firing",
        "labels": {"alertname": "CacheHitRateLow", "cache": "reports", "job": "ledger", "severity": "warning"},
        "instance": "10.0.0.1:8000",
        "summary": "Reports are slow: only 42 % of them come from the cache.",
        "value": 0.42,
        "since": START - 300,
        "fired_at": START,
        "section": "**What it means.** Too few hits.\n\n**What to do.** Look at `bedplate_cache_evictions_total`.",
    }
    return AlertView(**{**values, **changes})


def notice(*alerts: AlertView, **changes: Any) -> Notice:
    alerts = alerts or (alert(),)
    values: dict[str, Any] = {
        "fingerprint": alerts[0].fingerprint,
        "status": "firing" if any(each.state == "firing" for each in alerts) else "resolved",
        "episode": START,
        "alerts": alerts,
    }
    return Notice(**{**values, **changes})


@dataclass
class Evaluation:
    interval: float
    evaluated_at: float | None


class Free:
    """A lease that everybody has."""

    name = "notify"

    @asynccontextmanager
    async def hold(self, host: Host) -> AsyncIterator[None]:
        yield


class Engine:
    """An engine without rules: a test says what fires. What was sent outlives the engine when ``sent`` is shared."""

    def __init__(self, sent: dict[str, dict[str, Sent]] | None = None, lease: Lease | None = None) -> None:
        self.sent: dict[str, dict[str, Sent]] = {} if sent is None else sent
        self.current: dict[str, Notice] = {}
        self.lease = lease or Free()
        self.broken = False
        self.active = True
        self.evaluated: list[Evaluation] = []
        self._callbacks: list[Callable[[Transition], None]] = []
        self._clock: Clock | None = None

    @property
    def spec(self) -> Spec:
        return Spec(kind="alerts", summary="An engine that a test drives.")

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        self._clock = host.clock
        yield

    def rules(self) -> Sequence[Evaluation]:
        return self.evaluated

    def sending(self) -> Lease:
        return self.lease

    def subscribe(self, callback: Callable[[Transition], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def notices(self) -> Sequence[Notice]:
        if self.broken:
            raise ConnectionError("the database is away")
        return [replace(each, sent=dict(self.sent.get(each.fingerprint, {}))) for each in self.current.values()]

    async def note_sent(self, notice: Notice, channel: str) -> None:
        assert self._clock is not None
        told = self.sent.setdefault(notice.fingerprint, {})
        last = told.get(channel)
        again = last is not None and (last.status, last.episode) == (notice.status, notice.episode)
        times = last.times + 1 if last is not None and again else 1
        told[channel] = Sent(
            channel=channel, status=notice.status, episode=notice.episode, at=self._clock.time(), times=times
        )

    def says(self, *notices: Notice) -> None:
        """These are what people should know of from now on, beside what was said before."""
        for each in notices:
            self.current[each.fingerprint] = each
            for callback in list(self._callbacks):
                callback(Transition(alert=each.lead, before="pending", at=each.episode))

    def resolves(self, fingerprint: str, at: float) -> None:
        before = self.current[fingerprint]
        alerts = tuple(replace(each, state="resolved", resolved_at=at) for each in before.alerts)
        self.says(replace(before, status="resolved", alerts=alerts, resolved_at=at))

    def acknowledges(self, fingerprint: str, actor: str = "ada") -> None:
        before = self.current[fingerprint]
        done = Acknowledgement(actor=actor, note="", at=START)
        self.says(replace(before, alerts=tuple(replace(each, acknowledged=done) for each in before.alerts)))

    def silences(self, fingerprint: str, *ids: str) -> None:
        before = self.current[fingerprint]
        self.says(replace(before, alerts=tuple(replace(each, silenced_by=ids) for each in before.alerts)))


class Receiver(ThreadingHTTPServer):
    """A webhook: ``got`` has what it took, ``status`` is what it answers."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.got: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.status = 200
        self.hangs: threading.Event | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server_port}/hook"

    @property
    def titles(self) -> list[str]:
        return [str(each["title"]) for each in self.got]


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append(f"{self.command} {self.path}")
        if self.server.hangs is not None:
            self.server.hangs.wait(60)
        if self.server.status < 300 and body:
            self.server.got.append(json.loads(body))
        said = b"no such hook" if self.server.status >= 400 else b""
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET  # noqa: N815


@contextmanager
def receiver(port: int = 0) -> Iterator[Receiver]:
    """Run a webhook while inside."""
    server = Receiver(port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        if server.hangs is not None:
            server.hangs.set()
        server.shutdown()
        thread.join()
        server.server_close()


class Telling(FakeHost):
    """A host with leases, in which whatever was degraded says so."""

    def __init__(self) -> None:
        super().__init__(DrivenClock(START))
        self.reason: str | None = None

    def spawn(self, name: str, fn: Callable[[], Coroutine[Any, Any, None]], *, lease: Any = None) -> None:
        async def leased() -> None:
            async with lease.hold(self):
                await fn()

        super().spawn(name, fn if lease is None else leased)

    def degraded(self, reason: str | None) -> None:
        self.reason = reason

    def total(self, metric: Metric, **labels: str) -> float:
        """The sum of all cells with these labels."""
        wanted = set(labels.items())
        return sum(
            cell.value for (name, *own), cell in self.cells.items() if name == metric.name and wanted <= set(own)
        )

    async def eventually(self, condition: Callable[[], Any], timeout: float = 60.0) -> None:
        """Wait, in real time, until something is true; it may move the clock."""
        end = time.monotonic() + timeout
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            assert time.monotonic() < end, "It did not come to be."
            await asyncio.sleep(0.005)


@asynccontextmanager
async def serving(engine: Engine, *components: Any) -> AsyncIterator[Telling]:
    """Run components on a host of their own while inside."""
    host = Telling()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(engine.lifespan(host))  # type: ignore[arg-type]
        for component in components:
            await stack.enter_async_context(running(component, host))
        yield host
