"""What a transfer needs of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from bedplate.database.transfer.faults import Faults
from bedplate.database.transfer.mapping import Pair
from bedplate.database.transfer.schema import Schema

__all__ = ["Batch", "Key", "Role", "Row", "Side"]

Role = Literal["source", "target"]
#: A row's key as its own database has it.
Key = tuple[Any, ...]
#: A row: its key, and its canonical line.
Row = tuple[Key, bytes]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows in the order of their keys, and the last key that was looked at, whether or not its row fits."""

    rows: list[Row]
    last: Key


class Side(Protocol):
    """A database that a transfer reads or writes, through one connection of its own."""

    dialect: str
    role: Role
    shown: str
    #: Tells this database from others, so that a transfer is resumed with the source that it began with.
    identity: str

    def schema(self) -> Schema:
        """Return its structure."""

    def transaction(self) -> AbstractContextManager[None]:
        """Write, all or nothing."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Read as of one moment, and keep nobody from writing."""

    def fence(self, pairs: Sequence[Pair]) -> AbstractContextManager[None]:
        """Read while nobody else can write into these tables.

        :raises TransferError: when somebody does not let go.
        """

    def execute(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Carry out a statement, with ``?`` for values, and return its rows."""

    def scan(self, pair: Pair, faults: Faults, *, after: Key | None = None, size: int) -> Iterator[Batch]:
        """Return all rows after a key, in the order of keys; what does not fit goes to ``faults``."""

    def read(self, pair: Pair, faults: Faults, *, size: int) -> Iterator[list[bytes]]:
        """Return the lines of all rows, in any order."""

    def get(self, pair: Pair, keys: Iterable[Key], faults: Faults) -> dict[bytes, bytes]:
        """Return the lines of those rows that are there, by the fields of their canonical keys."""

    def canonical(self, pair: Pair, key: Key) -> bytes:
        """Return a key's fields, as a line begins with them."""

    def native(self, pair: Pair, canonical: bytes) -> Key:
        """Return the key whose fields these are, as this database has it."""

    def try_lines(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Look whether rows fit, and add none."""

    def insert(self, pair: Pair, lines: Sequence[bytes], faults: Faults) -> None:
        """Add rows."""

    def delete(self, pair: Pair, keys: Iterable[bytes]) -> None:
        """Remove the rows of canonical keys, as far as they are there."""

    def empty(self, pair: Pair) -> None:
        """Remove all rows."""

    def count(self, pair: Pair) -> int:
        """Return how many rows there are."""

    def last_number(self, pair: Pair, column: str) -> int | None:
        """Return the last number that a column's sequence gave, if it is known."""

    def set_last_number(self, pair: Pair, column: str, last: int | None) -> None:
        """Let a column's sequence go on after a number, and after all that are in use."""
