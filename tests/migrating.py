"""A process that moves a table to partitions, to be killed."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from bedplate.database.cutover import Plan
from bedplate.database.cutover.steps import backfill, capture, index, prepare, sync, tend, verify
from bedplate.database.cutover.work import Work
from tests.moving import Steady, moving

__all__ = ["STEPS", "Migration"]

STEPS: tuple[Callable[[Work], Any], ...] = (prepare, capture, backfill, index, sync, verify, tend)


class Migration:
    """One such process; ``step`` is what it does now, ``ended`` once all is done."""

    _processes: Any = multiprocessing.get_context("forkserver")

    def __init__(self, url: str, plan: Plan, *, seconds: float = 0.02) -> None:
        self._processes.set_forkserver_preload([__name__])
        self._steps, told = self._processes.Pipe(duplex=False)
        self.process = self._processes.Process(target=_move, args=(told, url, plan, seconds), daemon=True)
        self.process.start()
        told.close()

    def reached(self) -> str:
        """Wait for the next step and return its name; ``ended``, or ``died`` with whatever went wrong."""
        try:
            return str(self._steps.recv())
        except EOFError:
            return "died"

    def kill(self) -> None:
        """End it without a word."""
        self.process.kill()
        self.process.join(60)
        self._steps.close()


def _move(told: Connection, url: str, plan: Plan, seconds: float) -> None:
    try:
        with moving(url, plan, pace=Steady(seconds)) as work:
            for step in STEPS:
                told.send(step.__name__)
                done = step(work)
                if step is verify and not done.equal:
                    told.send(f"not equal: {done.detail}")
                    return
        told.send("ended")
    except Exception:
        told.send(f"died: {traceback.format_exc(limit=-4)}")
