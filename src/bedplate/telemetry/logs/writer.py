"""The one place through which every line of a service's log leaves.

Writing a line is an append to a deque: no lock, no system call. A thread takes what has gathered, at the latest after
``interval`` seconds or when ``flush_bytes`` have gathered, and hands it to the outputs. A line may also be put off: it
is formed when it is handed over, in its place among the others. Many at a time, in one loop, cost half of what they
cost one by one between other work, and nobody waits for them. What may be lost, and when:

- A line of level ERROR or above is handed over at once, in the caller's thread, with all that came before it. Only when
  another thread is writing just then, or a pipe is full, is it left to the thread, which is woken; and so is a line
  that was put off, for what it tells of has been told by its own record.
- Whoever puts lines off outside, as HTTP does with the access log, is asked for them before lines are handed over at
  somebody's wish and at the end; SIGKILL loses what they have, too (:mod:`bedplate.telemetry.http.later`).
- The end of the process (``sys.exit``, an unhandled exception, SIGINT, a service's stop) hands over everything.
- SIGKILL, ``os._exit`` and a crash of the interpreter lose what gathered since the last hand-over: less than
  ``interval`` seconds of lines below ERROR.
- A child made by ``fork`` writes every line at once, for nobody tells whether it will end by ``os._exit``; a service
  that starts in the child has a writer of its own.
- For an output that is stuck (a pipe that nobody reads) lines wait up to a bound; beyond it they are lost and counted.
  The service itself never waits for an output.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging import ERROR, INFO
from typing import Any, Final

from bedplate.telemetry.logs.levels import LEVELS
from bedplate.telemetry.logs.outputs import Output

__all__ = ["Batch", "Deferred", "Writer"]

#: Lines with their levels, oldest first; each ends with a line end.
Batch = Sequence[tuple[int, bytes]]

#: Records to be formed later: their level, what makes a list of lines of it all, the records, and whatever that needs.
#: They must not change. Lines that cannot be formed are left out of the list; for one record the line alone will do.
Deferred = tuple[Any, ...]

#: Where a line tells its level, right after the timestamp: the first two letters.
_TIMESTAMP: Final = len('{"timestamp":"2026-11-22T10:53:50.123456Z",')
_LEVEL_AT: Final = slice(_TIMESTAMP, _TIMESTAMP + len('"level":"IN'))
_LEVELS: Final = {f'"level":"{name[:2]}'.encode(): number for name, number in LEVELS.items()}
_JOIN_SECONDS: Final = 2.0


class Writer:
    """Gathers lines and hands them to outputs. Safe to use from any thread, signal handler or finaliser.

    :param interval: seconds after which a line is handed over at the latest.
    :param flush_bytes: bytes that are handed over earlier than that.
    :param backlog_bytes: bytes that may gather, before the start or while an output is slow.
    :ivar dropped: lines that found the backlog full.
    """

    def __init__(
        self, *, interval: float = 0.1, flush_bytes: int = 262_144, backlog_bytes: int = 16 * 1024 * 1024
    ) -> None:
        self.interval = interval
        self.flush_bytes = flush_bytes
        self.backlog_bytes = backlog_bytes
        self.dropped = 0
        self.outputs: tuple[Output, ...] = ()
        #: Called before lines are handed over because somebody asked, and at the end: they write what they put off.
        self.sources: list[Callable[[], None]] = []
        #: Called by the thread from time to time: who should have written long ago does, as its own thread hangs.
        self.late: list[Callable[[], None]] = []
        #: Called with every batch after it was written, in the thread that wrote it.
        self.listeners: tuple[Callable[[Batch], None], ...] = ()
        self._pending: deque[Deferred] = deque()
        # Approximate, for threads may race for it; each hand-over begins at zero again.
        self._bytes = 0
        self._handing_over = threading.RLock()
        self._busy = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._started = False
        self._at_once = False
        _writers.add(self)

    def write(self, line: bytes, level: int = 0) -> None:
        """Take one JSON object and its line end.

        :param level: the record's level; 0 to read it from the line, where it follows the timestamp.
        """
        if level >= ERROR:
            self._gather(self.sources)
        size = self._bytes + len(line)
        if size > self.backlog_bytes:
            self.dropped += 1
            self._wake.set()
            return
        self._bytes = size
        self._pending.append((level, line))
        if level >= ERROR or self._at_once:
            self.flush(patient=False)
        elif size > self.flush_bytes and not self._wake.is_set():
            self._wake.set()

    def defer(self, bulk: Deferred, size: int) -> None:
        """Take records whose lines are formed when they are handed over, by ``bulk[1](bulk)``, in whichever thread.

        :param size: bytes that all lines will have together, more or less.
        """
        size += self._bytes
        if size > self.backlog_bytes:
            self.dropped += len(bulk[2])
            self._wake.set()
            return
        self._bytes = size
        self._pending.append(bulk)
        if self._at_once:
            self.flush(patient=False)
        elif (size > self.flush_bytes or bulk[0] >= ERROR) and not self._wake.is_set():
            self._wake.set()

    def start(self, outputs: Sequence[Output]) -> None:
        """Hand lines over in the background from now on, beginning with those that were written before."""
        self.outputs = tuple(outputs)
        self._started, self._at_once = True, False
        self._wake.clear()
        self._thread = threading.Thread(target=self._loop, name="bedplate-logs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Hand everything over and end the thread; a line written later is handed over at once."""
        if not self._started:
            return
        self._gather(self.sources)
        thread, self._thread = self._thread, None
        self._at_once = True
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)  # a stuck output must not keep the process from ending
        self.flush(patient=thread is None or not thread.is_alive())

    def close(self) -> None:
        """Stop, and close the outputs."""
        self.stop()
        for output in self.outputs:
            output.close()

    def flush(self, *, patient: bool = True) -> None:
        """Hand over what has gathered.

        :param patient: wait for a thread that is writing, and a moment for a full pipe; else leave it to the thread.
        """
        if not self._started:
            return
        if self._thread is not threading.current_thread():
            self._gather(self.sources)
        if not self._handing_over.acquire(blocking=patient):
            self._wake.set()
            return
        try:
            if self._busy:  # a signal handler or a finaliser logs in the middle of it
                self._wake.set()
                return
            self._busy = True
            try:
                self._hand_over(patient)
            finally:
                self._busy = False
        finally:
            self._handing_over.release()

    def _gather(self, sources: Sequence[Callable[[], None]]) -> None:
        for write in tuple(sources):
            with suppress(Exception):  # as with listeners
                write()

    def _loop(self) -> None:
        while self._thread is threading.current_thread():
            self._wake.wait(self.interval)
            self._wake.clear()
            self._gather(self.late)
            if self._pending or any(output.waiting for output in self.outputs):
                self.flush()

    def _hand_over(self, patient: bool) -> None:
        pending = self._pending
        self._bytes = 0
        batch: list[tuple[int, bytes]] = []
        for _ in range(len(pending)):
            record = pending.popleft()
            level, line = record[0], record[1]
            if line.__class__ is bytes:
                batch.append((level or _level(line), line))
                continue
            try:
                formed = line(record)
            except Exception:
                formed = []  # the lines behind them must not be lost with them
            if formed.__class__ is bytes:
                batch.append((level, formed))
                continue
            self.dropped += len(record[2]) - len(formed)
            batch += [(level, line) for line in formed]
        lines = [line for _, line in batch]
        errors = [line for level, line in batch if level >= ERROR]
        for output in self.outputs:
            due = errors if output.errors_only else lines
            if due or output.waiting:
                output.write(due, patient=patient)
        if batch:
            for listener in self.listeners:
                with suppress(Exception):  # whoever logs must not suffer for whoever listens
                    listener(batch)

    def _forked(self) -> None:
        """Begin anew in the child of a fork: what gathered is the parent's to write, and threads do not survive."""
        self._pending.clear()
        self._bytes = 0
        self._handing_over = threading.RLock()
        self._busy = False
        self._wake = threading.Event()
        self._thread = None
        self._at_once = True
        for output in self.outputs:
            output.close()  # locks are shared through a descriptor that is inherited


def _level(line: bytes) -> int:
    level = _LEVELS.get(line[_LEVEL_AT])
    if level is None:  # written by somebody who orders fields otherwise
        level = ERROR if b'"level":"ERROR"' in line or b'"level":"CRITICAL"' in line else INFO
    return level


_writers: weakref.WeakSet[Writer] = weakref.WeakSet()


def _after_fork() -> None:
    for writer in list(_writers):
        writer._forked()


def _at_exit() -> None:
    for writer in list(_writers):
        writer.stop()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
