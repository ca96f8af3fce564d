"""A service with alerts starts, stops and is cut short at any moment, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from bedplate.service import Service
from bedplate.testing import ManualClock, settings

from .alert_shapes import Tank


def service(file: Path) -> Service:
    own = settings(database_url=f"sqlite:///{file}", alerts={"enabled": True}, samples={"instance": "a:1"})
    return Service("plant", None, [Tank()], settings=own)


async def test_it_starts_and_stops_again_and_again(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    plant = service(tmp_path / "alerts.sqlite3")
    for _ in range(2):
        async with plant.running(clock=ManualClock()) as run:
            crashed = [task for view in run.lifecycle.views() for task in view.tasks if task.restarts]
            assert crashed == []
        assert not {task for task in asyncio.all_tasks() - tasks if not task.done()}


async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()

    async def start() -> None:
        plant, clock = service(tmp_path / "alerts.sqlite3"), ManualClock()
        async with plant.running(clock=clock):
            for _ in range(5):
                await clock.advance(5)
                await asyncio.sleep(0.002)

    # The database answers in its own time, so the moments are spread over all of it.
    for moment in range(0, 60, 2):
        task = asyncio.create_task(start())
        for _ in range(moment * moment // 2):
            await asyncio.sleep(0)
        await asyncio.sleep(moment / 1000)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        left = {one.get_name() for one in asyncio.all_tasks() - tasks if not one.done()}
        assert left == set()
    await start()
