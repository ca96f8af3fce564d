"""From the text of a broker's file to trades, and to faults that say which line is wrong, and how to mend it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal
from zoneinfo import ZoneInfo

from bedplate.problems import BedplateError
from tradesense.importing.mapping import Mapping
from tradesense.importing.places import Places, plain
from tradesense.importing.presets import GENERIC, PRESETS
from tradesense.money import EXACT, ROUNDED, is_currency, parse
from tradesense.trades import CASH_KINDS, BadTrade, Kind, Trade, check

__all__ = ["BadFile", "Fault", "Reading", "decode", "detect", "read"]

#: Lines among which the header is looked for: brokers put titles above it.
_HEAD: Final = 40
_SEPARATORS: Final = ",;\t|"
_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_HUNDRED: Final = Decimal(100)
_MICRO: Final = Decimal("0.000001")
#: Share of an amount beyond which what it differs by is no fee.
_MOST_FEE: Final = Decimal("0.05")
_COMMA: Final = re.compile(r"\d,(\d{1,2}|\d{4,})\D*$|\.\d{3},\d")
_DOT: Final = re.compile(r"\d\.(\d{1,2}|\d{4,})\D*$|,\d{3}\.\d")


class BadFile(BedplateError, ValueError):
    """A file that no mapping fits."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that could not be read.

    :ivar column: as the file calls it; empty when the line as a whole is wrong.
    """

    line: int
    column: str
    what: str
    mend: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file holds.

    :ivar trades: oldest first; of one moment in the file's order. :ivar lines: the line of each.
    :ivar skipped: lines that are no trades.
    """

    mapping: Mapping
    trades: tuple[Trade, ...]
    lines: tuple[int, ...]
    faults: tuple[Fault, ...]
    skipped: int


class _RowFault(Exception):
    def __init__(self, name: str, what: str, mend: str) -> None:
        super().__init__(what)
        self.name, self.what, self.mend = name, what, mend


def decode(body: bytes) -> str:
    """Return the text of a file, whatever spreadsheets save it as.

    :raises BadFile: when it is no text.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _text(body.decode("utf-16", errors="replace"))
    if b"\x00" in body[:4096] or body[:4] in (b"PK\x03\x04", b"%PDF"):
        raise BadFile("The file is no CSV text.", "Export it as CSV; spreadsheets and PDF files cannot be read.")
    try:
        return _text(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return _text(body.decode("cp1252", errors="replace"))


def _text(text: str) -> str:
    """Refuse the one character that databases do not keep."""
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise BadFile(f"Line {line} holds the character U+0000, which is no text.", "Leave it out, or export it anew.")
    return text


def detect(text: str) -> Mapping:
    """Return the mapping that a file's header fits.

    :raises BadFile: when none does; it names the columns that were found.
    """
    widest: Sequence[str] = ()
    for _, row in _head(text):
        names = {plain(cell) for cell in row}
        for mapping in PRESETS.values():
            if mapping.requires and mapping.requires <= names:
                return mapping
        if _is_header(GENERIC, row):
            return GENERIC
        if len(row) > len(widest):
            widest = row
    found = ", ".join(cell.strip() for cell in widest if cell.strip())[:200] or "none"
    raise BadFile(
        f"The columns are no known broker's: {found}.",
        f"Name the broker ({', '.join(PRESETS)}), give a mapping, or columns date, side, symbol, quantity, price.",
    )


def read(text: str, mapping: Mapping | None = None, *, account: str = "") -> Reading:
    """Read all rows of a file; one that is wrong costs the others nothing.

    :param mapping: what its columns mean; None to recognise it by its header.
    :param account: whose trades they are, where no column says so.
    :raises BadFile: when there is no header that fits.
    """
    mapping = mapping or detect(text)
    rows = _rows(text)
    places = _find_header(rows, mapping)
    if mapping is GENERIC:
        rest = list(rows)
        mapping = replace(mapping, point=_point([cell for _, row in rest for cell in places.cells("price", row)]))
        rows = iter(rest)
    reader = _RowReader(mapping, places, account)
    trades: list[tuple[Trade, int]] = []
    faults, skipped = [], 0
    for line, row in rows:
        filled = sum(1 for cell in row if cell.strip())
        if not filled:
            continue
        if mapping.section and row[:2] == [mapping.section, "Header"]:
            reader = _RowReader(mapping, Places(mapping, row), account)
        if filled == 1 or (mapping.section and row[:2] != [mapping.section, "Data"]):
            skipped += 1  # a remark of the broker's, or another table
            continue
        try:
            trade = reader.read(row)
        except _RowFault as fault:
            faults.append(Fault(line, reader.places.shown(fault.name), fault.what, fault.mend))
        else:
            if trade is None:
                skipped += 1
            else:
                trades.append((trade, line))
    if len(trades) > 1 and trades[0][0].at > trades[-1][0].at:
        trades.reverse()  # the newest first: what was bought and sold on one day stands the other way round
    trades.sort(key=lambda one: one[0].at)
    return Reading(mapping, tuple(one for one, _ in trades), tuple(line for _, line in trades), tuple(faults), skipped)


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield rows with the number of the line that each begins in."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text))
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise BadFile(f"Line {line} is no CSV: {error}.", "Export the file anew.") from None


def _head(text: str) -> Iterator[tuple[int, list[str]]]:
    for count, one in enumerate(_rows(text)):
        if count == _HEAD:
            return
        yield one


def _separator(text: str) -> str:
    head = text[:20_000].splitlines()[:_HEAD]
    return max(_SEPARATORS, key=lambda mark: max((line.count(mark) for line in head), default=0))


def _point(cells: Sequence[str]) -> Literal[".", ","]:
    """Return the decimal mark that numbers of a column have, as far as they leave no doubt."""
    return "," if sum(bool(_COMMA.search(one)) - bool(_DOT.search(one)) for one in cells) > 0 else "."


def _is_header(mapping: Mapping, row: Sequence[str]) -> bool:
    names = {plain(cell) for cell in row}
    return all(any(names & set(one.names) for one in mapping.columns(name)) for name in ("at", "symbol", "quantity"))


def _find_header(rows: Iterator[tuple[int, list[str]]], mapping: Mapping) -> Places:
    for count, (_, row) in enumerate(rows):
        if _is_header(mapping, row) and (not mapping.section or row[:2] == [mapping.section, "Header"]):
            return Places(mapping, row)
        if count > _HEAD * (50 if mapping.section else 1):
            break
    wanted = ", ".join(mapping.columns(name)[0].names[0] for name in ("at", "symbol", "quantity"))
    raise BadFile(f"The file has no header of {mapping.title}.", f"It must have the columns {wanted}; or name another.")


class _RowReader:
    """Makes a trade of a row."""

    def __init__(self, mapping: Mapping, places: Places, account: str) -> None:
        self._mapping = mapping
        self.places = places
        self._account = account
        self._zone = ZoneInfo(mapping.zone)
        self._kinds = sorted(mapping.kinds, key=len, reverse=True)

    def read(self, row: Sequence[str]) -> Trade | None:
        """Return the trade; None when the row is none.

        :raises _RowFault: when it cannot be read.
        """
        cell = self.places.cell
        for skip in self._mapping.skips:
            text = cell(skip.field, row).lower()
            if any(text.startswith(word) if word else not text for word in skip.words):
                return None
        if (words := self._words(row)).startswith(self._mapping.by_hand):
            raise _RowFault(
                "kind",
                f"The file does not say enough of {words!r}.",
                "Enter it by hand: a split with its ratio, or a purchase or sale at what it was worth, 0 perhaps.",
            )
        at = self._at(row)
        quantity = self._number("quantity", row)
        kind = self._kind(row, quantity)
        currency, hundredth = self._currency("amount_currency" if kind in CASH_KINDS else "currency", row)
        symbol = cell("symbol", row).upper()
        if kind in CASH_KINDS:
            kind, quantity, price, fee = self._cash(kind, row, quantity)
            multiplier = _ONE
        else:
            quantity = abs(self._needed("quantity", row, quantity))
            price = _ZERO if kind == "split" else self._needed("price", row, self._number("price", row))
            gross = EXACT.multiply(quantity, price)
            multiplier = self._multiplier(row, gross)
            fee = self._fee(row, currency, hundredth, kind, EXACT.multiply(gross, multiplier))
        if hundredth:
            price = price.scaleb(-2, ROUNDED)
        trade = Trade(
            kind, at, symbol, quantity, price, fee, currency, multiplier,
            cell("account", row) or self._account, cell("id", row) if self._mapping.own_ids else "",
            tuple(dict.fromkeys(cell("tags", row).replace(",", " ").replace(";", " ").lower().split())),
            cell("note", row)[:500],
        )  # fmt: skip
        try:
            return check(trade)
        except BadTrade as error:
            raise _RowFault(error.field, error.what, error.mend) from None

    def _at(self, row: Sequence[str]) -> datetime:
        text = self.places.cell("at", row)
        if not text:
            raise _RowFault("at", "The date is missing.", "Fill it in, or delete the line.")
        if time := self.places.cell("time", row):
            text = f"{text} {time}"
        # Of "01/05/2024 as of 01/04/2024" the later is when it was booked.
        moment = _moment(text.partition(" as of ")[0].strip(), self._mapping.times)
        if moment is None:
            example = (
                datetime(2025, 1, 31, 15, 30, tzinfo=UTC).strftime(self._mapping.times[0])
                if self._mapping.times
                else ""
            )
            raise _RowFault("at", f"{text!r} is no date here.", f"Write it as {example or '2025-01-31 15:30'}.")
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone)
        return moment.astimezone(UTC)

    def _words(self, row: Sequence[str]) -> str:
        return " ".join(self.places.cell("kind", row).lower().split())

    def _kind(self, row: Sequence[str], quantity: Decimal | None) -> Kind:
        if not self._mapping.kinds or not self.places.has("kind"):
            return "sell" if quantity is not None and quantity < 0 else "buy"
        text = self._words(row)
        for words in self._kinds:
            if text == words or (text.startswith(words) and len(words) > 2):
                return self._mapping.kinds[words]
        raise _RowFault(
            "kind",
            f"{text!r} is no kind of transaction that {self._mapping.title} is known to have." if text
            else "It does not say whether it is a purchase or a sale.",
            "Write buy or sell, delete the line, or give a mapping that knows it.",
        )  # fmt: skip

    def _currency(self, name: str, row: Sequence[str]) -> tuple[str, bool]:
        cell = self.places.cell
        text = cell(name, row) or cell("currency", row) or self._mapping.currency
        if text in self._mapping.pence:
            return self._mapping.pence[text], True
        code = text.upper()
        if not is_currency(code):
            raise _RowFault("currency", f"{text!r} is no currency.", "Write its code, such as EUR.")
        return code, False

    def _cash(self, kind: Kind, row: Sequence[str], quantity: Decimal | None) -> tuple[Kind, Decimal, Decimal, Decimal]:
        """Return kind, quantity, amount and fee of what is cash alone; its sign tells a deposit from a withdrawal."""
        value = self._number("amount", row)
        if value is None and (price := self._number("price", row)) is not None:
            value = price if quantity is None else EXACT.multiply(price, quantity)
        value = self._needed("amount", row, value)
        if kind in ("deposit", "withdrawal"):
            kind = "withdrawal" if value < 0 or kind == "withdrawal" else "deposit"
        elif kind == "dividend" and value < 0:
            kind = "fee"
        return kind, Decimal(1), value if kind == "interest" else abs(value), _ZERO

    def _fee(self, row: Sequence[str], currency: str, hundredth: bool, kind: Kind, gross: Decimal) -> Decimal:
        if not self.places.has("fee"):
            return self._difference(row, kind, gross)
        total = sum((self._parsed("fee", cell) for cell in self.places.cells("fee", row)), _ZERO)
        fee = -total if self._mapping.fee_signed else abs(total)
        own = self.places.cell("fee_currency", row).upper()
        if not fee or not own or own == currency:
            return fee
        rate = self._number("fee_rate", row)
        if not rate:
            raise _RowFault(
                "fee",
                f"The fee is in {own}, the price in {currency}.",
                f"Convert the fee to {currency}, or add a rate.",
            )
        converted = ROUNDED.multiply(fee, rate)
        return (converted.scaleb(-2, ROUNDED) if hundredth else converted).quantize(_MICRO)

    def _difference(self, row: Sequence[str], kind: Kind, gross: Decimal) -> Decimal:
        """Return what the amount says more, or less, than price times quantity."""
        amount = self._number("amount", row)
        if amount is None or kind == "split":
            return _ZERO
        fee = abs(amount) - gross if kind == "buy" else gross - abs(amount)
        if abs(fee) > max(gross * _MOST_FEE, _ONE):
            raise _RowFault(
                "amount", f"The amount {amount} is not {gross}, price times quantity.", "See which of them is wrong."
            )
        return fee

    def _multiplier(self, row: Sequence[str], gross: Decimal) -> Decimal:
        """Return what one contract is of: as the file says, or 100 where the amount is a hundred times as much."""
        if (said := self._number("multiplier", row)) is not None:
            return said
        amount = self._number("amount", row)
        return _HUNDRED if amount is not None and gross > 0 and 90 < abs(amount) / gross < 110 else _ONE

    def _number(self, name: str, row: Sequence[str]) -> Decimal | None:
        text = self.places.cell(name, row)
        return self._parsed(name, text) if text else None

    def _parsed(self, name: str, text: str) -> Decimal:
        try:
            return parse(text, self._mapping.point)
        except ValueError as error:
            raise _RowFault(name, f"The {name} cannot be read: {error}.", "Write it as 1234.56.") from None

    def _needed(self, name: str, row: Sequence[str], value: Decimal | None) -> Decimal:
        if value is None:
            raise _RowFault(name, f"The {name} is missing.", "Fill it in, or delete the line.")
        return value


@lru_cache(maxsize=4096)
def _moment(text: str, forms: tuple[str, ...]) -> datetime | None:
    for form in forms:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - the zone comes from the mapping
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
