"""Work beside the event loop: bounded, in the caller's context, counted until it is done."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest

from bedplate.testing import Harness, running
from synfinance.components import Busy, Compute, ComputeSettings

WHO: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture
def compute() -> Compute:
    return Compute(ComputeSettings(threads=1, waiting=1))


@pytest.fixture
async def harness(compute: Compute) -> AsyncIterator[Harness]:
    async with running(compute) as harness:
        yield harness


async def test_work_runs_in_another_thread_and_the_callers_context(compute: Compute, harness: Harness) -> None:
    WHO.set("somebody")
    thread, who = await compute.run(lambda: (threading.get_ident(), WHO.get()))
    assert (thread != threading.get_ident(), who) == (True, "somebody")


async def test_what_work_raises_reaches_its_caller(compute: Compute, harness: Harness) -> None:
    with pytest.raises(ZeroDivisionError):
        await compute.run(lambda: 1 / 0)
    assert await compute.run(int, "7") == 7


async def test_beyond_the_queue_work_is_refused_at_once(compute: Compute, harness: Harness) -> None:
    gate = threading.Event()
    waiting = [asyncio.create_task(compute.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    try:
        with pytest.raises(Busy):
            await compute.run(int)
        assert await harness.value("synfinance_compute_active") == 2
        assert await harness.value("synfinance_compute_refused_total") == 1
    finally:
        gate.set()
    await asyncio.gather(*waiting)
    assert await compute.run(int) == 0


async def test_work_whose_caller_left_counts_until_it_is_done(compute: Compute, harness: Harness) -> None:
    gate = threading.Event()
    left = asyncio.create_task(compute.run(gate.wait))
    await asyncio.sleep(0.01)
    left.cancel()
    await asyncio.wait([left])
    try:
        assert await harness.value("synfinance_compute_active") == 1
    finally:
        gate.set()

    async def idle() -> bool:
        return await harness.value("synfinance_compute_active") == 0

    await harness.eventually(idle)


async def test_nothing_is_taken_before_the_start_and_after_the_stop(compute: Compute) -> None:
    with pytest.raises(Busy):
        await compute.run(int)
    async with running(compute):
        assert await compute.run(int) == 0
    with pytest.raises(Busy):
        await compute.run(int)
