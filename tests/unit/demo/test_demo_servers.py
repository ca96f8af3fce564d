"""The process that holds the demo's servers: what dies is started again after a while, and told of."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from demo.servers.__main__ import supervise
from demo.servers.production import Production
from demo.servers.server import Server, ServerError


class Sleeper(Server):
    """A server that does nothing; one that has no program ends at once."""

    def __init__(self, folder: Path, program: str = "import signal; signal.pause()") -> None:
        self.folder = folder
        self.program = program

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program]

    def answers(self) -> bool:
        return self.pid is not None and "pause" in self.program


def wait(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_dies_is_started_again_and_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    running, over = Production(), threading.Event()
    server = running.servers["sleeper"] = Sleeper(tmp_path)
    server.start()
    first = server.pid
    assert first is not None
    watching = threading.Thread(target=supervise, args=(running, 0.1, over))
    watching.start()
    try:
        os.kill(first, signal.SIGKILL)
        wait(lambda: server.pid not in (None, first))
    finally:
        over.set()
        watching.join()
        server.stop()
    assert server.pid is None
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [next(iter(one)) for one in told] == ["died", "back"]


def test_a_server_that_ends_at_once_shows_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="no room left"):
        Sleeper(tmp_path, "raise SystemExit('no room left')").start()
