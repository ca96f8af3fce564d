"""The switch and the way back, as steps of a cutover."""

from __future__ import annotations

from bedplate.database.cutover.switch.locking import PATIENCE, WITHIN
from bedplate.database.cutover.switch.turning import turn
from bedplate.database.cutover.work import Switched, Work

__all__ = ["rollback", "switch"]


def switch(work: Work, *, patience: float = PATIENCE, within: float = WITHIN) -> Switched:
    """Let the partitioned tables of a plan take the names of the plain ones: all of them at once, or none.

    Reads and writes of the names go on; from now on the legacy tables follow what is written, so that
    :func:`rollback` is the same step the other way.

    :param patience: seconds that an attempt waits for its locks, and everybody else behind it.
    :param within: seconds after which it is given up.
    :raises CutoverError: when nothing was switched, and why: the two are not alike, rows differ under the lock,
        somebody holds a table all the time, or transactions with old snapshots do not end.
    :raises psycopg.errors.LockNotAvailable: when the locks were never free in time; try again later.
    """
    return turn(work, "switch", "switched", patience=patience, within=within)


def rollback(work: Work, *, patience: float = PATIENCE, within: float = WITHIN) -> Switched:
    """Let the legacy tables be live again, with everything that was written since the switch; see :func:`switch`.

    The partitioned ones follow from now on, so that one can switch again.
    """
    return turn(work, "rollback", "verified", patience=patience, within=within)
