"""Several workers of one host: a parent that binds the socket, starts processes, restarts those that die, and stops.

N ``web`` processes serve the application; one ``ops`` process samples their merged cells and serves what operators
ask for, so that workers do no monitoring work. The parent serves nothing and imports no more than it has to.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bedplate.service.runner import EXIT_START_FAILED

__all__ = ["Supervisor"]

_logger = logging.getLogger("bedplate.supervisor")

#: A child that lived this many seconds was healthy: it is restarted at once.
HEALTHY_AFTER = 10.0
LONGEST_DELAY = 30.0


@dataclass(slots=True)
class _Child:
    """One process to keep alive."""

    role: str
    instance: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    delay: float = 0.5
    restart_at: float = 0.0
    starts: int = field(default=0)


class Supervisor:
    """Keeps N web processes and one ops process of a target alive until it is told to stop.

    :param target: ``module:attribute``. :param workers: web processes.
    :param stop_timeout: seconds that children get to stop before they are killed.
    :param directory: the run directory; a private temporary one by default, removed at the end.
    """

    def __init__(
        self,
        target: str,
        *,
        host: str,
        port: int,
        workers: int,
        stop_timeout: float,
        directory: Path | None = None,
    ) -> None:
        self._target = target
        self._host = host
        self._stop_timeout = stop_timeout
        self._own = directory is None
        self._directory = directory or Path(tempfile.mkdtemp(prefix="bedplate-"))
        self._socket = _listen(host, port)
        self._children = [_Child("ops", "ops"), *(_Child("web", str(number)) for number in range(1, workers + 1))]
        self._stopping = threading.Event()
        self._status = 0

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._socket.getsockname()[1])

    def run(self) -> int:
        """Supervise until SIGINT or SIGTERM; return the exit status."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._forward)
        self._clear_cells()
        try:
            while not self._stopping.is_set():
                self._tend()
                self._stopping.wait(0.1)
        finally:
            self._shut_down()
            for number, handler in before.items():
                signal.signal(number, handler)
        return self._status

    def _tend(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.restart_at:
                    self._start(child, now)
                continue
            status = child.process.poll()
            if status is None:
                continue
            child.process = None
            if status == EXIT_START_FAILED and child.starts == 1:
                # It never came up: the same start would fail the same way, and the message has been printed.
                self._status = EXIT_START_FAILED
                self._stopping.set()
                return
            if now - child.started >= HEALTHY_AFTER:
                child.delay = 0.5
            child.restart_at = now + child.delay * random.uniform(0.5, 1.0)
            child.delay = min(child.delay * 2, LONGEST_DELAY)
            _logger.error("%s process %s ended with status %s; restarting", child.role, child.instance, status)

    def _start(self, child: _Child, now: float) -> None:
        command = [sys.executable, "-m", "bedplate.service.child", self._target, "--role", child.role]
        command += ["--directory", str(self._directory), "--instance", child.instance]
        descriptors: tuple[int, ...] = ()
        if child.role == "web":
            descriptors = (self._socket.fileno(),)
            command += ["--fd", str(self._socket.fileno())]
        else:
            command += ["--host", self._host]
        # A group of its own: Ctrl-C in a terminal goes to the parent alone, which stops its children in order.
        child.process = subprocess.Popen(command, pass_fds=descriptors, process_group=0)
        child.started = now
        child.starts += 1

    def _shut_down(self) -> None:
        self._socket.close()
        deadline = time.monotonic() + self._stop_timeout
        for role in ("web", "ops"):  # the ops process last: it takes what the workers have to say until they end
            living = [c.process for c in self._children if c.role == role and c.process is not None]
            for process in living:
                process.terminate()
            for process in living:
                try:
                    process.wait(max(0.5, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _logger.error("process %s did not stop in time and is killed", process.pid)
                    process.kill()
                    process.wait()
        if self._own:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _clear_cells(self) -> None:
        # What an earlier run left here: its gauges mean nothing, and counters start at 0 with the service.
        for cells in self._directory.glob("*/cells"):
            shutil.rmtree(cells, ignore_errors=True)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._stopping.is_set():
            self._stop_timeout = 0.0
        self._stopping.set()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        for child in self._children:
            if child.process is not None:
                child.process.send_signal(number)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(2048)
    os.set_inheritable(listener.fileno(), True)
    return listener
