"""The audit log as files: appended under a lock, so that several processes continue one chain, and rotated by size."""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from bedplate.monitor.audit.chain import GENESIS, Verification, sealed, verify

__all__ = ["AuditLog", "files_of"]

_TAIL = 65_536


def files_of(path: Path) -> list[Path]:
    """Return the files of a log, the oldest first: ``audit.jsonl.2``, ``audit.jsonl.1``, ``audit.jsonl``."""
    rotated = [
        (int(one.name.rpartition(".")[2]), one)
        for one in path.parent.glob(f"{path.name}.*")
        if one.name.rpartition(".")[2].isdigit()
    ]
    return [*(one for _, one in sorted(rotated, reverse=True)), *([path] if path.exists() else [])]


class AuditLog:
    """Appends records to the chain; thread-safe, and safe between processes of one host.

    :param path: the file; None keeps the latest records in memory alone.
    :param max_bytes: beyond this the file is rotated. :param keep: rotated files that are kept.
    """

    def __init__(self, path: Path | None = None, *, max_bytes: int = 16 * 2**20, keep: int = 20) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._lock = threading.Lock()
        self._memory: deque[dict[str, Any]] = deque(maxlen=1000)
        self._number = 0
        self._head = GENESIS

    def append(self, record: Mapping[str, Any]) -> str:
        """Add a record; return its hash once the disk has it. It waits for the disk: call it in a thread.

        :raises OSError: when the file cannot be written. :raises ValueError: when its last line is no record.
        """
        with self._lock:
            if self.path is None:
                line, self._head = sealed(record, self._number + 1, self._head)
                self._number += 1
                self._memory.append(orjson.loads(line))
                return self._head
            with self._locked(self.path) as path:
                number, head = _last(path)
                line, self._head = sealed(record, number + 1, head)
                if path.exists() and path.stat().st_size + len(line) > self._max_bytes:
                    self._rotate(path)
                _write(path, line)
                return self._head

    def latest(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the latest records, the newest first; what is not JSON is left out."""
        if self.path is None:
            with self._lock:
                return list(self._memory)[: -limit - 1 : -1]
        found: list[dict[str, Any]] = []
        for file in reversed(files_of(self.path)):
            for line in reversed(_tail(file, limit - len(found))):
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    found.append(record)
            if len(found) >= limit:
                break
        return found[:limit]

    def verify(self) -> Verification:
        """Check the whole chain."""
        if self.path is None:
            with self._lock:
                return verify([("memory", [orjson.dumps(record) for record in self._memory])])
        return verify(_lines(files_of(self.path)))

    @contextmanager
    def _locked(self, path: Path) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield path
        finally:
            os.close(descriptor)

    def _rotate(self, path: Path) -> None:
        rotated = [one for one in files_of(path) if one != path]
        for file in rotated[: max(0, len(rotated) - self._keep + 1)]:
            file.unlink()
        for file in [one for one in rotated if one.exists()]:
            number = int(file.name.rpartition(".")[2])
            file.rename(path.with_name(f"{path.name}.{number + 1}"))
        path.rename(path.with_name(f"{path.name}.1"))


def _write(path: Path, line: bytes) -> None:
    """Append a line and wait until it would survive a power cut."""
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # One write of one line: a reader sees all of it or none, and so does a crash of the process.
        written = os.write(descriptor, line)
        if written != len(line):
            raise OSError(f"Only {written} of {len(line)} bytes were written to {path}.")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)  # the name of a new file is kept by its folder
        finally:
            os.close(folder)


def _last(path: Path) -> tuple[int, str]:
    """Return the number and the hash of the last record of a log."""
    for file in reversed(files_of(path)):
        for line in reversed(_tail(file, 1)):
            record = orjson.loads(line)
            return int(record["number"]), str(record["hash"])
    return 0, GENESIS


def _tail(file: Path, lines: int) -> list[bytes]:
    """Return the last lines of a file."""
    with file.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        size, data = stream.tell(), b""
        while size > 0 and data.count(b"\n") <= lines:
            step = min(_TAIL, size)
            size -= step
            stream.seek(size)
            data = stream.read(step) + data
    return [line for line in data.splitlines() if line.strip()][-lines:] if lines > 0 else []


def _lines(files: Iterable[Path]) -> Iterator[tuple[str, Iterable[bytes]]]:
    for file in files:
        with file.open("rb") as stream:
            yield str(file), (line for line in stream if line.strip())
