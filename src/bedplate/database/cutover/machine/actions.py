"""What is to be done next, from a row alone; and doing it, by the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bedplate.database.cutover.machine.record import Record
from bedplate.database.cutover.work import Backlog, Switched, Verdict, Work

__all__ = ["CRITICAL", "FOLLOWED", "Act", "Steps", "next_act"]

#: What a worker can do, one at a time; ``rest`` is nothing.
Act = Literal[
    "rest",
    "preflight",
    "prepare",
    "capture",
    "backfill",
    "index",
    "sync",
    "verify",
    "repair",
    "tend",
    "switch",
    "rollback",
    "undo",
    "finalize",
]

#: Acts that are short and end in one transaction: another wish waits for their end.
CRITICAL: tuple[Act, ...] = ("switch", "rollback", "undo", "finalize")

#: States in which the shadow follows the live table, until the cutover ends.
FOLLOWED = ("synced", "verified", "switched")

_FORWARD: dict[str, Act] = {
    "none": "preflight",
    "preflight": "prepare",
    "prepared": "capture",
    "capturing": "backfill",
    "backfilling": "backfill",
    "indexing": "index",
}


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a cutover; each may be run again at any time."""

    preflight: Callable[[Work], Any]
    prepare: Callable[[Work], Any]
    capture: Callable[[Work], Any]
    backfill: Callable[[Work], Any]
    index: Callable[[Work], Any]
    sync: Callable[[Work], Backlog]
    verify: Callable[[Work], Verdict]
    tend: Callable[[Work], Backlog]
    repair: Callable[[Work], Verdict]
    switch: Callable[[Work], Switched]
    rollback: Callable[[Work], Switched]
    undo: Callable[[Work], Any]
    finalize: Callable[[Work], Any]


def next_act(record: Record, *, verified: float | None, every: float) -> Act:
    """Return what is to be done next.

    :param verified: seconds since both sides were last compared, whatever came of it; None for never.
    :param every: seconds after which they are compared again.
    """
    state, wanted = record.state, record.wanted
    if state == "finalized":
        return "rest"
    if wanted == "rolled-back":
        return "rest" if state == "none" else "rollback" if state == "switched" else "undo"
    if not wanted or record.paused or record.trouble == "waits":
        return "rest"
    if record.task and state in FOLLOWED:
        return "repair" if record.task == "repair" else "verify"
    if wanted == "switched" and state == "verified":
        return "switch"
    if wanted == "finalized" and state == "switched":
        # What only the legacy table still has would be gone for good: all is compared once more before.
        return "verify" if verified is None or verified >= every else "finalize"
    if state in _FORWARD:
        return _FORWARD[state]
    if state in ("synced", "verified") and (verified is None or verified >= every):
        return "verify"
    return "tend"
