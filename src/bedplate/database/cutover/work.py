"""What the steps of a cutover work with, and what they promise: the contract between the worker and its steps.

Each step is a function of :class:`Work` that may be run again at any time. It is killed in any place and started anew,
so it looks at what is there instead of remembering, and keeps its progress in the transaction of what it did. It raises
:class:`~bedplate.database.cutover.asking.CutoverError` when somebody has to mend something first, and whatever else
when it should simply be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

if TYPE_CHECKING:
    from psycopg import Connection

    from bedplate.database.cutover.plan import Plan

__all__ = [
    "STATES",
    "Backlog",
    "Journal",
    "Meter",
    "Pace",
    "Pair",
    "State",
    "Stopped",
    "Switched",
    "TakenOver",
    "Verdict",
    "Work",
]

#: How far a cutover is. The first four and the last three name what is done, the others what is being done.
State = Literal[
    "none",
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
#: All of them, in order.
STATES: tuple[State, ...] = get_args(State)


class Stopped(Exception):
    """The worker was told to stop; raised at a place where everything done so far is kept."""


class TakenOver(Exception):
    """Another worker runs this cutover now; whatever this one had open is rolled back."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is known to have changed and is not yet replayed or compared.

    :ivar keys: how many, by the plan's name of the table; -1 when it was truncated and nobody knows.
    :ivar busy: whether something was replayed, so that it is worth while to look again at once.
    """

    keys: Mapping[str, int] = field(default_factory=dict)
    busy: bool = False

    @property
    def total(self) -> int:
        """All keys together, -1 when nobody knows."""
        return -1 if any(count < 0 for count in self.keys.values()) else sum(self.keys.values())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found: as of one snapshot, with everything that was written later named in the key log.

    :ivar rows: of the live table and of its shadow, by the plan's name of the table.
    :ivar differing: how many rows differ, by table; all 0 is equal. :ivar repaired: rows made equal, by table.
    :ivar detail: JSON-able, for the time line: the first rows that differ, the position, seconds.
    """

    rows: Mapping[str, tuple[int, int]]
    differing: Mapping[str, int]
    repaired: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether both sides of all tables are proven to hold the same rows."""
        return not any(self.differing.values())


@dataclass(frozen=True, slots=True)
class Switched:
    """How a switch, or a rollback after one, went.

    :ivar held: seconds that the lock was held which reads and writes wait for; the last, successful time.
    :ivar attempts: how often it was tried, this time included. :ivar compared: keys that were compared under the lock.
    """

    held: float
    attempts: int = 1
    compared: int = 0


class Journal(Protocol):
    """Where a cutover keeps how far it is: the row of its state in the same database."""

    @property
    def state(self) -> State:
        """How far it is; in an open transaction what that transaction made of it."""
        ...

    def enter(self, state: State) -> None:
        """Make this the state, in the open transaction, so that it comes true with what the transaction did.

        ``switch``, ``rollback``, ``undo`` (``none``; it forgets all parts) and ``finalize`` call it themselves, in
        the transaction that renames or drops; for the other steps the machine does, after they return.

        :raises TakenOver: when another worker runs the cutover now.
        """
        ...

    def load(self, part: str) -> Mapping[str, Any]:
        """Return what was saved last for a part, as ``backfill:orders``; empty before."""
        ...

    def save(self, part: str, progress: Mapping[str, Any]) -> None:
        """Keep JSON-able progress of a part, in the transaction that the work's connection has open.

        Empty progress forgets the part.

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
        """How long a chunk should take, 0.005 to 0.1: short enough that nobody waits for it."""
        ...

    @property
    def gentle(self) -> bool:
        """Whether others want the server's processors: then one thing at a time, and in short pieces."""
        ...

    def rest(self, worked: float, rows: int = 0) -> None:
        """Between two chunks, outside any transaction: rest as throttled after so many seconds of work.

        :param rows: that were copied in them.

        Waits while the cutover is paused, or while replicas or writers suffer.

        :raises Stopped: when the worker is to stop. A long statement is cancelled then, too: let QueryCanceled pass.
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
