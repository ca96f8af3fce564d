"""The servers of the demo's production as the demo sees them: a process beside it that holds them all."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bedplate.problems import BedplateError

__all__ = ["Real", "real_servers"]

#: Seconds that the servers get to end.
_END = 40.0


@dataclass(frozen=True, slots=True)
class Real:
    """What runs, and where services find it.

    :ivar services: settings of each service by their names, and ``console``, its PgBouncer's console.
    :ivar servers: the number of the process and the log file of each server, by its name.
    :ivar files: for a shell, the settings of each service as variables, by its name.
    """

    services: dict[str, dict[str, str]]
    servers: dict[str, dict[str, Any]]
    files: dict[str, str]


@contextmanager
def real_servers(
    services: Sequence[str], sharing: Sequence[str], tenants: Sequence[str], tell: Callable[[str], None]
) -> Iterator[Real]:
    """Run them while inside; :param tell: is told what becomes of them.

    :raises BedplateError: when one is not installed, or does not start.
    """
    command = [sys.executable, "-m", "demo.servers", *services, "--sharing", *sharing, "--tenants", *tenants]
    # A session of its own: Ctrl-C in the terminal must end the services before their servers.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        first: dict[str, Any] = json.loads(line) if line else {"failed": "The servers' process ended without a word."}
        if "failed" in first:
            raise BedplateError(first["failed"])
        threading.Thread(target=_listen, args=(process.stdout, tell), name="demo-servers", daemon=True).start()
        yield Real(**first["ready"])
    finally:
        process.stdin.close()
        try:
            process.wait(_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _listen(lines: Any, tell: Callable[[str], None]) -> None:
    for line in lines:
        told = json.loads(line)
        if "died" in told:
            tell(f"{told['died']} died; it is started again after {told['seconds']:.0f} s")
        elif "back" in told:
            tell(f"{told['back']} is back, as process {told['pid']}")
        else:
            tell(f"{told['stays_away']} cannot be started: {told['reason']}")
