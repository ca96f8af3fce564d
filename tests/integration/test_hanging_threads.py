"""A call that never returns, in a thread, which Python would wait for without end."""

from __future__ import annotations

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
