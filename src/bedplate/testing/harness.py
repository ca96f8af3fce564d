"""A harness that runs a service inside a test, without a server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from bedplate.component import Component, Role
from bedplate.metric import Metric
from bedplate.service import Process, Service
from bedplate.service.run import Run
from bedplate.settings import Settings, Sources
from bedplate.testing.clock import ManualClock, settle

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx2

__all__ = ["Harness", "running", "settings"]


#: The bearer token of role admin that :func:`settings` lets in and :attr:`Harness.client` carries.
TOKEN = "a-token-for-tests-that-nobody-guesses"  # noqa: S105
#: Seconds of real time that a start may take before its clock is moved nevertheless.
_PATIENCE = 20.0


def settings(**values: Any) -> Settings:
    """Return settings for a test: environment ``test``, quiet logs, a token, and nothing of the machine's own.

    How full or busy the machine is degrades no service either, unless ``health`` is given. Alerts are evaluated when
    ``alerts={"enabled": True}`` is: they need a database, which answers in real time whatever the clock says.
    """
    values.setdefault("auth", {"tokens": f"test:admin:{TOKEN}"})
    values.setdefault("logs", {"stream": "off"})
    # The disk is asked in a thread, which takes real time: a clock that is driven runs past its timeout.
    calm = {"disk_paths": (), "loop_lag": 60.0, "memory_share": 1.0, "memory_available_share": 0.0}
    values.setdefault("health", calm)
    values.setdefault("alerts", {"enabled": False})
    return Settings(environment="test", _sources=Sources.none(), **values)


class Harness:
    """A running service in a test.

    :ivar client: an ``httpx2.AsyncClient`` whose requests go straight into the service.
    :ivar clock: the clock that the components see; moved by :meth:`ManualClock.advance`.
    """

    def __init__(self, service: Service, run: Run, clock: ManualClock, client: httpx2.AsyncClient) -> None:
        self.service = service
        self.run = run
        self.clock = clock
        self.client = client

    async def samples(self) -> dict[str, float]:
        """Return every exposed sample: ``{'app_hits_total{cache="a"}': 3.0, …}``."""
        text = (await self.service.builtins.metrics.render()).decode()
        # Not splitlines(), which also splits at characters that a label value may hold.
        pairs = (line.rpartition(" ") for line in text.split("\n") if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def value(self, metric: Metric | str, **labels: str) -> float:
        """Return the sum of all samples of one name that have these labels, and perhaps others; 0 when there are none.

        :param metric: a counter or gauge, narrowed or not, or a selector: ``HITS(cache="a")``, ``WAIT.count``,
            ``'app_hits_total{cache="a"}'``.
        """
        name, wanted = _parsed(str(metric(**labels)) if isinstance(metric, Metric) else metric)
        if not isinstance(metric, Metric):
            wanted |= labels
        total = 0.0
        for sample, value in (await self.samples()).items():
            its_name, its_labels = _parsed(sample)
            if its_name == name and wanted.items() <= its_labels.items():
                total += value
        return total

    async def eventually(self, condition: Callable[[], Any], timeout: float = 60.0) -> None:
        """Wait, in real time, until ``condition()`` is true; it may be async.

        :raises AssertionError: when it stays false.
        """
        end = asyncio.get_running_loop().time() + timeout
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            if asyncio.get_running_loop().time() > end:
                raise AssertionError(f"{condition} stayed false for {timeout:g} s.")
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(
    service: Service | Component | Iterable[Component],
    *,
    clock: ManualClock | None = None,
    role: Role = "web",
    headers: dict[str, str] | None = None,
) -> AsyncIterator[Harness]:
    """Run a service, or one made of the given components, while inside.

    The body begins when the service is ready, or half a minute of its clock has gone without that. The clock moves only
    while nothing starts or is asked how it is, which may take real time; from then on it stands still until the test
    moves it.

    :param headers: of the client's requests; by default the token that :func:`settings` lets in.
    """
    if not isinstance(service, Service):
        components = [service] if isinstance(service, Component) else list(service)
        service = Service("test", None, components, settings=settings())
    clock = clock or ManualClock()
    async with service.running(role=role, clock=clock) as run:
        await settle()
        until = asyncio.get_running_loop().time() + _PATIENCE
        for _ in range(120):
            await _answered(service, until)
            if service.entry.ready:
                break
            await clock.advance(0.25)
        authorized = {"authorization": f"Bearer {TOKEN}"} if headers is None else headers
        async with _client(service, authorized) as client:
            yield Harness(service, run, clock, client)


async def _answered(service: Service, until: float) -> None:
    """Wait, in real time, for what starts and what is asked how it is: a clock that is driven runs past its timeouts.

    Whoever waits for the clock itself waits in vain, so this ends at ``until``, a time of the event loop.
    """
    loop, health = asyncio.get_running_loop(), service.builtins.health
    while health.asking or any(view.state == "starting" for view in service.views):
        if loop.time() > until:
            return
        await asyncio.sleep(0.001)


def _client(app: Service | Process, headers: dict[str, str] | None) -> AbstractAsyncContextManager[httpx2.AsyncClient]:
    import httpx2

    transport = httpx2.ASGITransport(app=cast(Any, app), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)


_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


def _parsed(sample: str) -> tuple[str, dict[str, str]]:
    """Return the name and the labels of a sample as the exposition writes it."""
    name, _, labels = sample.partition("{")
    return name, {
        label: re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), value)
        for label, value in _LABEL.findall(labels)
    }
