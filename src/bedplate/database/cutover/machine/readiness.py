"""Whether a cutover is ready to be switched: every check with its reason, and one score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bedplate.clock import duration
from bedplate.database.cutover.machine.look import Sight, TableSight
from bedplate.database.cutover.machine.record import Record

__all__ = ["Judgement", "Readiness", "proof_limit", "readiness"]

#: Rows by which counts may differ, seconds for which a proof holds, seconds of lag: as MISSION's thresholds say.
DELTA, LAG = 10, 10.0
#: Keys that a switch compares beforehand within a moment.
_PENDING = 10_000
#: A proof that takes long cannot be as fresh: it holds for so many times its length at least.
_LENGTHS = 6.0
#: Bytes that must be free: WAL of a rollback's keys, and room to work.
_FREE = 1 << 30


@dataclass(frozen=True, slots=True)
class Judgement:
    """One check. :ivar ok: None when it cannot be judged from here, which stands in nobody's way."""

    name: str
    ok: bool | None
    reason: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Readiness:
    """All checks. :ivar score: 0 to 100, the share of the checks by weight that pass."""

    judgements: tuple[Judgement, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing stands in the way."""
        return not any(one.ok is False for one in self.judgements)

    @property
    def score(self) -> int:
        """The checks that pass, in hundredths of their weight; 100 only if nothing stands in the way."""
        judged = [one for one in self.judgements if one.ok is not None]
        whole = sum(one.weight for one in judged)
        return int(100 * sum(one.weight for one in judged if one.ok) / whole) if whole else 0

    @property
    def reasons(self) -> tuple[str, ...]:
        """What stands in the way, in sentences."""
        return tuple(one.reason for one in self.judgements if one.ok is False)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "score": self.score,
            "ready": self.ready,
            "reasons": list(self.reasons),
            "checks": [{"name": one.name, "ok": one.ok, "reason": one.reason} for one in self.judgements],
        }


def readiness(sight: Sight, *, fresh: float = 900.0) -> Readiness:
    """Judge what was seen.

    :param fresh: seconds for which a proof that both sides are equal holds.
    """
    record = sight.record
    if record is None:
        return Readiness((Judgement("state", False, "It has not begun.", 4),))
    return Readiness(
        (
            *_of_record(record, sight),
            _proof(sight, proof_limit(record, fresh)),
            *_of_tables(sight.tables),
            _lag(sight.lag),
            _way(sight.blockers),
            _log(sight.doubts),
            _disk(sight.free),
        )
    )


def proof_limit(record: Record | None, fresh: float) -> float:
    """Return how old a proof may be for a switch, in seconds; :param fresh: at least."""
    took = 0.0 if record is None else float(dict(record.verdict).get("seconds", 0.0))
    return max(fresh, _LENGTHS * took)


def _of_record(record: Record, sight: Sight) -> Iterator[Judgement]:
    if record.state == "verified":
        yield Judgement("state", True, "It is verified.", 4)
    else:
        yield Judgement("state", False, f"It is {record.state}, not verified.", 4)
    yield Judgement("worker", sight.runs, "A worker runs." if sight.runs else "No worker runs.", 2)
    free = not record.paused and record.trouble not in ("waits", "retries")
    reason = "It is paused." if record.paused else "Nothing holds it up." if free else record.error
    yield Judgement("unhindered", free, reason)


def _proof(sight: Sight, fresh: float) -> Judgement:
    age = sight.verified_age
    if age is None:
        return Judgement("equal", False, "The two sides are not proven to be equal.", 4)
    said = f"The two sides were proven equal {duration(age)} ago"
    return Judgement("equal", age <= fresh, f"{said}{'.' if age <= fresh else ', which is too long.'}", 4)


def _of_tables(tables: Sequence[TableSight]) -> Iterator[Judgement]:
    delta = max((one.delta for one in tables if one.delta is not None), default=None)
    if delta is None or any(one.delta is None for one in tables):
        yield Judgement("delta", False, "Rows of the two sides have not been counted.", 2)
    else:
        yield Judgement("delta", delta < DELTA, f"The counts differ by {delta} rows.", 2)
    pending = [one.pending for one in tables]
    if any(keys < 0 for keys in pending):
        yield Judgement("pending", False, "A table was truncated, which is not replayed yet.", 2)
    else:
        keys = sum(pending)
        yield Judgement("pending", keys <= _PENDING, f"{keys} changed keys are still to be replayed.", 2)
    written = [one.recent for one in tables]
    if any(one is None for one in written):
        yield Judgement("recent-writes", None, "Nobody has looked twice at who writes.")
        return
    silent = [one.table for one in tables if one.recent is not None and one.recent[0] and not one.recent[1]]
    if silent:
        yield Judgement("recent-writes", False, f"Recent writes to {', '.join(silent)} are not seen on the other side.")
    else:
        nobody = not any(one is not None and one[0] for one in written)
        yield Judgement("recent-writes", True, "Nobody has written lately." if nobody else "Writes reach both sides.")


def _lag(lag: float | None) -> Judgement:
    if lag is None:
        return Judgement("replica-lag", True, "No replica follows.")
    return Judgement("replica-lag", lag < LAG, f"The last replica is {lag:.1f} s behind.")


def _way(blockers: Sequence[str]) -> Judgement:
    reason = f"{blockers[0]}." if blockers else "No long transaction holds the tables, or an old snapshot."
    return Judgement("long-transactions", not blockers, reason, 2)


def _log(doubts: Sequence[str]) -> Judgement:
    reason = f"{doubts[0]} Press verify." if doubts else "Nobody has touched the logs since the last proof."
    return Judgement("log", not doubts, reason, 4)


def _disk(free: int | None) -> Judgement:
    if free is None:
        return Judgement("disk", None, "How much of the server's disk is free cannot be seen from here.")
    return Judgement("disk", free >= _FREE, f"{free / 1e9:.1f} GB of the server's disk are free.")
