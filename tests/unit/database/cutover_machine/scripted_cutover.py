"""Steps of a cutover that only note that they were done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bedplate.database.cutover.machine.actions import Steps
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import Backlog, Stopped, Switched, Verdict, Work

PLAN = Plan(tables=("orders",), key="organization_id", partitions=4)


@dataclass
class Script:
    """Steps that note that they were done, and do what a test puts in their place.

    :ivar chunks: of a backfill, each saved in its own transaction; ``paces`` it rests after each of them.
    """

    chunks: int = 3
    done: list[str] = field(default_factory=list)
    instead: dict[str, Callable[[Work], Any]] = field(default_factory=dict)
    differing: int = 0
    reached: threading.Event = field(default_factory=threading.Event)

    def steps(self) -> Steps:
        names = "preflight prepare capture backfill index sync verify tend repair switch rollback undo finalize"
        return Steps(**{name: self._step(name) for name in names.split()})

    def _step(self, name: str) -> Callable[[Work], Any]:
        def step(work: Work) -> Any:
            if name != "tend" or "tend" not in self.done:
                self.done.append(name)
            self.reached.set()
            doing = self.instead.get(name) or getattr(self, f"_{name}", None)
            return doing(work) if doing is not None else None

        return step

    def _backfill(self, work: Work) -> None:
        for chunk in range(work.journal.load("backfill:orders").get("chunk", 0), self.chunks):
            with work.connection.transaction():
                work.journal.save("backfill:orders", {"chunk": chunk + 1})
            self.done.append(f"chunk {chunk}")
            work.pace.rest(0.0)

    def _sync(self, work: Work) -> Backlog:
        return Backlog({"orders": 3})

    def _tend(self, work: Work) -> Backlog:
        return Backlog({"orders": 0})

    def _verify(self, work: Work) -> Verdict:
        return Verdict(rows={"orders": (10, 10 - self.differing)}, differing={"orders": self.differing})

    def _repair(self, work: Work) -> Verdict:
        count, self.differing = self.differing, 0
        return Verdict(rows={"orders": (10, 10)}, differing={"orders": 0}, repaired={"orders": count})

    def _switch(self, work: Work) -> Switched:
        with work.connection.transaction():
            work.journal.enter("switched")
        return Switched(held=0.01)

    def _rollback(self, work: Work) -> Switched:
        with work.connection.transaction():
            work.journal.enter("verified")
        return Switched(held=0.01)

    def _undo(self, work: Work) -> None:
        with work.connection.transaction():
            work.journal.enter("none")

    def _finalize(self, work: Work) -> None:
        with work.connection.transaction():
            work.journal.enter("finalized")


def hold(script: Script, reached: threading.Event) -> Callable[[Work], Any]:
    """Return a step that rests until it is told to stop."""

    def step(work: Work) -> Any:
        reached.set()
        while True:
            try:
                work.pace.rest(0.01)
            except Stopped:
                script.done.append("stopped")
                raise

    return step
