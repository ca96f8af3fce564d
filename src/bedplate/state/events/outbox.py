"""Events on this host's disk until the store takes them: one file a process, whose lock is its life."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import orjson
from uuid_utils import uuid4

from bedplate.state.events.errors import EventsUnavailableError
from bedplate.state.store import StoreError

__all__ = ["Outbox", "Waiting"]

#: An event that waits: its stream, its key, its JSON.
Waiting = tuple[str, str, bytes]
#: Events handed over in one go, or more would be added than are.
_BATCH = 100


class Outbox:
    """Keeps events in the order in which they came, over a restart of the process and of the machine.

    :param folder: where; files of processes that died are taken over by the next that starts with it.
    :param prefix: what the files' names begin with: the service and the component.
    :param most: events that may wait; more are refused.
    """

    def __init__(self, folder: Path, prefix: str, most: int, counted: Callable[[int], None]) -> None:
        self._folder, self._prefix, self._most = folder, prefix, most
        self._counted = counted
        self._pending: dict[str, deque[Waiting]] = {}
        self._writing = asyncio.Lock()
        self._fd = -1
        #: Whether the file has what was handed over.
        self._given = False
        self._path = folder
        self.wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return sum(map(len, self._pending.values()))

    def holds(self, stream: str) -> bool:
        """Return whether events of a stream wait."""
        return stream in self._pending

    async def open(self) -> None:
        """Make a file of its own, and take over those that the dead have left."""
        found = await asyncio.to_thread(self._open)
        for waiting in found:
            self._append(waiting)
        self._changed()

    def close(self) -> None:
        """Give the file up: it is gone when nothing is in it, else the next process finds it."""
        if self._fd < 0:
            return
        if not self._pending:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    async def put(self, stream: str, key: str, text: bytes) -> None:
        """Keep an event; when this returns it is on the disk.

        :raises EventsUnavailableError: when there are too many, or the disk cannot be written.
        """
        if self._fd < 0 or self.waiting >= self._most:
            raise EventsUnavailableError(f"the store is away, and {self.waiting} events wait on disk.")
        async with self._writing:
            waiting = (stream, key, text)
            try:
                await _whole(asyncio.to_thread(self._write, [waiting]))
            except OSError as error:
                raise EventsUnavailableError(
                    f"the store is away, and the outbox cannot be written: {error}."
                ) from error
            self._append(waiting)
        self._changed()

    async def drain(self, add: Callable[[list[Waiting]], Awaitable[int]]) -> None:
        """Hand over what waits, the oldest of each stream first; what fails stays, and its error is raised.

        A stream that takes nothing does not hold up the others; an error of the store ends it at once. An event is
        handed over again when the process dies before the file is cleared; its key tells that it is the same.

        :param add: is given some of one stream, and returns how many of them, from the first on, are added.
        """
        stuck: dict[str, Exception] = {}
        try:
            while (stream := next((name for name in self._pending if name not in stuck), None)) is not None:
                try:
                    await self._hand_over(stream, add)
                except StoreError:
                    raise
                except Exception as error:
                    stuck[stream] = error
        finally:
            if self._given:
                async with self._writing:
                    self._given = False
                    await _whole(asyncio.to_thread(self._clear, list(chain.from_iterable(self._pending.values()))))
        for why in stuck.values():
            raise why

    async def _hand_over(self, stream: str, add: Callable[[list[Waiting]], Awaitable[int]]) -> None:
        # Without the lock: whoever adds all the time would keep it from us for ever.
        waiting = self._pending[stream]
        while waiting:
            for _ in range(await add(list(islice(waiting, _BATCH)))):
                waiting.popleft()
            self._given = True
            if not waiting:
                del self._pending[stream]
            self._changed()

    def _append(self, waiting: Waiting) -> None:
        self._pending.setdefault(waiting[0], deque()).append(waiting)

    def _changed(self) -> None:
        self._counted(self.waiting)
        if self._pending:
            self.wake.set()

    # In a thread.

    def _open(self) -> list[Waiting]:
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            self._path = self._folder / f"{self._prefix}{uuid4().hex}.jsonl"
            # What happened may be nobody else's business.
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            if _same(self._fd, self._path):
                break
            os.close(self._fd)  # somebody took it for one of the dead, before it was locked
        found: list[Waiting] = []
        for path in sorted(self._folder.glob(f"{self._prefix}*.jsonl"), key=lambda path: path.stat().st_mtime):
            if path != self._path:
                found += self._adopt(path)
        return found

    def _adopt(self, path: Path) -> list[Waiting]:
        try:
            fd = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return []
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return []
        if not _same(fd, path):
            os.close(fd)  # its owner has put another in its place
            return []
        with os.fdopen(fd, "rb") as file:
            found = list(_lines(file.read()))
            # First in our file, then gone from theirs: rather twice than not at all.
            self._write(found)
            path.unlink(missing_ok=True)
        return found

    def _write(self, events: list[Waiting]) -> None:
        if events:
            _append_to(self._fd, events)

    def _clear(self, left: list[Waiting]) -> None:
        """Leave only what still waits in the file."""
        if self._fd < 0:
            return
        if not left:
            os.ftruncate(self._fd, 0)
            os.fsync(self._fd)
            return
        old, path = self._fd, self._path.with_suffix(".new")
        new = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(new, fcntl.LOCK_EX)
            _append_to(new, left)
            path.replace(self._path)
        except OSError:
            os.close(new)
            path.unlink(missing_ok=True)
            raise
        self._fd = new
        os.close(old)


async def _whole(work: Coroutine[Any, Any, None]) -> None:
    """Let a thread end what it does to the file before another begins, also when whoever waits is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    finally:
        if not task.done():
            await asyncio.wait([task])
            task.exception()


def _append_to(fd: int, events: list[Waiting]) -> None:
    lines = [orjson.dumps([stream, key, text.decode()]) + b"\n" for stream, key, text in events]
    before = os.fstat(fd).st_size
    left = memoryview(b"".join(lines))
    try:
        while left:  # a disk that is nearly full takes a part
            left = left[os.write(fd, left) :]
        os.fsync(fd)
    except OSError:
        # Half a line would spoil the next one.
        os.ftruncate(fd, before)
        raise


def _same(fd: int, path: Path) -> bool:
    try:
        return os.fstat(fd).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _lines(data: bytes) -> Iterator[Waiting]:
    for line in data.split(b"\n"):
        try:
            stream, key, text = orjson.loads(line)
        except ValueError:
            continue  # the end of one that died while it wrote: whoever wanted it written was not told that it is
        yield str(stream), str(key), str(text).encode()
