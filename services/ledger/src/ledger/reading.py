"""Reading CSV files of transactions: the good rows, and each bad one with its line and how to mend it.

Columns: ``day``, ``kind`` (revenue or expense), ``account``, ``amount``, and if wanted ``currency``, ``against``,
``counterparty``, ``memo`` and ``reference``. A row without a reference gets one of its content and of how many rows
like it came before it in the file: imported again it is the same, and two equal rows of one file stay two.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final, cast

from bedplate.problems import BedplateError
from ledger.chart import BANK, Account
from ledger.entries import BadEntry, Entry, Transaction, TransactionKind, transaction_entry
from ledger.money import is_currency, minor

__all__ = ["COLUMNS", "EXPORTED", "BadFile", "Fault", "Reading", "fits", "read", "shielded"]

COLUMNS: Final = ("day", "kind", "account", "amount", "currency", "against", "counterparty", "memo", "reference")
#: What exports have besides.
IGNORED: Final = ("id", "reverses")
#: What exports call an entry that has no reference, before its number.
EXPORTED: Final = "export:"
_FORMULA: Final = re.compile(r"'*[=+\-@\t\r]")
NEEDED: Final = ("day", "kind", "account", "amount")


class BadFile(BedplateError, ValueError):
    """A file that cannot be read at all."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that cannot be posted. :ivar line: its number in the file, from 1."""

    line: int
    column: str
    what: str
    mend: str


@dataclass(slots=True)
class Reading:
    """What a file says. :ivar lines: of each entry its line in the file."""

    entries: list[Entry] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


class _Wrong(Exception):
    def __init__(self, column: str, what: str, mend: str) -> None:
        super().__init__(what)
        self.column, self.what, self.mend = column, what, mend


def read(text: str, accounts: Mapping[str, Account], currency: str, most: int) -> Reading:
    """Read a file; of thousands of rows, in a thread.

    :param accounts: those of the organisation, by code. :param currency: where no column says one.
    :param most: rows that a file may have. :raises BadFile: when it is no such file.
    """
    # Reading takes seconds where counting takes milliseconds.
    if text.count("\n") > 2 * most + 2:
        raise BadFile(f"The file has more than {most:,} rows.", "Send it in parts.")
    sample = text.lstrip("\ufeff").split("\n", 1)[0]
    delimiter = max(",;\t", key=sample.count)
    rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    reading = Reading()
    seen: Counter[bytes] = Counter()
    try:
        header = [name.strip().lower() for name in next(rows, [])]
        _checked(header)
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            if len(reading.entries) + len(reading.faults) >= most:
                raise BadFile(f"The file has more than {most:,} rows.", "Send it in parts.")
            _take(reading, rows.line_num, dict(zip(header, row, strict=False)), accounts, currency, seen)
    except csv.Error as error:
        raise BadFile(f"Line {rows.line_num} is no CSV: {error}.", "Write it as a spreadsheet does.") from None
    return reading


def _checked(header: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise BadFile(
            f"The first line names no column {', '.join(missing)}.", f"Begin with a line such as {','.join(COLUMNS)}"
        )
    unknown = [name for name in header if name not in COLUMNS + IGNORED]
    if unknown or len(set(header)) < len(header):
        what = f"columns that are not known: {', '.join(unknown)[:100]}" if unknown else "a column twice"
        raise BadFile(f"The first line names {what}.", f"Use each at most once: {', '.join(COLUMNS)}.")


def _take(
    reading: Reading, line: int, row: Mapping[str, str], accounts: Mapping[str, Account], currency: str,
    seen: Counter[bytes],
) -> None:  # fmt: skip
    try:
        entry = _entry(row, accounts, currency)
        if not entry.reference:
            mark = hashlib.blake2b(repr(entry).encode(), digest_size=12)
            seen[mark.digest()] += 1
            reference = f"csv:{mark.hexdigest()}:{seen[mark.digest()]}"
            entry = Entry(entry.kind, entry.day, entry.lines, reference, entry.memo, entry.transaction)
        entry.check()
    except _Wrong as error:
        reading.faults.append(Fault(line, error.column, error.what, error.mend))
    except BadEntry as error:
        reading.faults.append(Fault(line, error.field, error.what, error.mend))
    else:
        reading.entries.append(entry)
        reading.lines.append(line)


def _entry(row: Mapping[str, str], accounts: Mapping[str, Account], currency: str) -> Entry:
    def cell(name: str) -> str:
        return row.get(name, "").strip()

    kind = cell("kind").lower()
    if kind not in ("revenue", "expense"):
        raise _Wrong("kind", f"{kind[:40]!r} is no kind.", "Write revenue or expense.")
    try:
        day = date.fromisoformat(cell("day"))
    except ValueError:
        raise _Wrong("day", f"{cell('day')[:40]!r} is no day.", "Write it as 2025-11-27.") from None
    money = cell("currency").upper() or currency
    if not is_currency(money):
        raise _Wrong("currency", f"{money[:40]!r} is no currency.", "Write a code of ISO 4217: EUR.")
    try:
        amount = minor(cell("amount"), money)
    except ValueError as error:
        raise _Wrong("amount", f"The amount cannot be read: {error}.", "Write it as 1234.50.") from None
    if amount <= 0:
        raise _Wrong("amount", f"The amount {cell('amount')[:40]} is not positive.", "Let kind say which way it went.")
    done = Transaction(cell("account"), cell("against") or BANK, amount, money, _bare(cell("counterparty")))
    for column, what, mend in fits(cast("TransactionKind", kind), done, accounts):
        raise _Wrong(column, what, mend)
    reference, memo = _bare(cell("reference")), _bare(cell("memo"))
    return transaction_entry(cast("TransactionKind", kind), day, done, reference=reference, memo=memo)


def shielded(text: str) -> str:
    """Return a text for a file, such that no spreadsheet takes it for a formula (OWASP: CSV injection)."""
    return f"'{text}" if _FORMULA.match(text) else text


def _bare(text: str) -> str:
    """Return the text that was shielded: as its reference is compared, a row must come back as it was."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def fits(
    kind: TransactionKind, transaction: Transaction, accounts: Mapping[str, Account]
) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the accounts of a transaction: which field, what, and how to mend it."""
    for field_name, code in (("account", transaction.account), ("against", transaction.against)):
        account = accounts.get(code)
        if account is None:
            yield field_name, f"There is no account {code[:40]!r}.", "Open it first, or write the code of another."
        elif account.closed:
            yield field_name, f"The account {code} is closed.", "Open it again, or write the code of another."
        elif field_name == "account" and account.kind != kind:
            yield field_name, f"The account {code} is of kind {account.kind}.", f"Write one of kind {kind}."
        elif field_name == "against" and account.kind in ("revenue", "expense"):
            yield field_name, f"The account {code} is of kind {account.kind}.", "Write one of assets or liabilities."
