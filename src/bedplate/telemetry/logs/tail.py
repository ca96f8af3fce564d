"""The latest records in memory, for the management API and the console; bounded by number and by bytes."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from typing import Any

import orjson

from bedplate.telemetry.logs.levels import LEVELS, level_number
from bedplate.telemetry.logs.writer import Batch

__all__ = ["LogTail", "Matcher"]


class Matcher:
    """Tells whether a record is wanted.

    :param level: the least level. :param logger: a logger, with all below it. :param request_id: one request.
    :param trace_id: one trace. :param text: a part of the record, whatever the case.
    :param since: a timestamp in ISO 8601; that and later ones.
    :raises BedplateError: when the level is none.
    """

    def __init__(
        self,
        *,
        level: str | int = 0,
        logger: str = "",
        request_id: str = "",
        trace_id: str = "",
        text: str = "",
        since: str = "",
    ) -> None:
        self._level = level_number(level) if level else 0
        self._logger = logger
        self._request_id = request_id
        self._trace_id = trace_id
        self._since = since
        # As JSON writes it, so that it can be looked for in the line before the line is parsed.
        self._text = orjson.dumps(text)[1:-1].decode().lower()

    def __call__(self, level: int, line: bytes) -> dict[str, Any] | None:
        """Return the record if it is wanted."""
        if level < self._level:
            return None
        if self._text and self._text not in line.decode("utf-8", "replace").lower():
            return None
        for wanted in (self._request_id, self._trace_id):
            if wanted and wanted.encode() not in line:
                return None
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        if not isinstance(record, dict):
            return None
        return record if self._matches(record) else None

    def _matches(self, record: Mapping[str, Any]) -> bool:
        logger = record.get("logger", "")
        return (
            (not self._request_id or record.get("request_id") == self._request_id)
            and (not self._trace_id or record.get("trace_id") == self._trace_id)
            and (not self._logger or logger == self._logger or str(logger).startswith(f"{self._logger}."))
            and (not self._since or str(record.get("timestamp", "")) >= self._since)
        )


class LogTail:
    """Keeps the latest records. Lines stay bytes until somebody asks for them.

    :param max_records: how many are kept. :param max_bytes: how many bytes they may take together.
    :ivar catch_up: called before records are read, so that those still under way are among them.
    :ivar missed: records that went before they were drained, and records that slow subscribers did not get.
    """

    def __init__(self, max_records: int = 5_000, max_bytes: int = 4 * 1024 * 1024) -> None:
        self.max_records = max_records
        self.max_bytes = max_bytes
        self.missed = 0
        self.catch_up: Callable[[], None] = _nothing
        self._lock = threading.Lock()
        self._batches: deque[list[tuple[int, bytes]]] = deque()
        self._count = 0
        self._bytes = 0
        self._undrained = 0
        self._evicted = 0
        self._subscribers: tuple[Callable[[Batch], None], ...] = ()

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """The bytes that the records take."""
        return self._bytes

    def add(self, batch: Batch) -> None:
        """Take lines with their levels, oldest first."""
        with self._lock:
            self._batches.append(list(batch))
            self._count += len(batch)
            self._bytes += sum(len(line) for _, line in batch)
            self._undrained += len(batch)
            while self._count > self.max_records or self._bytes > self.max_bytes:
                self._evict(self._batches[0])
            over = self._undrained - self._count
            if over > 0:
                self._undrained -= over
                self._evicted += over
        for deliver in self._subscribers:
            deliver(batch)

    def _evict(self, oldest: list[tuple[int, bytes]]) -> None:
        """Forget the oldest batch, or as much of it as is too much."""
        gone = 0
        while gone < len(oldest) and (self._count > self.max_records or self._bytes > self.max_bytes):
            self._bytes -= len(oldest[gone][1])
            self._count -= 1
            gone += 1
        if gone == len(oldest):
            self._batches.popleft()
        else:
            del oldest[:gone]

    def search(self, *, limit: int = 100, **filters: Any) -> list[dict[str, Any]]:
        """Return the records that match, newest first; the filters are those of :class:`Matcher`.

        :raises BedplateError: when the level is none.
        """
        matcher = Matcher(**filters)
        self.catch_up()
        with self._lock:
            lines = list(chain.from_iterable(self._batches))
        found: list[dict[str, Any]] = []
        for level, line in reversed(lines):
            if len(found) >= limit:
                break
            record = matcher(level, line)
            if record is not None:
                found.append(record)
        return found

    def drain(self) -> list[dict[str, Any]]:
        """Return what came since the last call, oldest first, to be sent to another process. It stays here as well."""
        self.catch_up()
        with self._lock:
            new = list(chain.from_iterable(self._batches))[self._count - self._undrained :]
            self.missed += self._evicted
            self._undrained = self._evicted = 0
        return [orjson.loads(line) for _, line in new]

    def extend(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Take records that another process drained."""
        batch = [
            (LEVELS.get(str(record.get("level")), 20), orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
            for record in records
        ]
        if batch:
            self.add(batch)
            with self._lock:
                self._undrained = self._evicted = 0

    @contextmanager
    def subscribe(self, *, buffer: int = 1_000, **filters: Any) -> Iterator[AsyncIterator[dict[str, Any]]]:
        """Follow records as they come, on the running event loop; the filters are those of :class:`Matcher`.

        :param buffer: records that wait for a slow reader; beyond that the oldest is dropped and counted.
        """
        matcher = Matcher(**filters)
        loop = asyncio.get_running_loop()
        waiting: deque[tuple[int, bytes]] = deque(maxlen=buffer)
        news = asyncio.Event()

        def receive(batch: Batch) -> None:
            self.missed += max(0, len(waiting) + len(batch) - buffer)
            waiting.extend(batch)
            news.set()

        def deliver(batch: Batch) -> None:
            with suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(receive, batch)

        async def records() -> AsyncIterator[dict[str, Any]]:
            while True:
                while waiting:
                    record = matcher(*waiting.popleft())
                    if record is not None:
                        yield record
                news.clear()
                await news.wait()

        with self._lock:
            self._subscribers += (deliver,)
        try:
            yield records()
        finally:
            with self._lock:
                self._subscribers = tuple(other for other in self._subscribers if other is not deliver)


def _nothing() -> None:
    """Catch up with nothing."""
