"""Two instances of locks on one store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from bedplate.component import Host, Spec
from bedplate.state.locks import (
    Held,
    Locks,
)
from bedplate.state.memory.component import Memory
from bedplate.testing import Harness


class Twin:
    """The same locks in another instance: another component of the test's service that has their very keys."""

    def __init__(self, store: Memory) -> None:
        self.locks = Locks(store)

    @property
    def spec(self) -> Spec:
        return replace(self.locks.spec, kind="twin", degradation=None, alerts=(), panels=(), runbook=None)

    def lifespan(self, host: Host) -> AbstractAsyncContextManager[None]:
        return self.locks.lifespan(host)


class Instances:
    """Two instances that share a store."""

    def __init__(self, store: Memory, one: Locks, other: Locks, harness: Harness) -> None:
        self.store, self.one, self.other, self.harness = store, one, other, harness
        self.clock = harness.clock

    async def held(self, name: str = "a") -> bool:
        return (await self.one.info(name)).held

    def away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the store be away from now on."""
        away = self.store._away
        monkeypatch.setattr(self.store, "_do", lambda *_: (_ for _ in ()).throw(away()))


async def hold_once(locks: Locks, name: str) -> Held:
    async with locks.hold(name) as held:
        return held


async def expire(instances: Instances, name: str) -> None:
    """Let the store forget a lock, as when its time is over."""
    assert instances.store._space is not None
    instances.store._space.delete(instances.one._places[name].keys[0])
