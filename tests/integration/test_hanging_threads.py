"""Calls that never return, for which Python, or nobody at all, would wait without end."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.serving import run

HANGING = '''
import asyncio, threading
from contextlib import asynccontextmanager
from bedplate import Service, Settings, Spec

class Driver:
    """Waits in a thread for a server that is not there."""

    @property
    def spec(self):
        return Spec(kind="driver", summary="Waits.")

    @asynccontextmanager
    async def lifespan(self, host):
        await asyncio.to_thread(threading.Event().wait)
        yield

def build(settings: Settings) -> Service:
    return Service("hanging", None, [Driver()], settings=settings)
'''


def test_a_start_that_hangs_in_a_thread_fails_in_time_and_ends_the_process(tmp_path: Path) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    timing = {"BEDPLATE_SERVICE__START_TIMEOUT": "1", "BEDPLATE_SERVICE__STOP_TIMEOUT": "1"}
    with run(tmp_path, target="hanging:build", **timing) as hanging:
        assert hanging.process.wait(90) == 3
        assert "driver did not start within 1 s" in hanging.log
        assert "do not return are left behind: 1" in hanging.log


LAST_WORDS = """
import logging, sys, threading
from bedplate.service.ending import end_soon

class Away(logging.Handler):
    def emit(self, record):
        inside.set()
        threading.Event().wait()

inside = threading.Event()
logging.getLogger("away").addHandler(Away())
threading.Thread(target=logging.getLogger("away").error, args=["to a server that is not there"]).start()
inside.wait()
sys.exit(end_soon(7))
"""


def test_a_log_handler_that_hangs_keeps_no_process() -> None:
    assert subprocess.run([sys.executable, "-c", LAST_WORDS], timeout=60).returncode == 7


ORPHAN = """
import signal, sys, time
from bedplate.service.line import ALONE, Line

signal.signal(signal.SIGTERM, signal.SIG_IGN)
line = Line(int(sys.argv[1]))
line.patience = 0.1
print(line.heard == ALONE, flush=True)
while True:
    time.sleep(60)
"""


def test_a_worker_that_hangs_when_its_supervisor_is_dead_ends_all_the_same() -> None:
    """Nobody else would kill it, and it keeps the port."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(b"a")
        orphan = subprocess.Popen(
            [sys.executable, "-c", ORPHAN, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdout=subprocess.PIPE
        )
        with orphan:
            assert orphan.stdout is not None
            assert orphan.stdout.readline() == b"True\n"
            ours.close()
            try:
                assert orphan.wait(60) == -signal.SIGKILL
            finally:
                orphan.kill()
