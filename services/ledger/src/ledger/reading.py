"""Reading CSV files of transactions: the good rows, and each bad one with its line and how to mend it.

Columns: ``day``, ``kind`` (revenue or expense), ``account``, ``amount``, and if wanted ``currency``, ``against``,
``counterparty``, ``memo`` and ``reference``. A row without a reference gets one of its content and of how many rows
like it came before it in the file: imported again it is the same, and two equal rows of one file stay two. Exports have
``id`` and ``reverses`` besides: a row with the latter takes back the row, or the entry, of that number.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final, cast

from bedplate.problems import BedplateError
from ledger.chart import BANK, Account
from ledger.entries import BadEntry, Entry, Transaction, TransactionKind, transaction_entry
from ledger.money import is_currency, minor

__all__ = ["COLUMNS", "EXPORTED", "Back", "BadFile", "Fault", "Reader", "Reading", "fits", "lines_of", "shielded"]

COLUMNS: Final = ("day", "kind", "account", "amount", "currency", "against", "counterparty", "memo", "reference")
#: What exports have besides: the number of an entry, and of the one that it takes back.
NUMBERS: Final = ("id", "reverses")
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


#: A row that takes another one back, as it stands in the file: line, its number there, the other's, and its cells.
Back = tuple[int, int, int, tuple[str, ...]]


@dataclass(slots=True)
class Reading:
    """What some rows of a file say.

    :ivar lines: of each entry its line in the file. :ivar ids: its number there, or 0. :ivar bad: those of faults.
    """

    entries: list[Entry] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries) + len(self.faults)


def lines_of(text: str) -> int:
    """Return how many lines a text has at most, however they end."""
    return text.count("\n") + text.count("\r") - text.count("\r\n") + 1


class _Wrong(Exception):
    def __init__(self, column: str, what: str, mend: str) -> None:
        super().__init__(what)
        self.column, self.what, self.mend = column, what, mend


class Reader:
    """A file that is read in portions: of thousands of rows, each in a thread.

    Whoever holds what tens of thousands of rows say as objects lets the garbage collector, and with it all that the
    process does, stand still for a tenth of a second; so there is never more of it than a portion.

    :param accounts: those of the organisation, by code. :param currency: where no column says one.
    :param most: rows that a file may have. :raises BadFile: when it is no such file, at once or later.
    """

    def __init__(self, text: str, accounts: Mapping[str, Account], currency: str, most: int) -> None:
        # Reading takes seconds where counting takes milliseconds.
        if lines_of(text) > 2 * most + 3:
            raise BadFile(f"The file has more than {most:,} rows.", "Send it in parts.")
        sample = re.split(r"[\r\n]", text.lstrip("\ufeff"), maxsplit=1)[0]
        delimiter = max(",;\t", key=sample.count)
        self._rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=delimiter, strict=True)
        self._accounts, self._currency, self._most = accounts, currency, most
        self._seen: Counter[bytes] = Counter()
        self._read = 0
        #: Rows that take others back: those may come later in the file, so :meth:`back` reads them when all are known.
        self.backs: list[Back] = []
        with self._telling():
            self._header = tuple(name.strip().lower() for name in next(self._rows, []))
        _checked(self._header)

    def portion(self, count: int) -> Reading:
        """Return what the next rows say; nothing at the end of the file."""
        reading, looked = Reading(), 0
        with self._telling():
            for row in self._rows:
                if not any(cell.strip() for cell in row):
                    continue
                self._read += 1
                if self._read > self._most:
                    raise BadFile(f"The file has more than {self._most:,} rows.", "Send it in parts.")
                self._take(reading, self._rows.line_num, tuple(row), None)
                looked += 1
                _breathe(looked)
                if len(reading) >= count:
                    break
        return reading

    def back(self, rows: Sequence[tuple[Back, int]]) -> Reading:
        """Return what rows of :attr:`backs` say. :param rows: each with the number of the entry that it takes back."""
        reading = Reading()
        for looked, ((line, _, _, row), reverses) in enumerate(rows):
            self._take(reading, line, row, reverses)
            _breathe(looked)
        return reading

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except csv.Error as error:
            line = self._rows.line_num
            raise BadFile(f"Line {line} is no CSV: {error}.", "Write it as a spreadsheet does.") from None

    def _take(self, reading: Reading, line: int, cells: tuple[str, ...], reverses: int | None) -> None:
        row, id = dict(zip(self._header, cells, strict=False)), 0
        try:
            id = _number(row, "id")
            other = _number(row, "reverses")
            if other and reverses is None:
                self.backs.append((line, id, other, cells))
                return
            entry = _entry(row, self._accounts, self._currency, reverses)
            if not entry.reference:
                mark = hashlib.blake2b(repr(entry).encode(), digest_size=12)
                self._seen[mark.digest()] += 1
                entry = replace(entry, reference=f"csv:{mark.hexdigest()}:{self._seen[mark.digest()]}")
            entry.check()
        except _Wrong as error:
            reading.faults.append(Fault(line, error.column, error.what, error.mend))
            reading.bad.append(id)
        except BadEntry as error:
            reading.faults.append(Fault(line, error.field, error.what, error.mend))
            reading.bad.append(id)
        else:
            reading.entries.append(entry)
            reading.lines.append(line)
            reading.ids.append(id)


def _breathe(looked: int) -> None:
    """Let other threads have a turn now and then, which they wait 5 ms for otherwise; the event loop is one of them."""
    if looked % 20 == 0:
        time.sleep(0.0001)


def _number(row: Mapping[str, str], name: str) -> int:
    cell = row.get(name, "").strip()
    if cell and not (cell.isascii() and cell.isdigit() and len(cell) <= 18):
        raise _Wrong(name, f"{cell[:40]!r} is no number of an entry.", "Leave it as it was exported, or empty.")
    return int(cell or 0)


def _checked(header: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in header]
    if missing:
        raise BadFile(
            f"The first line names no column {', '.join(missing)}.", f"Begin with a line such as {','.join(COLUMNS)}"
        )
    unknown = [name for name in header if name not in COLUMNS + NUMBERS]
    if unknown or len(set(header)) < len(header):
        what = f"columns that are not known: {', '.join(unknown)[:100]}" if unknown else "a column twice"
        raise BadFile(f"The first line names {what}.", f"Use each at most once: {', '.join(COLUMNS)}.")


def _entry(row: Mapping[str, str], accounts: Mapping[str, Account], currency: str, reverses: int | None) -> Entry:
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
    if amount <= 0 and (reverses is None or amount == 0):
        raise _Wrong(
            "amount",
            f"The amount {cell('amount')[:40]} is not positive.",
            "Let kind say which way it went, or reverses what it takes back.",
        )
    done = Transaction(cell("account"), cell("against") or BANK, amount, money, _bare(cell("counterparty")))
    for column, what, mend in fits(cast("TransactionKind", kind), done, accounts):
        raise _Wrong(column, what, mend)
    reference, memo = _bare(cell("reference")), _bare(cell("memo"))
    entry = transaction_entry(cast("TransactionKind", kind), day, done, reference=reference, memo=memo)
    return entry if reverses is None else replace(entry, reverses=reverses)


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
