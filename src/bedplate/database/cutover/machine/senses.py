"""Beside a worker, on a connection of its own: reads what people want, and how writers and replicas fare."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.machine.control import Control
from bedplate.database.cutover.machine.following import Following
from bedplate.database.cutover.machine.record import Book, Record

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Senses", "feel"]

#: Seconds between two looks.
_EVERY = 0.5
#: How late each of some naps ends, which are a millisecond long. The subqueries keep each moment beside its nap.
_NAPS = """SELECT extract(epoch FROM clock_timestamp() - began)::float8 FROM (
  SELECT began, pg_sleep(0.0005)::text AS slept FROM (
    SELECT clock_timestamp() AS began FROM generate_series(1, 20) OFFSET 0) one OFFSET 0) other WHERE slept = ''"""


class Senses:
    """A thread that holds the reins of one worker while inside.

    :param connect: opens a connection to the primary. :param changed: says whether a row asks for another step than
        the one that runs.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractContextManager[Connection[Any]]],
        name: str,
        control: Control,
        changed: Callable[[Record], bool],
        *,
        every: float = _EVERY,
        felt: Callable[[float], None] = lambda commit: None,
    ) -> None:
        self._connect = connect
        self._name = name
        self._control = control
        self._changed = changed
        self._every = every
        self._felt = felt
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"bedplate-cutover-senses {name}", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                with self._connect() as connection:
                    self._watch(connection)
            except Exception:
                # The worker's own connection tells what there is to tell; without senses it only goes on as before.
                self._over.wait(1.0)

    def _watch(self, connection: Connection[Any]) -> None:
        book, control, following = Book(connection, self._name), self._control, Following()
        while not self._over.wait(self._every):
            record = book.read()
            if record is not None:
                control.paused, control.throttle = record.paused, record.throttle
                if self._changed(record):
                    control.turn()
            feel(connection, control, following)
            self._felt(control.brake.commit)


def feel(connection: Connection[Any], control: Control, following: Following) -> None:
    """Look once how writers and replicas fare, and put the brake on or off."""
    # A writer's commit waits for the same disk, and for the same synchronous replicas, as this message does.
    began = time.monotonic()
    ask(connection, "SELECT pg_logical_emit_message(true, 'bedplate', '')")
    commit = time.monotonic() - began
    waiting = ask(
        connection,
        """SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()
        AND application_name NOT LIKE 'bedplate cutover%' AND backend_type = 'client backend'""",
    )[0][0]
    lag = following.lag(connection) or 0.0
    control.brake.feel(lag=lag, waiting=int(waiting), commit=commit, late=_late(connection))


def _late(connection: Connection[Any]) -> float:
    """Return by how much more the late ones of some naps overslept than the quickest one, in seconds.

    Where a processor is free, all wake up as late; one in eight may be late by accident.
    """
    slept = sorted(row[0] for row in ask(connection, _NAPS))
    return float(slept[-1 - len(slept) // 8] - slept[0])
