"""How far the making of an index is, as PostgreSQL tells it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bedplate.database.indexes.place import Place

__all__ = ["Progress", "Watch", "blocker", "watched"]

#: Seconds between two looks.
EVERY = 0.25

_LOOK = """
SELECT p.phase, p.blocks_total, p.blocks_done, p.tuples_total, p.tuples_done, p.lockers_total, p.lockers_done,
  p.current_locker_pid FROM pg_stat_progress_create_index p WHERE p.pid = %(pid)s"""
_WAITS = "SELECT pg_blocking_pids(%(pid)s)"
_WHO = """
SELECT coalesce(nullif(application_name, ''), backend_type), coalesce(state, ''),
  coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8 FROM pg_stat_activity WHERE pid = %(pid)s"""

#: Phases with the part of the work that is done when they begin, and when they end.
_PHASES = (
    ("initializing", 0.0, 0.0),
    ("waiting for writers before build", 0.0, 0.02),
    ("building index: scanning table", 0.02, 0.45),
    ("building index: sorting live tuples", 0.45, 0.5),
    ("building index: loading tuples in tree", 0.5, 0.7),
    ("building index", 0.02, 0.7),
    ("waiting for writers before validation", 0.7, 0.72),
    ("index validation: scanning index", 0.72, 0.82),
    ("index validation: sorting tuples", 0.82, 0.84),
    ("index validation: scanning table", 0.84, 0.98),
    ("waiting for old snapshots", 0.98, 0.99),
    ("waiting for readers", 0.98, 0.99),
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an index is.

    :ivar part: 0 to 1. :ivar waits_for: who holds it up, in words; empty when nobody does.
    """

    index: str
    table: str
    phase: str
    part: float
    waits_for: str = ""


Watch = Callable[[Progress], None]


@contextmanager
def watched(place: Place, pid: int, index: str, table: str, watch: Watch, patience: float) -> Iterator[list[str]]:
    """Tell how far a server's process is while inside; end its statement when it waits for longer than ``patience``.

    Yields a list that holds for whom it waited, in words, once it was ended for that.
    """
    over = threading.Event()
    ended: list[str] = []

    def look() -> None:
        since = None
        with place.working() as connection:
            while not over.wait(EVERY):
                waits_for = ""
                row = connection.exec_driver_sql(_LOOK, {"pid": pid}).first()
                blocking = connection.exec_driver_sql(_WAITS, {"pid": pid}).scalar() or []
                if blocking:
                    waits_for = blocker(connection, blocking[0])
                phase = row[0] if row is not None else "waiting for the table" if blocking else "beginning"
                watch(Progress(index, table, phase, _part(row), waits_for))
                since = (since or time.monotonic()) if waits_for else None
                if since is not None and time.monotonic() - since > patience and not over.is_set():
                    ended.append(waits_for)
                    connection.exec_driver_sql("SELECT pg_cancel_backend(%(pid)s)", {"pid": pid})
                    return

    def safely() -> None:
        from contextlib import suppress

        with suppress(Exception):  # who looks on must not break what is done
            look()

    looking = threading.Thread(target=safely, name=f"watch {index}", daemon=True)
    looking.start()
    try:
        yield ended
    finally:
        over.set()
        looking.join(10)


def blocker(connection: Any, pid: int) -> str:
    """Return who a process is, in words."""
    row = connection.exec_driver_sql(_WHO, {"pid": pid}).first()
    if row is None:
        return f"process {pid}"
    name, state, seconds = row
    return f"process {pid} ({name}, {state or 'active'}, for {seconds:.0f} s)"


def _part(row: Any) -> float:
    if row is None:
        return 0.0
    phase, blocks, blocks_done, tuples, tuples_done, lockers, lockers_done, _ = row
    begins, ends = next(((begins, ends) for name, begins, ends in _PHASES if phase.startswith(name)), (0.0, 0.0))
    total, done = (blocks, blocks_done) if blocks else (tuples, tuples_done) if tuples else (lockers, lockers_done)
    return begins + (ends - begins) * min(1.0, done / total if total else 0.0)
