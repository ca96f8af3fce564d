"""Whether both sides hold the same rows: a comparison of everything, and what the key log says of the rest.

The comparison and the key log are read as of one snapshot. A row that differs there and is named in the log was written
since it was last made equal: a race, which the next round settles. One that is not named is lost, or was never copied:
nobody will make it equal. Whatever is written after the snapshot is in the log, too.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bedplate.database.cutover import proof
from bedplate.database.cutover.asking import CutoverError, transaction
from bedplate.database.cutover.keylog import Taken
from bedplate.database.cutover.layout import layout
from bedplate.database.cutover.likeness import unlike
from bedplate.database.cutover.parity import Comparison, Difference, Parity
from bedplate.database.cutover.steps.capture import patiently
from bedplate.database.cutover.steps.replay import Replay, replays
from bedplate.database.cutover.work import Verdict, Work

__all__ = ["repair", "verify"]

#: Comparisons that a TRUNCATE or a flood of writes may spoil before it is left for later.
_TRIES = 5
_LOGGED = 100_000
_TELL = 20
_BATCH = 500


def verify(work: Work) -> Verdict:
    """Compare all rows of all tables with what follows them.

    :raises CutoverError: when a table's twin is not like it, or its log is not in place.
    """
    return _verdict(work, replays(work), {})


def repair(work: Work, differences: Mapping[str, Sequence[Difference]] | None = None) -> Verdict:
    """Make rows that differ in the shadow what they are in the live table, tell each, and compare all again.

    A log that is not in place is put in place first: what it missed is among the rows that differ.

    :param differences: by the plan's name of the table; by default what a comparison now finds.
    """
    found = replays(work)
    repaired: dict[str, int] = {}
    for one in found:
        if not one.log.intact:
            patiently(work, "repair", one.pair, one.log.renew)
            work.journal.note("log made anew", table=one.pair.table)
    for one in found:
        table = one.pair.table
        losses = _losses(work, one)[1] if differences is None else differences.get(table, ())
        for start in range(0, len(losses), _BATCH):
            batch = list(losses[start : start + _BATCH])
            with transaction(work.connection):
                one.follower.settle(work.connection)
                one.follower.apply(work.connection, [_key(each) for each in batch])
                work.journal.note("repaired", table=table, rows=_told(batch, len(batch)))
            repaired[table] = repaired.get(table, 0) + len(batch)
            work.meter.rows(table, "repair", len(batch))
    return _verdict(work, found, repaired)


def _verdict(work: Work, found: Iterable[Replay], repaired: Mapping[str, int]) -> Verdict:
    began = time.monotonic()
    rows: dict[str, tuple[int, int]] = {}
    differing: dict[str, int] = {}
    detail: dict[str, Any] = {}
    marked: dict[str, proof.Marks] = {}
    for one in found:
        table = one.pair.table
        _alike(work, one)
        parity, losses, marked[table] = _losses(work, one)
        rows[table] = parity.rows
        # When there were more than could be told, so many buckets differ at least.
        differing[table] = len(losses) if parity.whole else max(len(losses), parity.differing)
        detail[table] = {
            "position": parity.position,
            "raced": len(parity.differences) - len(losses),
            "differences": _told(losses, _TELL),
            "notes": list(parity.notes),
        }
        one.drain()
    verdict = Verdict(rows, differing, dict(repaired), time.monotonic() - began, detail)
    if verdict.equal:
        proof.save(work.journal, marked)
    return verdict


def _losses(work: Work, one: Replay) -> tuple[Parity, list[Difference], proof.Marks]:
    """Compare one pair; return all that differs, what of it no log names, and on which log that stands."""
    one.check()
    for _ in range(_TRIES):
        pending = one.drain()
        if pending > _LOGGED // 2:
            continue
        marked = proof.marks(work.connection, one.pair.live)
        taken = Taken({})

        def look() -> None:
            nonlocal taken
            taken = one.log.take(_LOGGED)

        most = 2 * _LOGGED
        parity = Comparison(
            work.connection,
            one.pair.live,
            one.pair.shadow,
            identified_by=one.pair.primary,
            most=most,
            begun=look,
        ).run()
        one.check()
        work.meter.rows(one.pair.table, "verify", sum(parity.rows))
        # A TRUNCATE shows in older snapshots, too: rows that it took away were there by the log.
        if taken.truncated or taken.rows >= _LOGGED or one.log.truncated:
            continue
        if marked is None or proof.marks(work.connection, one.pair.live) != marked:
            continue
        logged = set(taken.keys)
        return parity, [each for each in parity.differences if each.row not in logged], marked
    what = f"{one.pair.table} is written to faster than it can be compared, or emptied again and again."
    raise CutoverError(what, "Wait until there is less traffic, or give the worker more of the server.")


def _alike(work: Work, one: Replay) -> None:
    """See that the twin has all that its table has, before the switch."""
    if one.log.partitioned:
        return
    found = unlike(
        work.connection, layout(work.connection, work.plan, one.pair.table), work.plan.partitions, early=True
    )
    if found:
        what = f"What follows {one.pair.table} is not like it: {' '.join(found[:3])}"
        raise CutoverError(what, "Was one of them altered since? Roll the cutover back and begin again, or alter both.")


def _key(difference: Difference) -> tuple[str, ...]:
    return tuple(str(value) for value in difference.row)


def _told(differences: Iterable[Difference], most: int) -> list[str]:
    return [f"{one.kind} {', '.join(map(str, one.row))}" for one in list(differences)[:most]]
