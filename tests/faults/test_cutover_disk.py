"""A cutover on a server whose disk gets full: it says so, nothing is lost, and with room again it goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from bedplate.database.cutover import Plan
from tests.crowd import Crowd, laid
from tests.endurance import dice, tell
from tests.moving import apart
from tests.postgres import Postgres, postgres
from tests.steered import Desk, Worker

TABLES = ("entries",)
ROWS = 100_000
_MB = 1 << 20


class Disk:
    """A small disk, and what fills it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ballast = folder, folder / "ballast"

    def fill(self, left: int) -> None:
        """Leave so many bytes at most."""
        block = b"\0" * (64 << 10)
        with suppress(OSError), self._ballast.open("ab") as file:
            while shutil.disk_usage(self._folder).free > left:
                file.write(block)
                file.flush()

    def clear(self) -> None:
        """Free it."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def on_a_disk_of(megabytes: int) -> Iterator[tuple[Postgres, Disk]]:
    """Run a server whose data are on a disk of their own, in memory."""
    with postgres(18, "max_wal_size=64MB", "min_wal_size=32MB", "wal_recycle=off") as server:
        server.stop()
        data, kept = server.folder / "data", server.folder / "kept"
        owner = data.stat()
        data.rename(kept)
        data.mkdir(0o700)
        options = f"size={megabytes}m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(data)], check=False, capture_output=True
        )
        assert done.returncode == 0, f"Run it as somebody who may mount a disk, as root may: {done.stderr.decode()}"
        try:
            subprocess.run(["cp", "-a", f"{kept}/.", str(data)], check=True)
            server.start()
            yield server, Disk(data)
        finally:
            server.end()
            subprocess.run(["umount", "-l", str(data)], check=True)


def _full(server: Postgres, disk: Disk, seconds: float) -> None:
    """Let the disk be full until the server has met it, and for a while more; then there is room, and the server."""
    log = server.folder / "log"
    seen = log.read_text(errors="replace").count("No space left on device")
    disk.fill(_MB)
    end = time.monotonic() + 120
    while log.read_text(errors="replace").count("No space left on device") <= seen:
        assert time.monotonic() < end, "The disk never was full."
        time.sleep(0.05)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.05)
    disk.clear()
    # Where there is no room for its log, it ends; sooner or later.
    while not server.answers():
        if server.pid is None:
            server.start()
        time.sleep(0.05)


@pytest.mark.timeout(900)
def test_a_disk_that_gets_full_loses_nothing_and_stops_nothing_for_good() -> None:
    luck, met = dice(), 0
    plan = Plan(tables=TABLES, key="organization_id", partitions=4)
    with on_a_disk_of(400) as (server, disk):
        url = server.database()
        laid(url, TABLES, ROWS)
        with Crowd(url, TABLES, seed=luck.randrange(10**6), rows=ROWS, pause=0.004) as crowd:
            with closing(Desk(url, "disk", plan)) as desk:
                # The server would end when they had filled the rest with its log.
                with crowd.still():
                    _told_before(desk, disk)
                for act in ("backfill", "index", "verify"):
                    worker = Worker(url, "disk", act)
                    try:
                        worker.reached()
                        _full(server, disk, luck.uniform(0.5, 3.0))
                        met += 1
                        crowd.more(200)
                    finally:
                        worker.kill()
                    desk.left()
                worker = Worker(url, "disk")
                try:
                    for wish, state in (("switch", "switched"), ("rollback", "verified"), ("switch", "switched")):
                        desk.wait("verified", "switched")
                        desk.press(wish)
                        desk.wait(state, wish=wish)
                        _full(server, disk, luck.uniform(0.5, 3.0))
                        met += 1
                        crowd.more(200)
                    with crowd.still(), psycopg.connect(url, autocommit=True) as connection:
                        end = time.monotonic() + 120
                        while wrong := apart(connection, "entries", "entries_legacy"):
                            assert time.monotonic() < end, wrong
                            time.sleep(0.05)
                    desk.press("finalize", confirm="disk")
                    desk.wait("finalized", wish="finalize", confirm="disk")
                finally:
                    worker.kill()
            account = crowd.account()
    tell(
        "a disk that gets full in a cutover",
        writes=account.writes,
        times_full=met,
        missing=account.missing,
        extra=account.extra,
        different=account.different,
    )
    assert account.lost == 0, account.wrong[:10]


def _told_before(desk: Desk, disk: Disk) -> None:
    """What does not fit is said before anything is made."""
    disk.fill(24 * _MB)
    worker = Worker(desk.url, desk.name)
    try:
        desk.start()
        end = time.monotonic() + 120
        while desk.record.trouble != "waits":
            assert time.monotonic() < end, desk.record
            time.sleep(0.02)
        told = desk.record
        assert told.state == "none" and "GB are free" in told.error, told
        disk.clear()
        desk.press("resume")
        desk.wait("preflight", "prepared", "capturing", "backfilling")
    finally:
        worker.kill()
    desk.left()
