"""Several workers of one host: a parent that binds the sockets, starts processes, restarts those that die, and stops.

N ``web`` processes serve the application; one ``ops`` process samples their merged cells and serves what operators
ask for, so that workers do no monitoring work. The parent serves nothing. It tells each child whether a worker besides
it serves, so that those which start, or end, leave connections to those which can serve them. When it is killed, its
children see the end of their lines, and stop.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from bedplate.problems import BedplateError
from bedplate.service.line import ALONE, DRAINING, ENDS, FEWER, GONE, HURRY, OTHERS, STARTED, TURN
from bedplate.service.relay import socket_path
from bedplate.service.runner import EXIT_START_FAILED
from bedplate.service.sockets import address, check_socket_path, close_all, host_and_port
from bedplate.telemetry.metrics.cells import clear

__all__ = ["Supervisor"]

_logger = logging.getLogger("bedplate.supervisor")

#: A child that served this many seconds was healthy: it is restarted without more delay than the first time.
HEALTHY_AFTER = 10.0
LONGEST_DELAY = 30.0

#: Seconds that the ops process has at least, after the web processes have stopped.
_OPS_PATIENCE = 2.0


@dataclass(slots=True)
class _Child:
    """One process to keep alive."""

    role: str
    instance: str
    process: subprocess.Popen[bytes] | None = None
    delay: float = 0.5
    restart_at: float = 0.0
    starts: int = field(default=0)
    #: Our end of the line; None when it has ended.
    line: socket.socket | None = None
    #: What it said last, and since when it has served.
    said: bytes = b""
    since: float | None = None
    #: Since when it has served nobody any more, and should end.
    gone: float | None = None
    #: What it was told last.
    told: bytes = b""

    @property
    def is_starting(self) -> bool:
        return self.said == b""

    @property
    def is_missing(self) -> bool:
        """Whether one before it has ended, and it does not serve."""
        return self.said not in (STARTED, DRAINING) and (self.starts > 1 or self.process is None)


class Supervisor:
    """Keeps N web processes and one ops process of a target alive until it is told to stop.

    :param target: ``module:attribute``. :param workers: web processes.
    :param sockets: what web processes listen on. :param management: what the ops process listens on beside its own.
    :param stop_timeout: seconds that children get to stop before they are killed.
    :param directory: the run directory; a private temporary one by default, removed at the end.
    :raises BedplateError: when the run directory cannot be used.
    """

    def __init__(
        self,
        target: str,
        *,
        sockets: Sequence[socket.socket],
        workers: int,
        stop_timeout: float,
        management: Sequence[socket.socket] = (),
        directory: Path | None = None,
    ) -> None:
        self._target = target
        self._stop_timeout = stop_timeout
        self._sockets = {"web": tuple(sockets), "ops": tuple(management)}
        self._own = directory is None
        self._directory, self._claim = _claimed(directory)
        self._children = [_Child("ops", "ops"), *(_Child("web", str(number)) for number in range(1, workers + 1))]
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._told = 0
        self._status = 0

    def run(self) -> int:
        """Supervise until SIGINT or SIGTERM; return the exit status."""
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._forward)
        for cells in self._directory.glob("*/cells"):
            # What an earlier run left here: counters start at 0 with the service.
            clear(cells)
        try:
            while not self._stopping.is_set():
                self._tend()
                self._listen(0.1)
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
                if child.gone is not None and now - child.gone > self._stop_timeout:
                    _logger.error("%s process %s did not stop in time and is killed", child.role, child.instance)
                    child.process.kill()
                    child.gone = now
                continue
            child.process = None
            self._hang_up(child)
            if status == EXIT_START_FAILED and child.starts == 1:
                # It never came up: the same start would fail the same way, and the message has been printed.
                self._status = EXIT_START_FAILED
                self._stopping.set()
                return
            if child.since is not None and now - child.since >= HEALTHY_AFTER:
                child.delay = 0.5
            self._put_off(child, now)
            _logger.error("%s process %s %s; restarting it", child.role, child.instance, _ending(status))
        self._tell_all()

    @staticmethod
    def _put_off(child: _Child, now: float) -> None:
        child.restart_at = now + child.delay * random.uniform(0.5, 1.0)
        child.delay = min(child.delay * 2, LONGEST_DELAY)

    def _start(self, child: _Child, now: float) -> None:
        command = [sys.executable, "-m", "bedplate.service.child", self._target, "--role", child.role]
        command += ["--directory", str(self._directory), "--instance", child.instance]
        descriptors = [listener.fileno() for listener in self._sockets[child.role]]
        command += [f"--fd={descriptor}" for descriptor in descriptors]
        command += [f"--served={host_and_port([address(listener) for listener in self._sockets['web']])}"]
        try:
            child.line, theirs = socket.socketpair()
        except OSError as error:
            self._not_started(child, now, error)
            return
        child.line.setblocking(False)
        child.said, child.since, child.gone, child.told = b"", None, None, b""
        self._selector.register(child.line, selectors.EVENT_READ, child)
        # It must know before it starts whether anybody else serves.
        self._tell(child)
        command += [f"--line={theirs.fileno()}"]
        # A request to reload must not kill a child that has no handler yet: it starts with them blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        try:
            # A group of its own: Ctrl-C in a terminal goes to the parent alone, which stops its children in order.
            child.process = subprocess.Popen(command, pass_fds=(*descriptors, theirs.fileno()), process_group=0)
            child.starts += 1
        except OSError as error:
            # Memory, processes or files are short, often for what ended the one before. The others serve on.
            self._hang_up(child)
            self._not_started(child, now, error)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
            theirs.close()

    def _not_started(self, child: _Child, now: float, error: OSError) -> None:
        self._put_off(child, now)
        _logger.error("%s process %s cannot be started, which is tried again: %s", child.role, child.instance, error)

    def _listen(self, timeout: float) -> None:
        """Hear what children say, for so many seconds or until one says something."""
        for key, _ in self._selector.select(timeout):
            child: _Child = key.data
            assert child.line is not None
            try:
                words = child.line.recv(16)
            except OSError:
                words = b""
            if not words:
                self._hang_up(child)
                continue
            child.said = words[-1:]
            if child.said == GONE:
                child.gone = time.monotonic()
            if STARTED in words:
                child.since = child.since or time.monotonic()
        self._tell_all()

    def _hang_up(self, child: _Child) -> None:
        """Note that a child serves nobody any more."""
        child.said = GONE
        child.gone = child.gone or time.monotonic()
        if child.line is not None:
            self._selector.unregister(child.line)
            child.line.close()
            child.line = None

    def _tell_all(self) -> None:
        for child in self._children:
            self._tell(child)

    def _tell(self, child: _Child) -> None:
        """Tell a child whether a worker besides it serves."""
        # One that is told to stop serves on while nobody else does; that is better than one that has not started.
        serving = (STARTED, DRAINING) if child.is_starting and child.role == "web" else (STARTED,)
        others = any(one.said in serving for one in self._children if one.role == "web" and one is not child)
        missing = child.role == "ops" and any(one.is_missing for one in self._children if one.role == "web")
        self._say(child, ALONE if not others else FEWER if missing else OTHERS)

    @staticmethod
    def _say(child: _Child, word: bytes) -> None:
        if child.line is not None and child.told != word:
            child.told = word
            with contextlib.suppress(OSError):
                child.line.send(word)

    def _shut_down(self) -> None:
        for child in self._children:
            self._say(child, ENDS)
        close_all((*self._sockets["web"], *self._sockets["ops"]))
        deadline = time.monotonic() + self._stop_timeout
        for role in ("web", "ops"):  # the ops process last: it takes what the workers have to say until they end
            living = [child for child in self._children if child.role == role and child.process is not None]
            if role == "ops":
                for child in living:
                    self._say(child, TURN)
            self._end(living, max(deadline, time.monotonic() + _OPS_PATIENCE))
        for child in self._children:
            self._hang_up(child)
        self._selector.close()
        os.close(self._claim)
        if self._own:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _end(self, children: list[_Child], deadline: float) -> None:
        """Tell processes to stop and wait for them: as often as we are told, and not longer than they may take."""
        told = 0
        living = [(child, child.process) for child in children if child.process is not None]
        while living := [(child, process) for child, process in living if process.poll() is None]:
            if time.monotonic() > deadline or self._told > 2:
                for _, process in living:
                    _logger.error("process %s did not stop in time and is killed", process.pid)
                    process.kill()
                    process.wait()
                return
            if told < max(1, self._told):
                told += 1
                for child, process in living:
                    if told > 1:
                        self._say(child, HURRY)
                    process.terminate()
            time.sleep(0.02)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._told += 1
        self._stopping.set()

    def _forward(self, number: int, frame: FrameType | None) -> None:
        for child in self._children:
            if child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.send_signal(number)


def _claimed(directory: Path | None) -> tuple[Path, int]:
    """Return a run directory and a descriptor that keeps it ours; its lock keeps cleaners of ``/tmp`` away as well."""
    if directory is None:
        directory = Path(tempfile.mkdtemp(prefix="bedplate-"))
    directory = directory.resolve()
    check_socket_path(socket_path(directory))
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BedplateError(
            f"The run directory {directory} cannot be used: {error.strerror}.", "Give another with --run-dir."
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise BedplateError(
            f"The run directory {directory} belongs to a service that runs.", "Stop it, or give another with --run-dir."
        ) from error
    return directory, descriptor


def _ending(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
