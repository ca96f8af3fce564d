"""Reading a slice of a table: its buckets' checksums, and the rows of buckets that differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask, quoted
from bedplate.database.cutover.parity.digest import Digest, Relation
from bedplate.database.cutover.parity.report import Difference

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Buckets", "Scan", "Sums", "found"]

#: Of each bucket that has rows: how many, and the two sums.
Sums = dict[int, tuple[int, str, str]]

_Key = tuple[str | None, ...]
_ONE_TRIP = 5_000


@dataclass(frozen=True, slots=True)
class Buckets:
    """Buckets of ``of`` that differ, and how many rows each has, in the table that has more there."""

    numbers: tuple[int, ...]
    rows: tuple[int, ...]
    of: int

    @classmethod
    def differing(cls, one: Sums, other: Sums, of: int) -> Buckets:
        """Compare sums."""
        numbers = sorted(number for number in one.keys() | other.keys() if one.get(number) != other.get(number))
        none = (0, "", "")
        rows = (max(one.get(number, none)[0], other.get(number, none)[0]) for number in numbers)
        return cls(tuple(numbers), tuple(rows), of)

    def batches(self, most: int) -> Iterator[tuple[list[int], int]]:
        """Yield buckets that have at most so many rows together, and in how many parts they are to be read."""
        batch: list[int] = []
        size = 0
        for number, rows in zip(self.numbers, self.rows, strict=True):
            if batch and size + rows > most:
                yield batch, 1
                batch, size = [], 0
            if rows > most:
                # Hashes fall evenly: twice as many parts as needed leave room for those that have more.
                yield [number], 1 << (2 * rows // most).bit_length()
                continue
            batch.append(number)
            size += rows
        if batch:
            yield batch, 1


@dataclass(frozen=True, slots=True)
class Scan:
    """The rows of a table whose first identifying column is above ``lower`` and at most ``upper``."""

    table: Relation
    digest: Digest
    lower: str | None
    upper: str | None

    @property
    def first(self) -> str:
        """The first identifying column, as SQL."""
        return f"t.{quoted(self.digest.identified_by[0].name)}"

    @property
    def where(self) -> tuple[str, list[str]]:
        """The condition as SQL, and its values."""
        kind = self.digest.identified_by[0].type
        bounds = [(sign, value) for sign, value in ((">", self.lower), ("<=", self.upper)) if value is not None]
        conditions = " AND ".join(f"{self.first} {sign} %s::text::{kind}" for sign, _ in bounds)
        return (f" WHERE {conditions}" if conditions else ""), [value for _, value in bounds]

    def sums(self, connection: Connection[Any], buckets: int) -> Sums:
        """Count and sum up each bucket. A row's bucket is in its own hash, so that nothing more is to be hashed."""
        where, values = self.where
        # OFFSET 0 keeps the planner from hashing a row once for each use of its hash.
        statement = f"""SELECT (h & {buckets - 1})::int, count(*), sum(h)::text, sum({self.digest.second("h")})::text
            FROM (SELECT {self.digest.row} AS h FROM {self.table.sql} t{where} OFFSET 0) hashed GROUP BY 1"""
        return {row[0]: (row[1], row[2], row[3]) for row in ask(connection, statement, values)}

    def read(self, connection: Connection[Any], numbers: list[int], of: int, part: int, parts: int) -> Iterator[Any]:
        """Yield key and hashes of the rows in buckets, a few thousand at a time."""
        where, values = self.where
        names = ", ".join(f"k{number}" for number in range(len(self.digest.identified_by)))
        statement = f"""SELECT {names}, h, {self.digest.second("h")} FROM (
                SELECT {self._keys}, {self.digest.row} AS h FROM {self.table.sql} t{where} OFFSET 0
            ) hashed WHERE (h & {of - 1})::int = ANY(%s) AND ((h >> 24) & {parts - 1}) = {part}"""
        with connection.cursor(name="bedplate_parity") as cursor:
            cursor.itersize = _ONE_TRIP
            cursor.execute(statement.encode(), [*values, numbers])
            for row in cursor:
                yield tuple(row[:-2]), (row[-2], row[-1])

    def versions(self, connection: Connection[Any], keys: Sequence[_Key]) -> dict[_Key, Counter[tuple[int, int]]]:
        """Return the hashes of all rows that have one of the keys."""
        columns = self.digest.identified_by
        lists = [[key[place] for key in keys] for place in range(len(columns))]
        names = ", ".join(f"k{number}" for number in range(len(columns)))
        same = " AND ".join(
            f"t.{quoted(column.name)} {'IS NOT DISTINCT FROM' if column.nullable else '='} w.k{number}::{column.type}"
            for number, column in enumerate(columns)
        )
        wanted = ", ".join("%s::text[]" for _ in columns)
        statement = f"""SELECT {names}, h, {self.digest.second("h")} FROM (
            SELECT {self._keys}, {self.digest.row} AS h FROM {self.table.sql} t
            WHERE EXISTS (SELECT FROM unnest({wanted}) AS w({names}) WHERE {same}) OFFSET 0) hashed"""
        versions: dict[_Key, Counter[tuple[int, int]]] = {}
        for row in ask(connection, statement, lists):
            versions.setdefault(tuple(row[:-2]), Counter())[row[-2], row[-1]] += 1
        return versions

    @property
    def _keys(self) -> str:
        columns = enumerate(self.digest.identified_by)
        return ", ".join(f"t.{quoted(column.name)}::text AS k{number}" for number, column in columns)


def found(
    connection: Connection[Any], scans: Sequence[Scan], buckets: Buckets, most: int, memory_rows: int
) -> tuple[tuple[Difference, ...], bool]:
    """Find the rows that make buckets differ; and whether these are all.

    :param most: rows to tell at most. :param memory_rows: rows of a table to hold at most.
    """
    keys: dict[_Key, None] = {}
    whole = True
    for numbers, parts in buckets.batches(memory_rows):
        for part in range(parts):
            if len(keys) > most:
                whole = False
                break
            left: Counter[Any] = Counter()
            for sign, scan in zip((1, -1), scans, strict=True):
                for one in scan.read(connection, numbers, buckets.of, part, parts):
                    left[one] += sign
                    if not left[one]:
                        del left[one]
            keys.update(dict.fromkeys(key for key, _ in left))
    # Every key that was met is judged by all rows that have it, in both tables: one in a bucket that was not read yet
    # must not pass as missing.
    chosen = sorted(keys, key=_order)[: most + 1]
    differences = [
        one for start in range(0, len(chosen), 1000) for one in _judged(connection, scans, chosen[start : start + 1000])
    ]
    return tuple(differences[:most]), whole and len(keys) <= most and len(differences) <= most


def _judged(connection: Connection[Any], scans: Sequence[Scan], keys: Sequence[_Key]) -> Iterator[Difference]:
    one, other = (scan.versions(connection, keys) for scan in scans)
    for key in sorted(one.keys() | other.keys(), key=_order):
        here, there = one.get(key, Counter()), other.get(key, Counter())
        for absent, added in zip_longest((here - there).elements(), (there - here).elements()):
            if absent is not None and added is not None:
                yield Difference("different", key)
            else:
                yield Difference("extra" if absent is None else "missing", key)


def _order(key: _Key) -> tuple[tuple[bool, int, str], ...]:
    return tuple((part is None, len(part or ""), part or "") for part in key)
