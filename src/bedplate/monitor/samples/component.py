"""The component that samples the service."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from bedplate.component import Host, Spec
from bedplate.declarations import Probe
from bedplate.monitor.runbooks import runbook
from bedplate.monitor.samples.metrics import (
    ALERTS,
    DROPPED,
    DURATION,
    KEPT,
    MEMORY,
    METRICS,
    MISSED,
    PANELS,
    REACH,
    TAKEN,
)
from bedplate.monitor.samples.ring import Ring
from bedplate.monitor.samples.sampler import Sampler
from bedplate.monitor.samples.settings import SampleSettings
from bedplate.problems import BedplateError
from bedplate.promql.source import Labels
from bedplate.telemetry.metrics.layout import Layout
from bedplate.telemetry.metrics.sources import Words

__all__ = ["Sampled", "Samples"]

_RUNBOOK = runbook(__file__)

#: Seconds for which a wall clock may be behind the last row; then it was set back for good.
_PATIENCE = 60.0

#: Seconds of the past that are kept as they are, for rules.
REACHED = 900.0


class Sampled(Protocol):
    """The registry of the service."""

    async def samples(self) -> tuple[Layout, Words]:
        """Return what is exposed now, and a value for each sample of it."""
        ...


class Samples:
    """Samples every series of the service each few seconds, and keeps a day of it in memory.

    One process of a host does it, which the run says with :attr:`active`: the ``ops`` process, or the only one there
    is. Of the others, this component does nothing.

    Rows have the time at which sampling began. A wall clock that is set back leaves a gap until it has caught up; when
    that takes longer than a minute, all samples are forgotten, since their times mean nothing any more.

    :param source: whose series are sampled.
    :ivar active: whether this process samples; to be set before the start.
    :ivar address: ``host:port`` where the service is served, if that is known; to be set before the start.
    """

    def __init__(self, settings: SampleSettings | None = None, *, source: Sampled) -> None:
        self.settings = settings or SampleSettings()
        self.active = True
        self.address = ""
        self._source = source
        self._host: Host | None = None
        self._sampler: Sampler | None = None
        self._last = 0.0
        self._behind_since: float | None = None
        self._fault: str | None = None
        self._spec = Spec(
            kind="samples",
            summary="Samples every series of the service each few seconds, for alerts, charts and queries.",
            settings=self.settings,
            metrics=METRICS,
            probes=(
                Probe(
                    name="sampling",
                    check=self._probe,
                    summary="Samples are taken when they are due.",
                    critical=False,
                    interval=15.0,
                ),
            ),
            alerts=ALERTS,
            panels=PANELS,
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def ring(self) -> Ring | None:
        """The samples; None while the service does not run, and in a process that takes none."""
        return self._sampler.ring if self._sampler is not None else None

    @property
    def instance(self) -> str:
        """The ``instance`` label of the samples."""
        return self.settings.instance or _instance(self.address)

    def record(self, series: Mapping[Labels, float], at: float, *, group: str = "") -> None:
        """Put further series into the next row, such as ``ALERTS``; without effect in a process that takes no samples.

        Series that were recorded for the group the last time and are not among these have ended. Of two records before
        the next row the later one counts.

        :param series: complete labels, sorted, ``__name__``, ``job`` and ``instance`` among them.
        :param at: the time for which they hold, Unix seconds.
        """
        if self._sampler is not None:
            self._sampler.record(series, at, group)

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Sample while inside."""
        if not self.active:
            yield
            return
        settings = self.settings
        ring = Ring(
            retention=settings.retention,
            reach=REACHED,
            interval=settings.interval,
            most_series=settings.max_series,
            most_bytes=settings.max_bytes,
        )
        self._host, self._sampler = host, Sampler(ring, host.service, self.instance)
        self._last, self._behind_since, self._fault = host.clock.monotonic(), None, None
        for reason in MISSED.labels[0].values or ():
            host.bind(MISSED, reason=reason)
        host.spawn("sample", self._sampling)
        try:
            yield
        finally:
            self._host = self._sampler = None

    async def _sampling(self) -> None:
        host, interval = self._host, self.settings.interval
        assert host is not None
        due = host.clock.monotonic()
        while True:
            await self._sample(host)
            due += interval
            late = host.clock.monotonic() - due
            if late >= interval:
                skipped = int(late / interval)
                host.bind(MISSED, reason="late").inc(skipped)
                due += skipped * interval
            await host.clock.sleep(max(0.0, due - host.clock.monotonic()))

    async def _sample(self, host: Host) -> None:
        sampler = self._sampler
        if sampler is None:
            return
        began, at = host.clock.monotonic(), round(host.clock.time() * 1000)
        try:
            layout, values = await self._source.samples()
        except BedplateError as error:
            host.bind(MISSED, reason="failed").inc()
            self._degrade(host, f"Samples are missed: {error.what}")
            return
        await asyncio.sleep(0)
        if not await sampler.put(layout, values, at):
            self._behind(host, sampler.ring)
            return
        self._behind_since = None
        for _ in range(sampler.ring.sealing_share):
            # A slice of at most a millisecond or so; a few after each row, and a chunk is sealed in minutes.
            await asyncio.sleep(0)
            if not sampler.ring.seal():
                break
        self._last = host.clock.monotonic()
        self._tell(host, sampler, self._last - began)

    def _behind(self, host: Host, ring: Ring) -> None:
        now = host.clock.monotonic()
        host.bind(MISSED, reason="clock").inc()
        if self._behind_since is None:
            self._behind_since = now
        elif now - self._behind_since >= _PATIENCE:
            self._behind_since = None
            ring.clear()
            host.log.warning("samples_forgotten", because="the wall clock was set back")
        self._last = now

    def _tell(self, host: Host, sampler: Sampler, seconds: float) -> None:
        ring = sampler.ring
        host.bind(TAKEN).inc()
        host.bind(DURATION).observe(seconds)
        host.bind(KEPT).set(ring.series)
        host.bind(DROPPED).set(sampler.dropped)
        host.bind(MEMORY).set(ring.size)
        reach = (ring.last - ring.since) / 1000 if ring.last is not None and ring.since is not None else 0.0
        host.bind(REACH).set(reach)
        reasons = []
        if sampler.dropped:
            reasons.append(f"{sampler.dropped} series are not sampled: there are more than samples.max_series allows")
        if ring.shortened:
            reasons.append("samples are not kept for as long as they should: samples.max_bytes is reached")
        self._degrade(host, "; ".join(reasons) or None)

    def _degrade(self, host: Host, reason: str | None) -> None:
        if reason != self._fault:
            self._fault = reason
            host.degraded(reason)

    async def _probe(self) -> str | None:
        host, ring = self._host, self.ring
        if host is None or ring is None:
            return "another process of this host samples"
        age = host.clock.monotonic() - self._last
        if age > 3 * self.settings.interval + 10:
            raise BedplateError(f"No sample was taken for {age:.0f} s.", "See the runbook of SamplesLate.")
        return f"{ring.series} series, {ring.size / 2**20:.0f} MiB"


def _instance(address: str) -> str:
    host, _, port = address.rpartition(":")
    if host.strip("[]") in ("", "localhost", "127.0.0.1", "::1", "0.0.0.0", "::"):
        host = socket.gethostname()
    return f"{host}:{port or os.getpid()}"
