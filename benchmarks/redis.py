"""A Redis of its own for a suite, and what it spends."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Server", "cpu_of", "redis"]


class Server:
    """A redis-server on a port of the loopback, which saves nothing."""

    def __init__(self, folder: Path, core: int | None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
        if core is not None and shutil.which("taskset"):
            command = ["taskset", "-c", str(core), *command]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = command
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while True:
            try:
                cpu_of(self.port)
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it without a word."""
        self._process.kill()
        self._process.wait()

    def hang(self) -> None:
        """Let it answer nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process.send_signal(signal.SIGCONT)


def cpu_of(port: int) -> float:
    """Return the seconds of CPU that the server at a port has taken, by its own account."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as asked:
        asked.sendall(b"INFO cpu\r\n")
        text = b""
        while not text.endswith(b"\r\n\r\n") and b"used_cpu_user_main_thread" not in text:
            text += asked.recv(65536)
    fields = dict(line.split(":", 1) for line in text.decode().splitlines() if ":" in line)
    return float(fields["used_cpu_sys"]) + float(fields["used_cpu_user"])


@contextmanager
def redis(core: int | None = None) -> Iterator[Server]:
    """Run a server while inside.

    :param core: the core to run on, where the system can do that.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench-redis-"))
    server = Server(folder, core)
    try:
        yield server
    finally:
        server.resume()
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)
