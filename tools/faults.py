"""``python -m tools.faults [pytest's arguments]``: every long test that harms a service, in one run, and a table.

Two run at a time, the longest first, so that the short ones fill what is left. The seed of all is printed first and in
the table at the end: for each test how long it took, how much was written, how many were killed, and what was lost.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

__all__ = ["main", "suites", "table"]

_ROOT = Path(__file__).parent.parent
#: Files of which each takes minutes, the longest first; whatever else is in the folders comes after them.
LONGEST = (
    "tests/faults/test_cutover_matrix.py",
    "tests/faults/test_cutover_sequence.py",
    "tests/faults/test_redis_failovers.py",
    "tests/faults/test_workers.py",
    "tests/faults/test_cache_faults.py",
    "tests/faults/test_database_faults.py",
    "tests/faults/test_cutover_switch_faults.py",
    "tests/faults/test_cutover_data.py",
    "tests/faults/test_cutover_dual.py",
    "tests/unit/database/cutover_dual",
    "tests/unit/database/cutover_steps",
)
#: Where long tests are; those of PromQL are short ones in great number, and fill the end.
FOLDERS = ("tests/faults", "tests/unit/database/transfer", "tests/unit/promql")
#: What a test tells that must be nothing.
_LOSSES = ("missing", "extra", "different", "wrong", "stale")


def suites() -> list[str]:
    """Return what is run, in order, each file once."""
    files = [str(path.relative_to(_ROOT)) for folder in FOLDERS for path in sorted((_ROOT / folder).glob("test_*.py"))]
    return [*LONGEST, *(name for name in files if name not in LONGEST)]


class _Told:
    """Keeps how long each test took and what it told of itself, wherever it ran."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        if report.failed:
            # Said at once: the run goes on for long, and whoever waits for it may look already.
            print(f"\nFAILED {report.nodeid} in {report.when}\n{report.longreprtext}", flush=True)
        file = report.location[0].removeprefix("tests/")
        row = {"test": f"{file}::{report.location[2]}", "passed": report.passed, "seconds": report.duration}
        from tests.endurance import TOLD

        told = [line.partition(TOLD)[2] for line in report.capstdout.splitlines() if line.startswith(TOLD)]
        self.rows += [{**row, "told": json.loads(line)} for line in told] or [{**row, "told": {}}]


def table(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return a line for each test that told of itself or failed, and one for the many others of each file."""
    lines = [f"{'seconds':>8}  {'writes':>9}  {'kills':>6}  {'lost':>5}  what"]
    others: dict[str, tuple[int, float]] = {}
    for row in rows:
        told = dict(row["told"])
        if not told and row["passed"]:
            count, seconds = others.get(file := row["test"].partition("::")[0], (0, 0.0))
            others[file] = (count + 1, seconds + row["seconds"])
            continue
        what = str(told.pop("what", row["test"]))
        writes, kills = told.pop("writes", ""), told.pop("kills", "")
        counted = [int(told.pop(name)) for name in _LOSSES if name in told]
        lost = sum(counted) if counted else ""
        more = ", ".join(f"{name} {value}" for name, value in told.items())
        lines.append(
            f"{row['seconds']:8.0f}  {writes!s:>9}  {kills!s:>6}  {lost!s:>5}  "
            f"{'' if row['passed'] else 'FAILED '}{what}{': ' * bool(more)}{more}"
        )
    for file, (count, seconds) in sorted(others.items()):
        lines.append(f"{seconds:8.0f}  {'':>9}  {'':>6}  {'':>5}  {count} passed in {file}")
    return lines


def main(arguments: Sequence[str]) -> int:
    """Run all, or what is given, and print the table; return pytest's exit code."""
    seed = os.environ.get("FAULTS_SEED") or str(random.SystemRandom().randrange(10**6))
    os.environ |= {"FAULTS": "whole", "FAULTS_SEED": seed, "BEDPLATE_EXAMPLES": os.environ.get("EXAMPLES", "50000")}
    print(f"make faults SEED={seed}", flush=True)
    told, began = _Told(), time.monotonic()
    given = [one for one in arguments if not one.startswith("-") and (_ROOT / one.partition("::")[0]).exists()]
    named = [] if given else suites()
    code = int(pytest.main(["-n", "2", "--maxschedchunk", "1", "-q", *named, *arguments], plugins=[told]))
    writes = sum(int(row["told"].get("writes", 0)) for row in told.rows)
    kills = sum(int(row["told"].get("kills", 0)) for row in told.rows)
    lost = sum(int(row["told"].get(name, 0)) for row in told.rows for name in _LOSSES)
    print("\n".join(["", *table(told.rows)]))
    minutes = (time.monotonic() - began) / 60
    print(
        f"SEED={seed}: {writes} writes, {kills} kills, {lost} rows lost, extra, different or stale; {minutes:.1f} min"
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
