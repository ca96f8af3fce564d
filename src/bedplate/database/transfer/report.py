"""What a transfer says: how far it is, what it will do, what it did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bedplate.database.transfer.comparing import Compared
from bedplate.database.transfer.mapping import Pair

__all__ = ["Plan", "Progress", "Report"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: of the table's ``total`` so many ``rows``.

    :ivar phase: ``look``, ``copy``, ``changes``, ``index``, ``compare``, ``wait`` (for the right to write), ``last`` or
        ``finished``.
    """

    phase: str
    table: str = ""
    rows: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be moved, column by column, and in words what would not."""

    source: str
    target: str
    pairs: tuple[Pair, ...]
    rows: dict[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "tables": [
                {
                    "table": pair.name,
                    "rows": self.rows[pair.name],
                    "key": list(pair.names[: pair.keys]),
                    "columns": [
                        {"column": one.name, "source": one.source.type, "target": one.target.type, "as": one.kind.name}
                        for one in pair.columns
                    ],
                }
                for pair in self.pairs
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What a run did.

    :ivar state: ``finished``, ``caught-up`` (to be finished when nobody writes into the source), or ``compared``.
    :ivar tables: counts of both sides as they are, and checksums as of the last time that a table was read as a whole.
    :ivar since: rows that were written after that, and compared one by one. :ivar mended: rows that a comparison found
        differing, and that were copied again.
    """

    state: str
    tables: tuple[Compared, ...]
    since: int = 0
    mended: int = 0
    rows: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both sides held the same rows."""
        return all(table.equal for table in self.tables)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "state": self.state,
            "equal": self.equal,
            "tables": [
                {
                    "table": one.table,
                    "rows": {"source": one.rows[0], "target": one.rows[1]},
                    "checksum": {"source": one.checksums[0], "target": one.checksums[1]},
                    "equal": one.equal,
                }
                for one in self.tables
            ],
            "since": self.since,
            "mended": self.mended,
            "copied": self.rows,
            "seconds": round(self.seconds, 3),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Report:
        """Read what :meth:`to_json` wrote."""
        tables = tuple(
            Compared(
                one["table"],
                (one["rows"]["source"], one["rows"]["target"]),
                (one["checksum"]["source"], one["checksum"]["target"]),
            )
            for one in document["tables"]
        )
        numbers = (document["since"], document["mended"], document["copied"], document["seconds"])
        return cls(document["state"], tables, *numbers, tuple(document["notes"]))

    def after(self, **values: Any) -> Report:
        """Return it with other values."""
        return replace(self, **values)
