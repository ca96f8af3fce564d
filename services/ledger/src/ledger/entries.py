"""Journal entries: lines of debit and credit that balance, and what makes one of a sale or a purchase."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal, NamedTuple

from bedplate.problems import BedplateError
from ledger.money import MOST, is_currency

__all__ = [
    "BadEntry", "Entry", "EntryKind", "Line", "Numbered", "Transaction", "TransactionKind", "checked",
    "transaction_entry",
]  # fmt: skip

TransactionKind = Literal["revenue", "expense"]
EntryKind = Literal["revenue", "expense", "journal"]

FIRST_DAY: Final = date(1970, 1, 1)
LAST_DAY: Final = date(2199, 12, 31)
LONGEST_REFERENCE: Final = 100
LONGEST_MEMO: Final = 500
MOST_LINES: Final = 500


class BadEntry(BedplateError, ValueError):
    """An entry that cannot be posted; ``field`` says which part of it is wrong."""

    def __init__(self, field: str, what: str, mend: str) -> None:
        super().__init__(what, mend)
        self.field = field


class Line(NamedTuple):
    """One line: minor units on an account, positive for a debit and negative for a credit."""

    account: str
    amount: int
    currency: str


class Transaction(NamedTuple):
    """What was earned or spent.

    :ivar account: of revenue or expense. :ivar against: where the money is, or is owed: the bank.
    :ivar amount: minor units, positive; negative where it takes another one back.
    """

    account: str
    against: str
    amount: int
    currency: str
    counterparty: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is posted at once, or not at all.

    :ivar reference: what the client calls it, unique in the organisation; empty for none.
    :ivar reverses: the id of the entry that it takes back.
    :ivar transaction: of a revenue or an expense, whose lines :func:`transaction_entry` makes.
    """

    kind: EntryKind
    day: date
    lines: tuple[Line, ...]
    reference: str = ""
    memo: str = ""
    transaction: Transaction | None = None
    reverses: int | None = None

    def check(self) -> None:
        """Make sure that it may be posted, as far as it can be told without its organisation.

        :raises BadEntry: with what is wrong.
        """
        if not FIRST_DAY <= self.day <= LAST_DAY:
            raise BadEntry("day", f"The day {self.day} is out of range.", f"Give one of {FIRST_DAY} to {LAST_DAY}.")
        for field, text, most in (
            ("reference", self.reference, LONGEST_REFERENCE),
            ("memo", self.memo, LONGEST_MEMO),
            ("counterparty", self.transaction.counterparty if self.transaction else "", LONGEST_MEMO),
        ):
            if len(text) > most or "\0" in text:
                raise BadEntry(field, f"The {field} cannot be kept.", f"Give at most {most} letters, none of them NUL.")
        if not 2 <= len(self.lines) <= MOST_LINES:
            raise BadEntry("lines", f"An entry of {len(self.lines)} lines.", f"Give 2 to {MOST_LINES}.")
        sums: Counter[str] = Counter()
        for line in self.lines:
            if not is_currency(line.currency):
                raise BadEntry("currency", f"{line.currency!r} is no currency.", "Give a code of ISO 4217: EUR.")
            if not 0 < abs(line.amount) <= MOST:
                raise BadEntry("amount", f"A line of {line.amount} minor units.", "Give an amount that is not 0.")
            sums[line.currency] += line.amount
        wrong = {currency: total for currency, total in sums.items() if total}
        if wrong:
            said = ", ".join(f"{total} minor units of {currency}" for currency, total in sorted(wrong.items()))
            raise BadEntry("lines", f"Debits and credits differ by {said}.", "Let them be equal in each currency.")

    def digest(self) -> int:
        """Return 63 bits that tell whether another entry with the same reference says the same."""
        said = repr((self.kind, self.day.isoformat(), self.lines, self.memo, self.transaction, self.reverses))
        return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=8).digest()) >> 1

    def reversed(self, id: int, day: date, memo: str) -> Entry:
        """Return the entry that takes this one, which has the id, back on a day."""
        taken = None if self.transaction is None else self.transaction._replace(amount=-self.transaction.amount)
        lines = tuple(line._replace(amount=-line.amount) for line in self.lines)
        return replace(self, day=day, lines=lines, reference="", memo=memo, transaction=taken, reverses=id)


class Numbered(NamedTuple):
    """An entry with the number that it gets if it is new, and its digest."""

    id: int
    entry: Entry
    digest: int


def transaction_entry(
    kind: TransactionKind, day: date, transaction: Transaction, *, reference: str = "", memo: str = ""
) -> Entry:
    """Return the entry of a revenue (debit the bank, credit the account) or an expense (the other way)."""
    account, against, amount, currency, _ = transaction
    earned = amount if kind == "revenue" else -amount
    lines = (Line(against, earned, currency), Line(account, -earned, currency))
    return Entry(kind, day, lines, reference, memo, transaction)


def checked(entries: Sequence[Entry]) -> None:
    """Make sure that all may be posted. :raises BadEntry: that names the place of the first that may not."""
    for place, entry in enumerate(entries):
        try:
            entry.check()
        except BadEntry as error:
            field = f"{place}/{error.field}" if len(entries) > 1 else error.field
            raise BadEntry(field, error.what, error.mend) from None
