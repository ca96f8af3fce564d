"""Where lines end up: a standard stream, or a rotating file that several processes may share.

An output takes whole lines and never raises: what it cannot write is counted in ``lost``, and ``fault`` says why until
a write succeeds again.
"""

from __future__ import annotations

import fcntl
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

__all__ = ["FileOutput", "Output", "StreamOutput"]

_PATIENCE_SECONDS = 0.2
_PIECE = 1 << 16


class Output(Protocol):
    """Takes lines of bytes with their line ends; called by one thread at a time.

    :ivar errors_only: whether it takes records of level ERROR and above alone.
    :ivar fault: why it does not work now, empty when it does.
    :ivar lost: lines it could not write. :ivar written: bytes it wrote. :ivar waiting: bytes it still has to write.
    """

    name: str
    errors_only: bool
    fault: str
    lost: int
    written: int
    waiting: int

    def write(self, lines: Sequence[bytes], *, patient: bool = True) -> None:
        """Write what waits and then the lines; without patience, what would block waits for the next call."""
        ...

    def close(self) -> None:
        """Give the output's resources back."""
        ...


class StreamOutput:
    """A standard stream.

    Writes go to the file descriptor, past Python's buffers, and only when it is ready: a pipe that nobody reads stops
    nobody. A pipe is shared by all worker processes, and only writes of up to ``PIPE_BUF`` bytes are one piece there:
    lines are put together up to that size, and only longer ones may be interleaved.

    :param name: ``stderr`` or ``stdout``; looked up at each write, so that whoever replaces the stream is heard.
    :param render: turns a line into what is shown; by default it is shown as it is.
    :param backlog_bytes: what may wait for a slow reader; beyond that lines are lost.
    """

    errors_only = False

    def __init__(
        self,
        name: str = "stderr",
        render: Callable[[bytes], bytes] | None = None,
        *,
        backlog_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self.name = name
        self.fault = ""
        self.lost = 0
        self.written = 0
        self.waiting = 0
        self._render = render
        self._backlog_bytes = backlog_bytes
        self._chunks: deque[bytes] = deque()

    def write(self, lines: Sequence[bytes], *, patient: bool = True) -> None:
        """Write the lines as far as the reader takes them."""
        shown: Iterable[bytes] = lines if self._render is None else map(self._render, lines)
        new = len(lines)
        try:
            stream = getattr(sys, self.name)
            if stream is None or stream.closed:
                raise OSError("the stream is closed")
            descriptor = _descriptor(stream)
            if descriptor is None:
                self._write_text(stream, shown)
            else:
                self._enqueue(_chunks(shown, _piece(descriptor)))
                new = 0
                self._drain(descriptor, _PATIENCE_SECONDS if patient else 0.0)
        except (OSError, ValueError) as error:
            self.fault = f"{self.name}: {getattr(error, 'strerror', None) or error}"
            self.lost += new + sum(chunk.count(b"\n") for chunk in self._chunks)
            self._chunks.clear()
            self.waiting = 0

    def close(self) -> None:
        """Forget what waits; the stream itself is not ours to close."""
        self._chunks.clear()
        self.waiting = 0

    def _write_text(self, stream: object, lines: Iterable[bytes]) -> None:
        text = b"".join(lines).decode("utf-8", "replace")
        stream.write(text)  # type: ignore[attr-defined]
        stream.flush()  # type: ignore[attr-defined]
        self.written += len(text)
        self.fault = ""

    def _enqueue(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            if self.waiting + len(chunk) > self._backlog_bytes:
                self.lost += chunk.count(b"\n")
            else:
                self._chunks.append(chunk)
                self.waiting += len(chunk)

    def _drain(self, descriptor: int, patience: float) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        piece = _piece(descriptor)
        while self._chunks:
            if not poll.poll(patience * 1000):
                if patience:
                    self.fault = f"{self.name}: nobody reads it"
                return
            chunk = self._chunks[0]
            try:
                count = os.write(descriptor, chunk[:piece])
            except BlockingIOError:
                return
            self._chunks.popleft()
            if count < len(chunk):
                self._chunks.appendleft(chunk[count:])
            self.written += count
            self.waiting -= count
        self.fault = ""


class FileOutput:
    """A file that is appended to and rotated, by any number of processes at once.

    Every batch is one ``write`` in append mode, which local file systems keep in one piece. Whoever finds the file too
    large locks it (``flock`` on the file itself), looks whether it still is the one at the path, and renames; the
    others notice at their next batch that the path is another file, and reopen it. A batch that was on its way then
    lands at the end of the rotated file: nothing is lost. Files moved by logrotate are followed in the same way.

    :param path: the file. :param max_bytes: from which size it is rotated. :param backups: how many old ones are kept.
    :param errors_only: whether it takes records of level ERROR and above alone.
    """

    waiting = 0

    def __init__(self, path: Path, *, max_bytes: int, backups: int, errors_only: bool = False) -> None:
        self.name = path.name
        self.path = path
        self.errors_only = errors_only
        self.fault = ""
        self.lost = 0
        self.written = 0
        self._max_bytes = max_bytes
        self._backups = backups
        self._descriptor = -1
        self._identity: tuple[int, int] = (0, 0)
        self._torn = False

    def write(self, lines: Sequence[bytes], *, patient: bool = True) -> None:
        """Append the lines, in a new file when this one is full."""
        # A full disk may have taken half a line: what follows must begin on a line of its own.
        block = (b"\n" if self._torn else b"") + b"".join(lines)
        done = 0
        try:
            size = self._follow()
            if size and size + len(block) > self._max_bytes:
                self._rotate(len(block))
            while done < len(block):
                done += os.write(self._descriptor, block[done:])
            self.fault = ""
        except OSError as error:
            self.fault = f"{self.name}: {error.strerror or error}"
            self.lost += len(lines) - (block[self._torn : done].count(b"\n") if done else 0)
            self.close()
        if done:
            self.written += done
            self._torn = block[done - 1] != 0x0A

    def close(self) -> None:
        """Close the file; the next write opens it again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _follow(self) -> int:
        """Have the file at the path open; return its size."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return self._open()
        if self._descriptor < 0 or (status.st_dev, status.st_ino) != self._identity:
            return self._open()
        return status.st_size

    def _open(self) -> int:
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self.path, flags, 0o640)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, flags, 0o640)
        status = os.fstat(self._descriptor)
        self._identity = (status.st_dev, status.st_ino)
        return status.st_size

    def _rotate(self, length: int) -> None:
        full, identity = self._descriptor, self._identity
        with suppress(OSError):  # without locks on a file system, two processes may rotate twice, and lose nothing
            fcntl.flock(full, fcntl.LOCK_EX)
        try:
            try:
                status = self.path.stat()
            except FileNotFoundError:
                return  # somebody else has renamed it this moment, and makes a new one
            if (status.st_dev, status.st_ino) != identity or status.st_size + length <= self._max_bytes:
                return  # somebody else rotated it while we waited for the lock
            if self._backups == 0:
                os.ftruncate(full, 0)
                return
            for number in range(self._backups, 0, -1):
                old = self.path if number == 1 else self._backup(number - 1)
                with suppress(FileNotFoundError):
                    old.replace(self._backup(number))
        finally:
            with suppress(OSError):
                fcntl.flock(full, fcntl.LOCK_UN)
            self._follow()

    def _backup(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


def _descriptor(stream: object) -> int | None:
    try:
        number = stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return None  # a stream in memory, such as a test's
    return number if isinstance(number, int) else None


def _piece(descriptor: int) -> int:
    """Return up to how many bytes a write is one piece."""
    mode = os.fstat(descriptor).st_mode
    return select.PIPE_BUF if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else _PIECE


def _chunks(lines: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Put lines together to chunks of at most ``size`` bytes, but of at least one line."""
    chunk: list[bytes] = []
    length = 0
    for line in lines:
        if chunk and length + len(line) > size:
            yield b"".join(chunk)
            chunk, length = [], 0
        chunk.append(line)
        length += len(line)
    if chunk:
        yield b"".join(chunk)
