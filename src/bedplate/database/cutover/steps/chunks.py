"""In which order a table is copied, and how far that is.

Rows go in the order of the partition key where an index gives it: then those of one organisation lie together in the
twin. What the order needs besides is that chunks are short, so one value of it must not have too many rows, and that
reading by the index does not mean a page of the disk for each row. Else they go by the primary key, and are put into
the order of the partition key within each chunk.

A chunk is so many rows, but no more than so many bytes: values that lie outside of their row may make one of it a
megabyte. Where none does, a row is less than a page, and nobody has to weigh it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import CutoverError, ask, quoted, transaction
from bedplate.database.cutover.catalog import read
from bedplate.database.cutover.work import Pair, Work

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Chunks", "heavy"]

#: Rows that may have one value of the order, if it is not unique, and their bytes: they come in one chunk.
_TIES, _TIED = 20_000, 16 << 20
#: Bytes that are copied in a second, about, where values lie outside of their rows.
_SPEED = 200 << 20

_INDEXES = """
SELECT i.indisprimary, ARRAY(
  SELECT a.attname::text FROM unnest(i.indkey::int2[], i.indclass::oid[], i.indcollation::oid[], i.indoption::int2[])
    WITH ORDINALITY AS k(number, class, sorts, direction, place)
  LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND a.attnotnull AND k.direction = 0
    AND a.attcollation = k.sorts AND EXISTS (SELECT FROM pg_opclass o WHERE o.oid = k.class AND o.opcdefault)
  WHERE k.place <= i.indnkeyatts ORDER BY k.place)
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
WHERE i.indrelid = %s AND i.indisvalid AND i.indpred IS NULL"""

_STATISTICS = """
SELECT greatest(c.reltuples, 0)::bigint, pg_table_size(c.oid) <= pg_size_bytes(current_setting('effective_cache_size')),
  (greatest(c.reltuples, 0) * coalesce((s.most_common_freqs)[1],
    CASE WHEN s.n_distinct < 0 THEN -1 / (s.n_distinct * greatest(c.reltuples, 1)) ELSE 1 / nullif(s.n_distinct, 0) END
  ))::float8, abs(coalesce(s.correlation, 0))::float8, (pg_table_size(c.oid) / greatest(c.reltuples, 1))::float8
FROM pg_class c LEFT JOIN pg_stats s ON s.schemaname = %s AND s.tablename = c.relname AND s.attname = %s
  AND NOT s.inherited WHERE c.oid = %s"""

_HEAVY = """SELECT a.attname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.oid = ANY(ARRAY[pg_catalog.to_regclass(%s), pg_catalog.to_regclass(%s)]::oid[])
  AND c.reltoastrelid <> 0 AND pg_catalog.pg_relation_size(c.reltoastrelid) > 0
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1 AND a.attstorage IN ('x', 'e') AND a.attgenerated = ''
ORDER BY a.attnum"""


def heavy(connection: Connection[Any], pair: Pair) -> tuple[str, ...]:
    """Return the columns whose values may lie outside of their rows; none where none does.

    The partitioned one, which is live after the switch, holds no values itself: the other of the pair tells.
    """
    return tuple(row[0] for row in ask(connection, _HEAVY, (pair.live, pair.shadow)))


@dataclass(frozen=True, slots=True)
class Chunks:
    """The order of a table's backfill and how far it is; ``bounds`` are values as PostgreSQL writes them.

    :ivar order: columns, and their ``types``. :ivar last: the greatest values when the key log was in place, None when
        there were no rows: all above is in the log. :ivar upto: where the last chunk ended. :ivar size: rows of the
        next chunk. :ivar of: rows that the planner believed in.
    """

    order: tuple[str, ...]
    types: tuple[str, ...]
    last: tuple[str, ...] | None
    upto: tuple[str, ...] | None = None
    rows: int = 0
    of: int = 0
    size: int = 2000
    done: bool = False

    @classmethod
    def fixed(cls, work: Work, pair: Pair) -> Chunks:
        """Return how far the backfill of a table is; where it ends is read and kept the first time."""
        saved = work.journal.load(_part(pair))
        if saved:
            return cls._of(saved)
        with transaction(work.connection):
            table = read(work.connection, pair.live)
            order, of = _order(work.connection, pair, work.plan.key)
            known = {column.name: column.type for column in table.columns}
            chunks = cls(order, tuple(known[name] for name in order), None, of=of)
            # The end is read in a statement, and so as of a snapshot, that is younger than the log.
            chunks = replace(chunks, last=chunks.greatest(work.connection, pair))
            if chunks.last is None:
                chunks = replace(chunks, done=True)
            chunks.save(work, pair)
        return chunks

    @classmethod
    def _of(cls, saved: Mapping[str, Any]) -> Chunks:
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in saved.items()
        }
        return cls(**values)

    def save(self, work: Work, pair: Pair) -> None:
        """Keep it in the open transaction."""
        work.journal.save(_part(pair), {name: getattr(self, name) for name in self.__slots__})

    @property
    def by(self) -> str:
        """The order as SQL."""
        return ", ".join(f"t.{quoted(name)}" for name in self.order)

    @property
    def texts(self) -> str:
        """Its values as SQL, as texts."""
        return ", ".join(f"t.{quoted(name)}::text" for name in self.order)

    def between(self, lower: Sequence[str] | None, upper: Sequence[str]) -> tuple[str, list[str]]:
        """Return the condition, as SQL and its values, that a row is above one place and not above another."""
        values = ", ".join(f"%s::text::{kind}" for kind in self.types)
        if lower is None:
            return f"ROW({self.by}) <= ROW({values})", [*upper]
        return f"ROW({self.by}) > ROW({values}) AND ROW({self.by}) <= ROW({values})", [*lower, *upper]

    def end(
        self, connection: Connection[Any], pair: Pair, weighed: Sequence[str] = (), seconds: float = 0.0
    ) -> tuple[str, ...] | None:
        """Return where the next chunk ends: at its last row, None when fewer are left than it should have.

        :param weighed: the columns of :func:`heavy`. :param seconds: that it should take to copy what they hold.
        """
        assert self.last is not None
        where, values = self.between(self.upto, self.last)
        # Inside, or every row that is skipped would be made a text.
        names = ", ".join(quoted(name) for name in self.order)
        if weighed:
            size = " + ".join(f"coalesce(pg_column_size(t.{quoted(name)}), 0)" for name in weighed)
            sized = (
                f"SELECT {names}, ({size})::bigint AS bedplate_size FROM ONLY {pair.live} t WHERE {where} "
                f"ORDER BY {self.by} LIMIT {self.size}"
            )
            sums = (
                f"SELECT {names}, row_number() OVER w AS bedplate_rows, sum(bedplate_size) OVER w AS bedplate_bytes "
                f"FROM ({sized}) t WINDOW w AS (ORDER BY {self.by} ROWS UNBOUNDED PRECEDING)"
            )
            full = f"bedplate_rows >= {self.size} OR bedplate_bytes >= {max(int(seconds * _SPEED), 1)}"
            inner = f"SELECT {names} FROM ({sums}) t WHERE {full} ORDER BY {self.by} LIMIT 1"
            found = ask(connection, f"SELECT {self.texts} FROM ({inner}) t", values)
            return tuple(found[0]) if found else None
        inner = (
            f"SELECT {names} FROM ONLY {pair.live} t WHERE {where} ORDER BY {self.by} OFFSET {self.size - 1} LIMIT 1"
        )
        rows = ask(connection, f"SELECT {self.texts} FROM ({inner}) t", values)
        return tuple(rows[0]) if rows else None

    def greatest(self, connection: Connection[Any], pair: Pair) -> tuple[str, ...] | None:
        """Return the greatest place there is now."""
        falling = ", ".join(f"t.{quoted(name)} DESC" for name in self.order)
        rows = ask(connection, f"SELECT {self.texts} FROM ONLY {pair.live} t ORDER BY {falling} LIMIT 1")
        return tuple(rows[0]) if rows else None


def _part(pair: Pair) -> str:
    return f"backfill:{pair.table}"


def _order(connection: Connection[Any], pair: Pair, key: str) -> tuple[tuple[str, ...], int]:
    """Choose the order, in a transaction; also return how many rows the planner believes in."""
    table = read(connection, pair.live)
    found = ask(connection, _INDEXES, (table.oid,))
    rows, cached, most, correlation, size = ask(connection, _STATISTICS, (table.schema, key, table.oid))[0]
    if cached or correlation > 0.9:
        useful = [one for one in (_usable(columns) for _, columns in found) if one and one[0] == key]
        unique = [one for one in useful if set(table.primary) <= set(one)]
        if unique:
            return min(unique, key=len), rows
        # Without statistics nobody knows how many rows one value has.
        if useful and most is not None and most <= _TIES and most * size <= _TIED:
            return max(useful, key=len), rows
    primary = [_usable(columns) for is_primary, columns in found if is_primary]
    if not primary or len(primary[0]) != len(table.primary):
        what = f"The rows of {pair.table} have no order that chunks could follow."
        raise CutoverError(what, "Its primary key needs a plain B-tree in the usual order.")
    return primary[0], rows


def _usable(columns: Sequence[str | None]) -> tuple[str, ...]:
    """Return the first columns of an index by which rows can be compared as a whole."""
    names: list[str] = []
    for name in columns:
        if name is None:
            break
        names.append(name)
    return tuple(names)
