"""Catching up, and keeping up: the steps after the rows are in, until nobody needs them any more."""

from __future__ import annotations

from bedplate.database.cutover.steps.capture import log_changes
from bedplate.database.cutover.steps.replay import backlog, replays
from bedplate.database.cutover.work import Backlog, Work

__all__ = ["sync", "tend"]

#: Rounds that one call of :func:`tend` does at most for each table, so that whoever calls it can look around.
_ROUNDS = 25


def sync(work: Work) -> Backlog:
    """Replay what has changed since the key logs are in place, until few keys are left."""
    if work.plan.mode == "dual-write":
        # Triggers have done the work till now; the logs are for the proof.
        log_changes(work)
    found = replays(work)
    for one in found:
        one.check()
        one.drain()
    return backlog(found)


def tend(work: Work) -> Backlog:
    """Keep both sides equal, before the switch and after it: replay and compare what the logs name, a few rounds."""
    found = replays(work)
    busy = False
    for one in found:
        one.check()
        busy = one.drain(rounds=_ROUNDS) > 0 or busy
    return backlog(found, busy)
