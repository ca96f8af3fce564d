"""Caches that run in a test: several that share a store, as instances of a service do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from bedplate.state.cache import Cache
from bedplate.state.memory import Memory
from bedplate.testing import Harness, ManualClock, running
from tests.linked import Link


class Node:
    """One instance: its cache, its link to the store, and the harness of its service."""

    def __init__(self, cache: Cache, link: Link, store: Memory, harness: Harness) -> None:
        self.cache, self.link, self.store, self.harness = cache, link, store, harness
        self.clock = harness.clock

    @property
    def state(self) -> str:
        """What the service says of the cache."""
        return next(view.state for view in self.harness.service.views if view.component is self.cache)


@asynccontextmanager
async def nodes(count: int = 1, **options: Any) -> AsyncIterator[list[Node]]:
    """Run several instances, on one clock and one store."""
    clock, store = ManualClock(), Memory(role="cache")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(store, clock=clock))
        found: list[Node] = []
        for _ in range(count):
            link = Link(store)
            cache = Cache(link, "reports", **options)
            harness = await stack.enter_async_context(running(cache, clock=clock))
            found.append(Node(cache, link, store, harness))
        yield found
