"""The registry as a component: it is opened before all others, and serves what they all bind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bedplate.component import Host, Spec
from bedplate.metric import Metric
from bedplate.telemetry.metrics.foreign import PERIOD, mirror
from bedplate.telemetry.metrics.layout import Layout, Sample
from bedplate.telemetry.metrics.merge import Exemplar
from bedplate.telemetry.metrics.registry import OVERFLOW, Registry
from bedplate.telemetry.metrics.sources import Words

__all__ = ["Metrics"]


class Metrics:
    """Metrics of the service: cells, exposition, and what other libraries keep in prometheus-client.

    :ivar before_reading: called before anything is read in this process; who puts off what is to be counted is here.
    """

    def __init__(self) -> None:
        self.before_reading: list[Callable[[], None]] = []
        self._registry: Registry | None = None
        self._closed = Registry()

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(kind="metrics", summary="Keeps and exposes every metric of the service.", metrics=(OVERFLOW,))

    @property
    def registry(self) -> Registry:
        """The open registry; an empty one while the service does not run."""
        return self._registry or self._closed

    def open(self, service: str, directory: Path | None, metrics: Iterable[Metric]) -> Registry:
        """Open the registry with all families of the service; called once a start, before any component."""
        self._registry = Registry(service, directory, self.before_reading)
        self._registry.declare(metrics)
        return self._registry

    def close(self) -> None:
        """Close the registry; its counters stay for the other processes of the host."""
        if self._registry is not None:
            self._registry.close()
            self._registry = None

    async def render(self, openmetrics: bool = False) -> bytes:
        """Return the exposition as bytes."""
        await self._mirror()
        return await self.registry.render(openmetrics)

    async def samples(self) -> tuple[Layout, Words]:
        """Return what is exposed now, and a value for each sample of it."""
        return await self.registry.samples()

    async def exemplars(self, families: Collection[str]) -> list[tuple[Sample, Exemplar]]:
        """Return traces of requests that fell into the buckets of these histograms, for those that keep them."""
        return await self.registry.exemplars(families)

    async def to_json(self) -> dict[str, Any]:
        """Return the families with their samples as plain data."""
        await self._mirror()
        return await self.registry.to_json()

    async def _mirror(self) -> None:
        # A collector of another library that fails must not cost us the scrape; the mirroring task tells of it.
        with contextlib.suppress(Exception):
            await mirror(self.registry)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Mirror prometheus-client now and then, so that another process' scrape sees it too."""

        async def mirroring() -> None:
            while True:
                await mirror(self.registry)
                await host.clock.sleep(PERIOD)

        host.spawn("mirror", mirroring)
        yield
