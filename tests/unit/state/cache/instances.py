"""Caches that run in a test: several that share a store, as instances of a service do.

Each has the lifecycle that a service gives its components, and none of the components that a service brings, which cost
more to start than most tests take. What is shown over HTTP is tested with whole services.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bedplate.component import Component, ComponentState
from bedplate.metric import Metric
from bedplate.service.lifecycle import Lifecycle
from bedplate.state.cache import Cache
from bedplate.state.memory import Memory
from bedplate.telemetry.logs.logger import get_logger
from bedplate.telemetry.metrics.registry import Registry
from bedplate.testing import ManualClock
from bedplate.testing.clock import settle
from tests.linked import Link


class Node:
    """One instance: its cache and its link to the store."""

    def __init__(self, cache: Cache, link: Link, store: Memory, lifecycle: Lifecycle, clock: ManualClock) -> None:
        self.cache, self.link, self.store, self.clock = cache, link, store, clock
        self._lifecycle = lifecycle

    @property
    def view(self) -> Any:
        """What a service says of the cache: its state, and why."""
        return next(view for view in self._lifecycle.views() if view.component is self.cache)

    @property
    def state(self) -> ComponentState:
        """Its state."""
        state: ComponentState = self.view.state
        return state

    async def value(self, metric: Metric, **labels: str) -> float:
        """Return the sum of the samples of a metric with these labels."""
        registry: Any = self._lifecycle.binder
        families = (await registry.to_json())["families"]
        samples = next(one["samples"] for one in families if one["name"] in (metric.name, metric.stem))
        return float(sum(one["value"] for one in samples if labels.items() <= one["labels"].items()))

    async def heal(self) -> None:
        """Have the store again, and wait until the cache relies on it."""
        self.link.heal()
        for _ in range(50):
            await settle()
            if self.cache.overview()["available"]:
                return
        raise AssertionError("The cache does not come back.")


@asynccontextmanager
async def nodes(count: int = 1, *, cut: bool = False, **options: Any) -> AsyncIterator[list[Node]]:
    """Run several instances, on one clock and one store.

    :param cut: the store is away when they start.
    """
    clock, store = ManualClock(), Memory(role="cache")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        await stack.enter_async_context(_running([store], clock, folder))
        found: list[Node] = []
        for _ in range(count):
            link = Link(store)
            if cut:
                link.cut()
            cache = Cache(link, "reports", **options)
            lifecycle = await stack.enter_async_context(_running([link, cache], clock, folder))
            found.append(Node(cache, link, store, lifecycle, clock))
        await settle()
        yield found


@asynccontextmanager
async def _running(components: Sequence[Component], clock: ManualClock, folder: Path) -> AsyncIterator[Lifecycle]:
    registry = Registry("test")
    for component in components:
        registry.declare(component.spec.metrics)
    lifecycle = Lifecycle(
        "test",
        components,
        binder=registry,
        observer=_Observer(),
        logger=lambda label: get_logger(f"test.{label}"),
        clock=clock,
        directory=lambda: folder,
    )
    await lifecycle.start()
    try:
        yield lifecycle
    finally:
        await lifecycle.stop()
        registry.close()


class _Observer:
    def changed(self, label: str, state: ComponentState, reason: str) -> None: ...

    def crashed(self, label: str, task: str, error: BaseException) -> None:
        logging.getLogger("test").error("%s of %s crashed", task, label, exc_info=error)
        raise AssertionError(f"{task} crashed: {error}")

    def abandoned(self, label: str, what: str) -> None:
        raise AssertionError(f"{what} of {label} was left behind.")
