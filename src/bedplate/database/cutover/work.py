"""What the steps of a cutover work with, and what they promise: the contract between the worker and its steps.

Each step is a function of :class:`Work` that may be run again at any time. It is killed in any place and started anew,
so it looks at what is there instead of remembering, and keeps its progress in the transaction of what it did. It raises
:class:`~bedplate.database.cutover.asking.CutoverError` when somebody has to mend something first, and whatever else
when it should simply be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover.plan import Plan

__all__ = ["STATES", "Journal", "Meter", "Pace", "Pair", "State", "Stopped", "TakenOver", "Work"]

#: How far a cutover is. The first three and the last three name what is done, the others what is being done.
State = Literal[
    "preflight",
    "prepared",
    "capturing",
    "backfilling",
    "indexing",
    "synced",
    "verified",
    "switched",
    "finalized",
]
STATES: tuple[State, ...] = (
    "preflight",
    "prepared",
    "capturing",
    "backfilling",
    "indexing",
    "synced",
    "verified",
    "switched",
    "finalized",
)


class Stopped(Exception):
    """The worker was told to stop; raised at a place where everything done so far is kept."""


class TakenOver(Exception):
    """Another worker runs this cutover now; whatever this one had open is rolled back."""


class Journal(Protocol):
    """Where a cutover keeps how far it is: the row of its state in the same database."""

    def load(self, part: str) -> Mapping[str, Any]:
        """Return what was saved last for a part, as ``backfill:orders``; empty before."""
        ...

    def save(self, part: str, progress: Mapping[str, Any]) -> None:
        """Keep JSON-able progress of a part, in the transaction that the work's connection has open.

        :raises TakenOver: when another worker runs the cutover now.
        """
        ...

    def note(self, event: str, **detail: Any) -> None:
        """Write an event on the cutover's time line (and audit it), in the open transaction or one of its own."""
        ...


class Pace(Protocol):
    """How fast the worker may go."""

    @property
    def seconds(self) -> float:
        """How long a chunk should take, 0.05 to 0.1: short enough that nobody waits for it."""
        ...

    def rest(self, worked: float) -> None:
        """Between two chunks, outside any transaction: rest as throttled after so many seconds of work.

        Waits while the cutover is paused, or while replicas or writers suffer.

        :raises Stopped: when the worker is to stop.
        """
        ...


class Meter(Protocol):
    """Who is told what is done; the worker makes metrics of it."""

    def rows(self, table: str, step: str, count: int) -> None:
        """So many rows were copied, replayed, compared or repaired."""
        ...

    def total(self, table: str, done: int, of: int) -> None:
        """How far a step is with a table, in rows; ``of`` is an estimate."""
        ...

    def pending(self, table: str, keys: int) -> None:
        """So many keys are known to have changed and are not yet replayed or compared."""
        ...

    def held(self, what: str, seconds: float) -> None:
        """A lock that writers wait for was held so long: ``capture``, ``switch``, ``rollback`` …"""
        ...


@dataclass(frozen=True, slots=True)
class Pair:
    """A table and its twin by their present names, quoted in full, and which columns identify a row in both.

    :ivar table: the plan's name of it, for people and metrics. :ivar live: the one that the service reads and writes.
    :ivar shadow: the one that follows it: partitioned before the switch, the legacy table after it.
    """

    table: str
    live: str
    shadow: str
    primary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """All that a step is given.

    :ivar connection: the worker's own to the primary, in autocommit; steps open transactions on it by
        :func:`~bedplate.database.cutover.asking.transaction`. :ivar connect: opens another one like it.
    """

    connection: Connection[Any]
    connect: Callable[[], AbstractContextManager[Connection[Any]]]
    plan: Plan
    journal: Journal
    pace: Pace
    meter: Meter
