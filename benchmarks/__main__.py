"""``python -m benchmarks [ID…] [--quick]``: measure, print a table, and after a whole run write the two reports."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from benchmarks import report
from benchmarks.lab import Lab
from benchmarks.results import Row
from benchmarks.suites import (
    Suite,
    access_log,
    cache,
    console,
    cutover,
    database,
    generator,
    hostile,
    http_cpu,
    http_load,
    ledger,
    locks,
    parity,
    promql,
    rate_limits,
    redis,
    ring,
    scrape,
    sessions,
    stall,
    switch,
    trades,
    workers,
)

SUITES: tuple[Suite, ...] = (
    http_cpu.SUITE,
    http_load.SUITE,
    access_log.SUITE,
    scrape.SUITE,
    workers.SUITE,
    stall.SUITE,
    promql.SUITE,
    redis.SUITE,
    hostile.SUITE,
    ring.SUITE,
    console.SUITE,
    generator.SUITE,
    trades.SUITE,
    cache.SUITE,
    sessions.SUITE,
    rate_limits.SUITE,
    locks.SUITE,
    parity.SUITE,
    cutover.SUITE,
    switch.SUITE,
    database.SUITE,
    ledger.SUITE,
)


def chosen(wanted: Sequence[str]) -> list[Suite]:
    """The suites that measure the wanted rows: ``P2b`` or all of ``P2``; all suites when none is named.

    Raises ValueError for an id that no suite has.
    """
    names = [name.upper() for name in wanted]
    known = [row for suite in SUITES for row in suite.ids]
    unknown = [name for name in names if not any(belongs(row, name) for row in known)]
    if unknown:
        raise ValueError(f"no row is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [suite for suite in SUITES if not names or any(belongs(row, name) for row in suite.ids for name in names)]


def belongs(row: str, wanted: str) -> bool:
    """Whether a row is meant: ``P1a`` by P1A and by P1, but ``P21a`` not by P2."""
    return row.upper() == wanted or row.upper().rstrip("ABCDEF") == wanted


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return 0 when everything could be measured, whether goals are met or not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure Bedplate beside its peers, in one run."
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="rows to measure, P1 or P2b; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a first look in about a minute")
    given = parser.parse_args(arguments)
    try:
        suites = chosen(given.ids)
    except ValueError as error:
        parser.error(str(error))
    lab = Lab(quick=given.quick)
    started = time.monotonic()
    rows: list[Row] = []
    for suite in suites:
        begun = time.monotonic()
        found = suite.run(lab)
        rows += found
        missed = ", ".join(row.id for row in found if not row.met)
        lab.say(f"  {time.monotonic() - begun:.0f} s" + (f"; missed: {missed}" if missed else ""))
    print(report.table(rows))
    if given.ids:
        lab.say("Only a whole run writes docs/benchmarks.md and benchmarks/results.json.")
    else:
        report.write(SUITES, rows, quick=given.quick, seconds=time.monotonic() - started)
        lab.say(f"Written: docs/benchmarks.md and benchmarks/results.json, after {time.monotonic() - started:.0f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
