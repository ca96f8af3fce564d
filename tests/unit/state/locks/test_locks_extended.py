"""A lock whose time changes while something else of it is under way."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from bedplate.service import Service
from bedplate.state.locks import Locks
from bedplate.testing import running, settings
from tests.unit.state.far_store import FarStore


async def test_a_renewal_in_the_old_rhythm_makes_nobody_believe_in_the_new_time() -> None:
    store = FarStore(random.Random(7))
    locks = Locks(store)
    async with running(Service("test", None, [locks], settings=settings())) as harness:
        async with locks.hold("a", ttl=3.0) as held:
            # Both are on their way before either is answered.
            async with store._line:
                extending = asyncio.create_task(held.extend(60.0))
                await asyncio.sleep(0.001)
                await harness.clock.advance(1.2)
                await asyncio.sleep(0.01)
            await extending
            for _ in range(100):
                await harness.clock.advance(0.1)
                await asyncio.sleep(0.001)
                there = (await locks.info("a")).held
                assert held.is_lost or there, "it is not in the store, and its holder believes in it"
            assert not held.is_lost


async def test_who_does_not_know_whether_his_time_was_cut_believes_that_it_was() -> None:
    store = FarStore(random.Random(7))
    locks = Locks(store)
    async with running(Service("test", None, [locks], settings=settings())) as harness:
        async with locks.hold("a", ttl=60.0) as held:
            async with store._line:  # it arrives, and nobody hears of it
                extending: asyncio.Task[Any] = asyncio.create_task(held.extend(2.0))
                await asyncio.sleep(0.001)
                extending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await extending
            for _ in range(100):
                await harness.clock.advance(0.1)
                await asyncio.sleep(0.001)
                there = (await locks.info("a")).held
                assert held.is_lost or there, "it is not in the store, and its holder believes in it"
            assert not held.is_lost
