"""Waiting for the one right to write into a file that a service writes all the time."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

__all__ = ["PATIENCE", "begin_writing"]

#: Seconds that it waits for whoever writes: nobody waits for this.
PATIENCE = 300.0
#: Seconds between two tries. SQLite's own waiting looks ten times a second, and nobody queues: beside a service that
#: writes all the time it finds the moments between two of its transactions by chance, or not at all.
_EVERY = 0.001
#: Seconds after which people are told.
_SOON = 1.0


def begin_writing(connection: sqlite3.Connection, waits: Callable[[], object] = lambda: None) -> None:
    """Begin a transaction that has the right to write, as soon as it is free.

    :param waits: is called when that is not soon.
    :raises sqlite3.OperationalError: when it was not free for :data:`PATIENCE`.
    """
    began, told = time.monotonic(), False
    (before,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                waited = time.monotonic() - began
                if "locked" not in str(error) or waited > PATIENCE:
                    raise
            if waited > _SOON and not told:
                waits()
                told = True
            time.sleep(_EVERY)
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(before)}")
