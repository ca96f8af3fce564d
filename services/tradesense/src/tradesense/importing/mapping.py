"""What the columns of a broker's file mean: one frozen value, declared, not programmed."""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from bedplate.problems import BedplateError
from tradesense.trades import Kind

__all__ = ["FIELDS", "BadMapping", "Column", "Field", "Mapping", "Skip", "column"]

Field = Literal[
    "at", "time", "kind", "symbol", "quantity", "price", "fee", "fee_currency", "fee_rate", "amount",
    "amount_currency", "currency", "multiplier", "account", "id", "tags", "note", "level", "asset",
]  # fmt: skip
FIELDS: Final[tuple[str, ...]] = get_args(Field)
Point = Literal[".", ","]


class BadMapping(BedplateError, ValueError):
    """A mapping that cannot be used."""


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field stands: the names that the column goes by, in lower case.

    :param after: how many columns to the right of that one; brokers leave the header of a currency empty.
    """

    names: tuple[str, ...]
    after: int = 0


def column(*names: str, after: int = 0) -> Column:
    """Return a column by its names."""
    return Column(tuple(name.lower() for name in names), after)


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows that are no trades: those whose ``field`` begins with one of these words; an empty word is an empty cell."""

    field: Field
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mapping:
    """How a file becomes trades.

    :param broker: its short name. :param title: for people.
    :param fields: the column of each field, or several, of which numbers (fees) are added up. ``at`` and ``kind`` may
        be one column; ``quantity`` and ``price`` are needed for executions, ``amount`` for what is cash alone.
        ``level`` and ``asset`` are there for skips. Without a fee column the fee is what the amount differs by.
    :param kinds: what the broker's words mean, in lower case; the longest that a cell begins with counts. An empty
        mapping tells purchases from sales by the sign of the quantity.
    :param skips: rows that are no trades and are left out without a complaint.
    :param by_hand: kinds of rows that change a position in a way that the file does not say enough of.
    :param requires: columns that only this broker's files have: what it is recognised by.
    :param times: forms of ``at`` (and ``time`` after a space) as :func:`time.strptime` has them; ISO 8601 always is.
    :param zone: the time zone of times without one.
    :param currency: where no column says. :param point: the decimal mark, ``.`` or ``,``.
    :param section: the first cell of the rows that count, in files of several tables, such as ``Trades``.
    :param own_ids: ids belong to single executions; else, as with ids of orders, several rows may share one.
    :param fee_signed: a cost is negative in the file. :param pence: currencies that are a hundredth of another.
    """

    broker: str
    title: str
    fields: MappingOf[str, Column | tuple[Column, ...]]
    kinds: MappingOf[str, Kind] = field(default_factory=dict)
    skips: tuple[Skip, ...] = ()
    by_hand: tuple[str, ...] = ()
    requires: frozenset[str] = frozenset()
    times: tuple[str, ...] = ()
    zone: str = "UTC"
    currency: str = ""
    point: Point = "."
    section: str = ""
    own_ids: bool = True
    fee_signed: bool = False
    pence: MappingOf[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = sorted(set(self.fields) - set(FIELDS))
        if unknown:
            raise BadMapping(f"{unknown[0]!r} is no field.", f"Fields are {', '.join(FIELDS)}.")
        missing = [name for name in ("at", "symbol", "quantity", "price") if name not in self.fields]
        if missing:
            raise BadMapping(f"The mapping {self.broker} says nothing of {missing[0]!r}.", "Name its column.")
        if not self.currency and "currency" not in self.fields:
            raise BadMapping(f"The mapping {self.broker} has no currency.", "Name its column, or the currency.")

    def columns(self, name: str) -> tuple[Column, ...]:
        """Return the columns of a field; none when it has none."""
        found = self.fields.get(name, ())
        return (found,) if isinstance(found, Column) else found
