"""What reaches a worker in the middle of a step: stop, pause, throttle, other wishes, and how others fare."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.work import Stopped

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Brake", "Control", "WorkerPace"]

#: Seconds that a chunk should take when nobody suffers, when somebody does, and where processors are wanted: whoever
#: wakes up to serve a request waits for a whole one then.
_LONG, _SHORT, _GENTLE = 0.08, 0.05, 0.005
#: There so many rows a second are copied at most, and for so great a share of the time.
_ROWS, _SHARE = 22_000, 0.5
#: The most that a rest may be, in the time of the work before it, and in seconds.
_MOST_BRAKE, _LONGEST = 9.0, 2.0
#: Seconds that a replica may be behind before copying waits for it.
_LAG = 5.0
#: Sessions that wait for locks, and growth of a commit's time, that count as suffering.
_WAITING, _GROWTH, _SLOW = 3, 3.0, 0.025
#: Seconds by which some who wake up get a processor later than others, where processors are wanted; and looks without
#: that until they are not.
_CROWDED, _CALM = 0.00005, 8
#: Seconds between an order to turn and the end of a statement that runs on.
_MERCY = 1.0


class Brake:
    """How much slower than it could a worker goes, from what it sees of others.

    Multiplied while somebody suffers, given back slowly: a chunk too few costs nothing, a slow service does.

    """

    def __init__(self) -> None:
        self.force = 0.0
        #: Looks still to come without anybody waiting for a processor; it begins as if somebody did.
        self.crowded = _CALM
        #: Seconds that a commit took lately, and what it took when it was quick.
        self.commit = 0.0
        self.usual = 0.0
        self.lag = 0.0
        self.waiting = 0

    @property
    def stands(self) -> bool:
        """Whether a replica is so far behind that nothing more may be copied."""
        return self.lag > _LAG

    def feel(self, *, lag: float, waiting: int, commit: float, late: float = 0.0) -> None:
        """Take in how others fare.

        :param lag: seconds that the last replica is behind. :param waiting: sessions that wait for a lock.
        :param commit: seconds that a commit took. :param late: seconds by which some who wake up on the server get a
            processor later than others.
        """
        self.crowded = _CALM if late > _CROWDED else max(self.crowded - 1, 0)
        self.lag, self.waiting, self.commit = lag, waiting, commit
        # The usual time follows a quicker one at once and a slower one hardly, or it would get used to what it does.
        self.usual = commit if not self.usual or commit < self.usual else self.usual * 1.002
        suffering = lag > _LAG / 2 or waiting >= _WAITING or commit > max(_SLOW, self.usual * _GROWTH)
        if suffering:
            self.force = min(_MOST_BRAKE, self.force * 1.5 + 0.25)
        else:
            self.force = max(0.0, self.force * 0.85 - 0.02)


class Control:
    """The reins of one worker, held by other threads.

    :ivar stop: set when the worker is to end.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.paused = False
        self.throttle = 100
        self.brake = Brake()
        self._turn = threading.Event()
        self._calmed = threading.Event()
        self._critical = False
        self._connections: list[Connection[Any]] = []
        self._lock = threading.Lock()

    @property
    def turning(self) -> bool:
        """Whether the step that runs is to end: the worker stops, or something else is wanted."""
        return self.stop.is_set() or self._turn.is_set()

    def end(self) -> None:
        """Tell the worker to end, and break off what it waits for."""
        self.stop.set()
        self._break_off()

    def turn(self) -> None:
        """Tell the worker to end its step, and to look again what is wanted; told again until it does."""
        if self._critical:
            return
        self._turn.set()
        if not self._calmed.wait(_MERCY):
            self._break_off()

    def begin(self, *, critical: bool = False) -> None:
        """Note that a step begins; a critical one is short, and is not broken off for another wish."""
        self._critical = critical
        self._turn.clear()
        self._calmed.clear()

    def done(self) -> None:
        """Note that the step has ended."""
        self._critical = False
        self._calmed.set()

    def holds(self, connection: Connection[Any]) -> None:
        """Know a connection whose statement has to be broken off."""
        with self._lock:
            self._connections.append(connection)

    def leaves(self, connection: Connection[Any]) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.remove(connection)

    def _break_off(self) -> None:
        from psycopg.pq import TransactionStatus

        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            try:
                if connection.info.transaction_status == TransactionStatus.ACTIVE:
                    connection.cancel_safe(timeout=2.0)
            except Exception:
                continue  # it is lost anyhow, and its statement with it


class WorkerPace:
    """A :class:`~bedplate.database.cutover.work.Pace` that follows the reins.

    :param rested: is told the share of its time that the worker rests.
    """

    def __init__(self, control: Control, rested: Callable[[float], None] = lambda share: None) -> None:
        self._control = control
        self._rested = rested

    @property
    def seconds(self) -> float:
        """How long a chunk should take."""
        if self.gentle:
            return _GENTLE
        return _SHORT if self._control.brake.force > 0.5 else _LONG

    @property
    def gentle(self) -> bool:
        """Whether others want the server's processors."""
        return self._control.brake.crowded > 0

    def rest(self, worked: float, rows: int = 0) -> None:
        """Rest as throttled and braked; wait while paused, or while a replica is too far behind.

        Whoever copies rows is gentle as well: it rests at least as long as it worked while processors are wanted.

        :raises Stopped: when the step is to end.
        """
        control, began = self._control, time.monotonic()
        wanted = worked * (100.0 / max(1, control.throttle) - 1.0) + min(_LONGEST, worked * control.brake.force)
        if rows and self.gentle:
            wanted = max(wanted, rows / _ROWS - worked, worked / _SHARE - worked)
        while True:
            if control.turning:
                raise Stopped
            left = wanted - (time.monotonic() - began)
            if not control.paused and not control.brake.stands and left <= 0:
                break
            control.stop.wait(min(0.1, left) if left > 0 else 0.1)
        rested = time.monotonic() - began
        self._rested(rested / (rested + worked) if rested + worked > 0 else 0.0)
