"""What the API takes and gives. Amounts are decimal text: ``"1234.50"``; nothing is ever rounded."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from ledger.chart import BANK, REHEARSING, AccountKind
from ledger.chart import Account as ChartAccount
from ledger.entries import (
    LONGEST_MEMO,
    LONGEST_REFERENCE,
    MOST_LINES,
    BadEntry,
    Entry,
    Line,
    Transaction,
    TransactionKind,
    transaction_entry,
)
from ledger.money import is_currency, minor, shown
from ledger.records.imports import Import
from ledger.records.journal import Booked
from ledger.records.tokens import Kept, TokenRole

__all__ = [
    "MOST_AT_ONCE", "AccountIn", "AccountOut", "AccountPatch", "BatchIn", "BatchOut", "EntryIn", "EntryOut",
    "ImportOut", "LineOut", "OrganizationIn", "OrganizationOut", "Page", "PostedOut", "ReversalIn", "TokenIn",
    "TokenOut", "TransactionIn", "TransactionOut",
]  # fmt: skip

#: Transactions of one batch; what a client has more it sends in several.
MOST_AT_ONCE: Final = 1_000


def _currency(code: str) -> str:
    if not is_currency(code := code.strip().upper()):
        raise ValueError("is no currency code of ISO 4217, such as EUR")
    return code


Currency = Annotated[str, AfterValidator(_currency)]
Code = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9._-]{1,20}$")]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Amount = Annotated[str, Field(max_length=30, examples=["1234.50"])]
# Without blanks around, as rows of files are read: what is exported must be known when it comes back.
Reference = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REFERENCE)]
Memo = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_MEMO)]


class Model(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Given(Model):
    """What all that is taken has in common."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        if isinstance(value, str) and "\0" in value:
            raise ValueError("holds the character U+0000, which is no text: leave it out")
        return value


class OrganizationIn(Given):
    """Who wants books."""

    name: Name
    currency: Currency = "EUR"
    """Of what names none."""

    @field_validator("name")
    @classmethod
    def _is_free(cls, value: str) -> str:
        if value == REHEARSING:
            raise ValueError("is the name under which the service rehearses: choose another")
        return value


class OrganizationOut(Model):
    """An organisation."""

    id: int
    name: str
    currency: str
    token: str | None = None
    """Its first token, told once; it may write."""


class TokenIn(Given):
    """A token to make."""

    role: TokenRole = "read"
    label: Annotated[str, Field(max_length=100)] = ""


class TokenOut(Model):
    """A token, without what makes it one."""

    id: str
    role: TokenRole
    label: str
    created: datetime
    revoked: datetime | None
    token: str | None = None
    """The token itself, told once."""

    @classmethod
    def of(cls, kept: Kept, token: str | None = None) -> TokenOut:
        """Return what may be shown of a token."""
        revoked = None if kept.revoked is None else moment(kept.revoked)
        return cls(
            id=kept.id, role=kept.role, label=kept.label, created=moment(kept.created), revoked=revoked, token=token
        )


class AccountIn(Given):
    """An account to open."""

    code: Code
    name: Name
    kind: AccountKind


class AccountPatch(Given):
    """What may be changed of an account; what is left out stays."""

    name: Name | None = None
    closed: bool | None = None
    """Whether nothing more may be posted to it."""


class AccountOut(Model):
    """An account."""

    code: str
    name: str
    kind: AccountKind
    closed: bool

    @classmethod
    def of(cls, account: ChartAccount) -> AccountOut:
        """Return an account as it is shown."""
        return cls(**account._asdict())


class TransactionIn(Given):
    """A revenue or an expense to post."""

    day: date
    account: Code
    """Of revenue or expense."""
    amount: Amount
    """Positive."""
    currency: Currency | None = None
    """That of the organisation by default."""
    against: Code = BANK
    """Where the money is, or is owed."""
    counterparty: Memo = ""
    memo: Memo = ""
    reference: Reference = ""
    """What you call it, unique in your organisation: sent twice, it is posted once."""

    def entry(self, kind: TransactionKind, currency: str) -> Entry:
        """Return what is to be posted. :raises BadEntry: when the amount is none."""
        units = _amount(self.amount, self.currency or currency)
        done = Transaction(self.account, self.against, units, self.currency or currency, self.counterparty)
        return transaction_entry(kind, self.day, done, reference=self.reference, memo=self.memo)


class BatchItem(TransactionIn):
    """One of many."""

    kind: TransactionKind


class BatchIn(Given):
    """Transactions that are posted together, or not at all."""

    transactions: Annotated[list[BatchItem], Field(min_length=1, max_length=MOST_AT_ONCE)]


class PostedOut(Model):
    """What became of what was posted."""

    id: int
    """The number of its entry."""
    outcome: Literal["added", "known"]
    """``known`` when the same was posted before, with this reference."""


class BatchOut(Model):
    """What became of a batch."""

    added: int
    known: int
    ids: list[int]
    """The number of each, in order."""


class LineIn(Given):
    """A line: a debit or a credit."""

    account: Code
    debit: Amount | None = None
    credit: Amount | None = None
    currency: Currency | None = None

    def line(self, currency: str) -> Line:
        """Return the line. :raises BadEntry: when it is not one of the two."""
        if (self.debit is None) == (self.credit is None):
            raise BadEntry("lines", f"A line on {self.account} has both sides or none.", "Give debit or credit.")
        money = self.currency or currency
        units = _amount(self.debit if self.debit is not None else self.credit or "", money)
        return Line(self.account, units if self.debit is not None else -units, money)


class EntryIn(Given):
    """An entry of the journal: lines whose debits and credits are equal in each currency."""

    day: date
    lines: Annotated[list[LineIn], Field(min_length=2, max_length=MOST_LINES)]
    memo: Memo = ""
    reference: Reference = ""

    def entry(self, currency: str) -> Entry:
        """Return what is to be posted. :raises BadEntry: when a line is none."""
        return Entry("journal", self.day, tuple(line.line(currency) for line in self.lines), self.reference, self.memo)


class ReversalIn(Given):
    """How an entry is taken back."""

    day: date | None = None
    """On which day; that of the entry by default."""
    memo: Memo = ""


class LineOut(Model):
    """A line; the other side is null."""

    account: str
    debit: str | None
    credit: str | None
    currency: str

    @classmethod
    def of(cls, line: Line) -> LineOut:
        """Return a line as it is shown."""
        text = shown(abs(line.amount), line.currency)
        debit = line.amount > 0
        return cls(
            account=line.account, debit=text if debit else None, credit=None if debit else text, currency=line.currency
        )


class EntryOut(Model):
    """An entry."""

    id: int
    kind: str
    day: date
    reference: str | None
    memo: str
    reverses: int | None
    """The entry that it takes back."""
    reversed_by: int | None
    posted_at: datetime
    lines: list[LineOut]

    @classmethod
    def of(cls, booked: Booked) -> EntryOut:
        """Return an entry as it is shown."""
        values = {name: getattr(booked, name) for name in cls.model_fields if name not in ("lines", "posted_at")}
        return cls(**values, posted_at=moment(booked.posted_at), lines=[LineOut.of(line) for line in booked.lines])


class TransactionOut(Model):
    """A revenue or an expense."""

    id: int
    """The number of its entry."""
    day: date
    account: str
    against: str
    amount: str
    """Negative where it takes another one back."""
    currency: str
    counterparty: str
    memo: str
    reference: str | None
    reverses: int | None

    @classmethod
    def of(cls, row: Any) -> TransactionOut:
        """Return a row as it is shown."""
        values = {name: getattr(row, name) for name in cls.model_fields if name != "amount"}
        return cls.model_construct(**values, amount=shown(row.amount, row.currency))


class ImportOut(Model):
    """What came of a file."""

    id: int
    name: str
    at: datetime
    added: int
    known: int
    """Rows that were there already."""
    faulty: int
    """Rows that could not be posted; the others are."""
    told: list[dict[str, Any]]
    """The first of them: line, column, what is wrong, how to mend it."""

    @classmethod
    def of(cls, done: Import) -> ImportOut:
        """Return an import as it is shown."""
        values = {name: getattr(done, name) for name in cls.model_fields if name not in ("at", "told")}
        return cls(**values, at=moment(done.at), told=list(done.told))


class Page(Model):
    """Some records, the latest first."""

    items: list[Any]
    next: str | None
    """The ``cursor`` of the next page; null at the end."""


def moment(micros: int) -> datetime:
    """Return a moment that is kept as so many microseconds since 1970."""
    return datetime.fromtimestamp(micros / 1e6, UTC)


def _amount(text: str, currency: str) -> int:
    try:
        units = minor(text, currency)
    except ValueError as error:
        raise BadEntry("amount", f"The amount cannot be taken: {error}.", "Write it as 1234.50.") from None
    if units <= 0:
        raise BadEntry("amount", f"The amount {text} is not positive.", "Let the kind or the side say the direction.")
    return units
