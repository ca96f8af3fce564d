"""A shell session for the docs: one environment and working directory, a free port, servers in the background."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

__all__ = ["CALM", "PORT", "Shell"]

PORT = 8000
#: How busy or full the machine is should not show in what a page shows.
CALM = {
    "BEDPLATE_HEALTH__LOOP_LAG": "60",
    "BEDPLATE_HEALTH__MEMORY_SHARE": "1",
    "BEDPLATE_HEALTH__MEMORY_AVAILABLE_SHARE": "0",
    "BEDPLATE_HEALTH__DISK_FREE_SHARE": "0",
    "BEDPLATE_HEALTH__DISK_FREE_BYTES": "0",
}
COMMAND_SECONDS = 60
SERVER_SECONDS = 30

_PORT = re.compile(rf"\b{PORT}\b")
_BACKGROUND = re.compile(r"(?<!&)&\s*$")
_KILL = re.compile(r"kill(?: -(?P<signal>[A-Z0-9]+))? %(?P<job>\d+)\s*(?:#.*)?$")


class Shell:
    """Runs commands one after the other, as a reader would type them into one terminal.

    ``cd`` and ``export`` last, and what ends in ``&`` runs until ``kill %1`` or the session's end. Port 8000 is
    replaced by a free one, also in what is printed, so that pages can run at the same time and beside a real service.
    """

    def __init__(self, folder: Path) -> None:
        self._directory = str(folder)
        self._background: list[subprocess.Popen[bytes]] = []
        self._jobs: dict[int, subprocess.Popen[bytes]] = {}
        self._scratch = Path(tempfile.mkdtemp(prefix="bedplate-shell-"))
        self.port = _free_port()
        programs = str(Path(sys.executable).parent)
        self._env = {
            **os.environ,
            **CALM,
            "PATH": os.pathsep.join([programs, os.environ.get("PATH", os.defpath)]),
            "PORT": str(self.port),
            "COLUMNS": "120",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            "CURL_HOME": str(self._scratch),
        }
        (self._scratch / ".curlrc").write_text("silent\nshow-error\n")  # no progress bar, as on a terminal

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._background:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in self._background:
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for path in self._scratch.iterdir():
            path.unlink()
        self._scratch.rmdir()

    def run(self, command: str) -> tuple[int, str]:
        """Run one command; return its exit code and what it wrote to both streams."""
        if _BACKGROUND.search(command):
            with (self._scratch / f"output.{len(self._background)}").open("wb") as stream:
                local = _PORT.sub(str(self.port), _BACKGROUND.sub("", command))
                # The signals are meant for the program: bash outlives it and has its exit code.
                process = self._start(f"trap : HUP INT TERM USR1 USR2\n{local}", stream.fileno())
            self._background.append(process)
            self._jobs[max(self._jobs, default=0) + 1] = process  # numbered as bash does
            return 0, ""
        if kill := _KILL.match(command):
            return self._signal(kill["signal"] or "TERM", int(kill["job"]))
        if _PORT.search(command):
            self.wait_for_server()
        state = self._scratch / "state"
        keep = f"\n__code=$?; {{ pwd; env -0; }} > {shlex.quote(str(state))}; exit $__code"
        with (self._scratch / "output").open("w+b") as stream:
            process = self._start(_PORT.sub(str(self.port), command) + keep, stream.fileno())
            try:
                code = process.wait(timeout=COMMAND_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
                stream.seek(0, os.SEEK_END)
                stream.write(f"\n(stopped after {COMMAND_SECONDS} s)".encode())
            stream.seek(0)
            output = stream.read().decode(errors="replace")
        if state.exists():
            self._directory, _, variables = state.read_text().partition("\n")
            self._env = dict(pair.split("=", 1) for pair in variables.split("\0") if "=" in pair)
            state.unlink()
        return code, re.sub(rf"\b{self.port}\b", str(PORT), output)

    def wait_for_server(self) -> None:
        """Return when a background process serves the port, none is left that could, or 30 s have passed."""
        give_up = time.monotonic() + SERVER_SECONDS
        while any(process.poll() is None for process in self._background) and time.monotonic() < give_up:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.05)

    def background_output(self) -> str:
        """Return what the background processes wrote so far: where to look when a later command fails."""
        written = [path.read_text(errors="replace") for path in sorted(self._scratch.glob("output.*"))]
        return "".join(f"--- in the background:\n{text}" for text in written if text)

    def _signal(self, name: str, job: int) -> tuple[int, str]:
        """Send a signal to a background process; wait for the end that SIGTERM and SIGINT ask for, its exit code."""
        process = self._jobs.get(job)
        if process is None or process.poll() is not None:
            return 1, f"%{job}: no such job\n"
        os.killpg(process.pid, signal.Signals[f"SIG{name.removeprefix('SIG')}"])
        if name not in ("TERM", "INT"):
            return 0, ""
        try:
            code = process.wait(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            return 1, f"%{job}: did not end within {COMMAND_SECONDS} s\n"
        del self._jobs[job]
        return (128 - code if code < 0 else code), ""

    def _start(self, command: str, output: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", command],
            cwd=self._directory,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_as_at_a_terminal,
        )


def _as_at_a_terminal() -> None:
    """Let signals do what they do at a terminal: a job in the background ignores SIGINT, and so does what it starts."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
