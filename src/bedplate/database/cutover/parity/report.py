"""What a comparison found, and how far it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Difference", "Parity", "Progress"]


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that one table has and the other has not, or has otherwise.

    :ivar kind: ``missing`` in the second table, ``extra`` there, or ``different``.
    :ivar row: its identifying columns, as PostgreSQL writes them (None is NULL).
    """

    kind: Literal["missing", "extra", "different"]
    row: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a comparison is; given to another one, it goes on from there.

    :ivar upto: the greatest value of the first identifying column that is done, None before the first slice.
    :ivar rows: rows read of the first and of the second table. :ivar slices: slices done.
    :ivar differing: buckets that differed. :ivar found: rows that differ, the first ones.
    :ivar whole: whether every differing row of what is done is in ``found``. :ivar snapshots: how many were needed.
    """

    upto: str | None = None
    rows: tuple[int, int] = (0, 0)
    slices: int = 0
    differing: int = 0
    found: tuple[Difference, ...] = ()
    whole: bool = True
    snapshots: int = 0


@dataclass(frozen=True, slots=True)
class Parity:
    """What a comparison of two tables found.

    :ivar rows: of each table. :ivar differences: rows that differ, at most as many as were asked for.
    :ivar whole: whether ``differences`` are all there are. :ivar finished: False when it was stopped before the end.
    :ivar snapshots: 1 when all was read as of one moment. A comparison that was resumed has more: then a row that
        changed between them may be told though the tables agree, and only a log of changes can tell.
    :ivar position: the position in the WAL before the first snapshot. :ivar seconds: spent, pauses not counted.
    :ivar notes: what does not count as a difference, in sentences.
    """

    tables: tuple[str, str]
    identified_by: tuple[str, ...]
    rows: tuple[int, int]
    buckets: int
    differing: int
    differences: tuple[Difference, ...]
    whole: bool
    finished: bool
    snapshots: int
    position: str
    seconds: float
    progress: Progress
    notes: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether the tables are proven to hold the same rows: all looked at, as of one snapshot, none differing."""
        return self.finished and self.agree and self.snapshots == 1

    @property
    def agree(self) -> bool:
        """Whether nothing that was looked at differs."""
        return not self.differing and self.rows[0] == self.rows[1]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "tables": list(self.tables),
            "equal": self.equal,
            "finished": self.finished,
            "rows": list(self.rows),
            "buckets": self.buckets,
            "differing_buckets": self.differing,
            "identified_by": list(self.identified_by),
            "differences": [{"kind": one.kind, "row": list(one.row)} for one in self.differences],
            "all_differences": self.whole,
            "snapshots": self.snapshots,
            "position": self.position,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }
