"""``python -m tools.suite [pytest's arguments]``: run the tests; the few that failed get one more try by themselves.

Tests start servers, browsers and whole demos, several at a time, on machines of any load; now and then one fails for
its neighbours' sake. What fails alone, too, has failed. What passes then is named as unsteady, at the very end where it
is read, so that it is mended and not forgotten. More than a few failures are nobody's bad luck and get no second try.

Where there is plenty of memory, the files of the tests are there: on a disk, each commit of their hundreds of small
databases waits for it. Whoever shows that something lasts ends processes and not machines, and sees the same in either.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["main"]

#: So many failures may be chance.
FEW = 8
#: Bytes of memory that must be free for the tests' files.
PLENTY = 4 << 30


class _Failed:
    """Keeps the names of tests that failed, wherever they ran."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.broken = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and report.nodeid not in self.names:
            self.names.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.broken |= report.failed


def main(arguments: Sequence[str]) -> int:
    """Run pytest here; return its exit code, or that of the second try."""
    failed = _Failed()
    with _files_in_memory() as folder:
        code = int(pytest.main([*_into(folder, "first"), *arguments], plugins=[failed]))
        if code != pytest.ExitCode.TESTS_FAILED or failed.broken or not 0 < len(failed.names) <= FEW:
            return code
        print(f"\n{len(failed.names)} failed; once more, by themselves:", flush=True)
        command = [sys.executable, "-m", "pytest", *_into(folder, "second"), *failed.names]
        code = subprocess.run(command, check=False).returncode
    if code == pytest.ExitCode.OK:
        for name in failed.names:
            print(f"UNSTEADY {name}: failed beside others and passed alone; find out why.")
    return code


@contextmanager
def _files_in_memory() -> Iterator[Path | None]:
    """Make a folder in memory the one for temporary files while inside; yield None where there is too little."""
    memory = Path("/dev/shm")
    if not (memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > PLENTY):
        yield None
        return
    # Its name is short, as sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="bp-", dir=memory, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # servers that refuse to be root's are somebody else's
        before = os.environ.get("TMPDIR")
        os.environ["TMPDIR"], tempfile.tempdir = folder, None
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = None
            if before is None:
                del os.environ["TMPDIR"]
            else:
                os.environ["TMPDIR"] = before


def _into(folder: Path | None, name: str) -> list[str]:
    """Return the argument that lets tests write there."""
    return [] if folder is None else [f"--basetemp={folder / name}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
