"""A program that runs in a folder of its own and writes its log there."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from bedplate.problems import BedplateError

__all__ = ["Server", "ServerError"]

#: Seconds within which a server must answer on a machine that is busy, and within which it must end.
_PATIENCE, _END = 60.0, 20.0


class ServerError(BedplateError):
    """A server does not start."""


class Server:
    """A server; who inherits says what its command is, and when it answers."""

    folder: Path
    #: By which signal it ends, whoever is connected.
    ends_by = signal.SIGINT
    _process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return the command that starts it."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Say whether it can be used."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """Return further options of its process, as :class:`subprocess.Popen` takes them."""
        return {}

    @property
    def pid(self) -> int | None:
        """The number of its process; None when it does not run."""
        return None if self._process is None or self._process.poll() is not None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers.

        :raises ServerError: when it ends at once, or never answers; it shows the end of its log.
        """
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self.options()
            )
        end = time.monotonic() + _PATIENCE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                said = (self.folder / "log").read_text(errors="replace")[-2_000:].strip()
                raise ServerError(f"{Path(self.command()[0]).name} does not start:\n{said}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self.end_by(self.ends_by)

    def end_by(self, sign: signal.Signals) -> None:
        """End it by a signal; one that does not end is killed."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(sign)
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
