"""Whether a table holds the same rows on both sides, and which differ: count and checksum of the canonical lines.

The checksum is the sum of all lines' BLAKE2b, 128 bits, modulo 2¹²⁸: the order of rows is none of its business. Sums
are kept by buckets of the key, so that of a table that differs only some buckets are read again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from zlib import crc32

from bedplate.database.transfer.faults import Faults
from bedplate.database.transfer.mapping import Pair
from bedplate.database.transfer.side import Side
from bedplate.database.transfer.sqlite_side import prefix

__all__ = ["Compared", "Digest", "digest", "repair", "row_sum"]

_BUCKETS = 4096
_ALL = (1 << 128) - 1
#: Rows of differing buckets that are held at a time.
_HELD = 500_000


@dataclass(slots=True)
class Digest:
    """Counts and sums of a table's rows, by buckets."""

    counts: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    sums: list[int] = field(default_factory=lambda: [0] * _BUCKETS)

    @property
    def rows(self) -> int:
        """How many rows."""
        return sum(self.counts)

    @property
    def checksum(self) -> str:
        """The sum of all rows."""
        return f"{sum(self.sums) & _ALL:032x}"

    def differing(self, other: Digest) -> list[int]:
        """Return the buckets in which two tables differ."""
        return [
            bucket
            for bucket in range(_BUCKETS)
            if self.counts[bucket] != other.counts[bucket] or (self.sums[bucket] - other.sums[bucket]) & _ALL
        ]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of a table found on both sides."""

    table: str
    rows: tuple[int, int]
    checksums: tuple[str, str]

    @property
    def equal(self) -> bool:
        """Whether both sides hold the same rows."""
        return self.rows[0] == self.rows[1] and self.checksums[0] == self.checksums[1]


def row_sum(line: bytes) -> int:
    """Return what a row adds to the checksum."""
    return int.from_bytes(blake2b(line, digest_size=16).digest(), "big")


def digest(batches: Iterable[list[bytes]], keys: int) -> Digest:
    """Read a table."""
    found = Digest()
    counts, sums = found.counts, found.sums
    read = int.from_bytes
    for lines in batches:
        for line in lines:
            if keys == 1:
                key = line.partition(b"\t")[0]
            else:
                key = prefix(line, keys)
            bucket = crc32(key) & 4095
            counts[bucket] += 1
            sums[bucket] += read(blake2b(line, digest_size=16).digest(), "big")
    return found


def repair(
    source: Side, target: Side, pair: Pair, mine: Digest, its: Digest, faults: Faults, size: int
) -> tuple[int, int]:
    """Make rows of the target as the source's are, in the present transaction; return how many were removed and added.

    :param mine: the source's digest. :param its: the target's.
    """
    if not pair.keys:
        target.empty(pair)
        added = 0
        for lines in source.read(pair, faults, size=size):
            target.insert(pair, lines, faults)
            added += len(lines)
        return its.rows, added
    chosen: set[int] = set()
    held = 0
    for bucket in mine.differing(its):
        held += mine.counts[bucket] + its.counts[bucket]
        if chosen and held > _HELD:
            break
        chosen.add(bucket)
    wanted = _rows(source.read(pair, faults, size=size), pair.keys, chosen)
    present = _rows(target.read(pair, faults, size=size), pair.keys, chosen)
    gone = [key for key, line in present.items() if wanted.get(key) != line]
    new = [line for key, line in wanted.items() if present.get(key) != line]
    target.delete(pair, gone)
    target.insert(pair, new, faults)
    return len(gone), len(new)


def _rows(batches: Iterable[list[bytes]], keys: int, buckets: set[int]) -> dict[bytes, bytes]:
    found = {}
    for lines in batches:
        for line in lines:
            key = prefix(line, keys)
            if crc32(key) & 4095 in buckets:
                found[key] = line
    return found
