"""``python -m tools.suite [pytest's arguments]``: run the tests; the few that failed get one more try by themselves.

Tests start servers, browsers and whole demos, several at a time, on machines of any load; now and then one fails for
its neighbours' sake. What fails alone, too, has failed. What passes then is named as unsteady, at the very end where it
is read, so that it is mended and not forgotten. More than a few failures are nobody's bad luck and get no second try.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

__all__ = ["main"]

#: So many failures may be chance.
FEW = 5


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
    code = int(pytest.main(list(arguments), plugins=[failed]))
    if code != pytest.ExitCode.TESTS_FAILED or failed.broken or not 0 < len(failed.names) <= FEW:
        return code
    print(f"\n{len(failed.names)} failed; once more, by themselves:", flush=True)
    code = subprocess.run([sys.executable, "-m", "pytest", *failed.names], check=False).returncode
    if code == pytest.ExitCode.OK:
        for name in failed.names:
            print(f"UNSTEADY {name}: failed beside others and passed alone; find out why.")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
