"""Events on this host's disk until the store takes them: one file a process, whose lock is its life."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import orjson
from uuid_utils import uuid4

from bedplate.state.events.errors import EventsUnavailableError

__all__ = ["Outbox", "Waiting"]

#: An event that waits: its stream, its key, its JSON.
Waiting = tuple[str, str, bytes]


class Outbox:
    """Keeps events in the order in which they came, over a restart of the process and of the machine.

    :param folder: where; files of processes that died are taken over by the next that starts with it.
    :param prefix: what the files' names begin with: the service and the component.
    :param most: events that may wait; more are refused.
    """

    def __init__(self, folder: Path, prefix: str, most: int, counted: Callable[[int], None]) -> None:
        self._folder, self._prefix, self._most = folder, prefix, most
        self._counted = counted
        self._pending: deque[Waiting] = deque()
        self._writing = asyncio.Lock()
        self._fd = -1
        self._path = folder
        self.wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """How many events wait."""
        return len(self._pending)

    async def open(self) -> None:
        """Make a file of its own, and take over those that the dead have left."""
        found = await asyncio.to_thread(self._open)
        self._pending.extend(found)
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
        if self._fd < 0 or len(self._pending) >= self._most:
            raise EventsUnavailableError(f"the store is away, and {len(self._pending)} events wait on disk.")
        async with self._writing:
            waiting = (stream, key, text)
            try:
                await asyncio.to_thread(self._write, [waiting])
            except OSError as error:
                raise EventsUnavailableError(
                    f"the store is away, and the outbox cannot be written: {error}."
                ) from error
            self._pending.append(waiting)
        self._changed()

    async def drain(self, add: Callable[[Waiting], Awaitable[object]]) -> None:
        """Hand over what waits, the oldest first; what fails stays, and its error is raised.

        An event is handed over again when the process dies before the file is cleared; its key tells that it is the
        same.
        """
        while self._pending:
            await add(self._pending[0])
            async with self._writing:
                self._pending.popleft()
                self._changed()
                if not self._pending:
                    await asyncio.to_thread(self._clear)

    def _changed(self) -> None:
        self._counted(len(self._pending))
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
        with os.fdopen(fd, "rb") as file:
            found = list(_lines(file.read()))
            # First in our file, then gone from theirs: rather twice than not at all.
            self._write(found)
            path.unlink(missing_ok=True)
        return found

    def _write(self, events: list[Waiting]) -> None:
        if events:
            lines = [orjson.dumps([stream, key, text.decode()]) + b"\n" for stream, key, text in events]
            os.write(self._fd, b"".join(lines))
            os.fsync(self._fd)

    def _clear(self) -> None:
        os.ftruncate(self._fd, 0)
        os.fsync(self._fd)


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
