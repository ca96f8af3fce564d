"""What a worker tells, as metrics and log records of the service that runs it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bedplate.component import Host
from bedplate.database.cutover.machine.actions import Act
from bedplate.database.cutover.machine.look import Sight
from bedplate.database.cutover.machine.metrics import (
    ACTS,
    BRAKE,
    COMMIT,
    DELTA,
    DIFFERING,
    DOUBTS,
    FAILURES,
    HELD,
    LAG,
    PENDING,
    PROGRESS,
    PROOF_LIMIT,
    READINESS,
    REPAIRED,
    ROWS,
    RUNNER,
    STATE,
    VERIFIED_AGE,
    WAITS,
    WANTED,
)
from bedplate.database.cutover.machine.readiness import Readiness
from bedplate.database.cutover.machine.runner import Listener
from bedplate.database.cutover.work import STATES

__all__ = ["HostListener", "HostMeter", "show", "show_not_needed"]


class HostMeter:
    """A :class:`~bedplate.database.cutover.work.Meter` of metrics; its cells may be used by any thread."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def rows(self, table: str, step: str, count: int) -> None:
        """Count rows that were copied, replayed, compared or repaired."""
        self._host.bind(ROWS, table=table, step=step).inc(float(count))

    def total(self, table: str, done: int, of: int) -> None:
        """Show how far a step is with a table."""
        self._host.bind(PROGRESS, table=table).set(min(1.0, done / of) if of > 0 else 1.0)

    def pending(self, table: str, keys: int) -> None:
        """Show how many keys are not yet replayed or compared."""
        self._host.bind(PENDING, table=table).set(float(keys))

    def held(self, what: str, seconds: float) -> None:
        """Observe how long a lock was held."""
        self._host.bind(HELD, what=what).observe(seconds)


class HostListener(Listener):
    """Writes what happens to the log, and counts what fails."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def event(self, event: str, detail: Mapping[str, Any]) -> None:
        """Log an event of the time line."""
        self._host.log.info("cutover_event", happened=event, detail=dict(detail))

    def failed(self, act: Act) -> None:
        """Count an act that failed."""
        if act in ACTS:
            self._host.bind(FAILURES, step=act).inc()

    def away(self, error: Exception) -> None:
        """Log an error after which it is tried again."""
        self._host.log.warning("cutover_trouble", error=" ".join(str(error).split())[:500])

    def rested(self, share: float) -> None:
        """Show how much of its time the worker rests."""
        self._host.bind(BRAKE).set(share)

    def felt(self, commit: float) -> None:
        """Show what a commit takes."""
        self._host.bind(COMMIT).set(commit)


def show(host: Host, sight: Sight, readiness: Readiness, limit: float) -> None:
    """Show what was seen of a cutover; :param limit: how old a proof may be."""
    record = sight.record
    state = "none" if record is None else record.state
    for one in STATES:
        host.bind(STATE, state=one).set(float(one == state))
    busy = record is not None and bool(record.wanted) and record.state != "finalized"
    waits = record is not None and record.trouble == "waits"
    host.bind(WANTED).set(float(busy and record is not None and not record.paused and not waits))
    host.bind(WAITS).set(float(waits))
    host.bind(RUNNER).set(float(sight.runs))
    host.bind(DOUBTS).set(float(len(sight.doubts)))
    host.bind(READINESS).set(readiness.score / 100)
    host.bind(PROOF_LIMIT).set(limit)
    host.bind(LAG).set(sight.lag or 0.0)
    # NaN is no data: the alert on old proofs is about proofs that there were.
    proven = sight.verified_age is not None and state in ("synced", "verified")
    host.bind(VERIFIED_AGE).set(sight.verified_age if proven and sight.verified_age is not None else float("nan"))
    repaired = dict(record.verdict).get("repaired", {}) if record is not None else {}
    for table in sight.tables:
        host.bind(DELTA, table=table.table).set(float(table.delta or 0))
        host.bind(DIFFERING, table=table.table).set(float(table.differing))
        host.bind(REPAIRED, table=table.table).set(float(repaired.get(table.table, 0)))


def show_not_needed(host: Host) -> None:
    """Show that there is nothing to be moved."""
    for one in (*STATES, "not needed"):
        host.bind(STATE, state=one).set(float(one == "not needed"))
