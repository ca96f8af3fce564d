"""What the API takes and gives. Money, prices and quantities are decimal strings; numbers are taken, too."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    field_validator,
)

from tradesense.components.accounts import MOST_PASSWORD, normal_email
from tradesense.lots import Method
from tradesense.money import amount, is_currency, is_in_use, shown
from tradesense.records.imports import Import
from tradesense.records.journal import Entry
from tradesense.records.users import User
from tradesense.tables import moment
from tradesense.trades import Kind, Trade

__all__ = [
    "Credentials", "EntryIn", "EntryOut", "EntryPatch", "ImportOut", "ImportRequest", "MappingIn", "Page", "Password",
    "Profile", "ProfilePatch", "Proof", "SessionOut", "SignUp", "TradeIn", "TradeOut", "TradePatch", "Uploaded",
]  # fmt: skip


def _currency(code: str) -> str:
    if not is_currency(code := code.strip().upper()):
        raise ValueError("is no currency code such as EUR")
    return code


def _base(code: str) -> str:
    if not is_in_use(code := code.strip().upper()):
        raise ValueError("is no currency in use, such as EUR, of ISO 4217")
    return code


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone such as Europe/Berlin") from None


def _in_utc(at: datetime) -> datetime:
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside of the years 1 to 9999 in UTC") from None


#: What is wrong with a text that has it.
NO_NUL: Final = "holds the character U+0000, which is no text: leave it out"

Currency = Annotated[str, AfterValidator(_currency)]
Base = Annotated[str, AfterValidator(_base)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[\w.+#-]{1,40}$")]
Tags = Annotated[list[Tag], Field(max_length=20)]
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Exact = Annotated[
    Decimal, Field(max_digits=30, allow_inf_nan=False), PlainSerializer(shown, return_type=str, when_used="json")
]
Note = Annotated[str, Field(max_length=4_000)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, max_length=64)]


class Model(BaseModel):
    """What all have in common."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def _text(value: Any) -> Any:
    """Refuse the one character that databases do not keep, wherever in a value it is."""
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError(NO_NUL)
    elif isinstance(value, dict):
        for key, part in value.items():
            _text(key)
            _text(part)
    elif isinstance(value, list):
        for part in value:
            _text(part)
    return value


class Given(Model):
    """What all that is taken has in common."""

    @field_validator("*", mode="before")
    @classmethod
    def _is_text(cls, value: Any) -> Any:
        return _text(value)


class Credentials(Given):
    """Who wants in."""

    email: Annotated[str, AfterValidator(normal_email)]
    password: Annotated[str, Field(min_length=1, max_length=MOST_PASSWORD)]
    label: Annotated[str, Field(max_length=100)] = ""
    """What the list of sessions calls this one: ``phone``."""


class SignUp(Given):
    """Who wants an account."""

    email: Annotated[str, AfterValidator(normal_email)]
    password: str
    """10 to 200 letters; a few words do."""
    name: Annotated[str, Field(max_length=100)] = ""
    base: Base = "USD"
    """The currency of totals."""


class Password(Given):
    """A change of the password."""

    old: Annotated[str, Field(max_length=MOST_PASSWORD)]
    new: str


class Proof(Given):
    """That it is really you."""

    password: Annotated[str, Field(max_length=MOST_PASSWORD)]


class Profile(Model):
    """A user."""

    id: str
    email: str
    name: str
    base: str
    """The currency of totals."""
    method: Method
    """Which lot a sale ends first."""
    zone: str
    """Whose midnight ends a day."""
    capital: Exact
    """What was there before the first trade; 0 when nobody said."""

    @classmethod
    def of(cls, user: User) -> Profile:
        """Return what may be shown of a user."""
        return cls.model_validate({name: getattr(user, name) for name in cls.model_fields})


class ProfilePatch(Given):
    """What may be changed of a user; what is left out stays."""

    name: Annotated[str, Field(max_length=100)] | None = None
    base: Base | None = None
    method: Method | None = None
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    capital: Annotated[Decimal, Field(ge=0, lt=10**12, allow_inf_nan=False)] | None = None


class SessionOut(Model):
    """Where somebody is signed in."""

    id: str
    """For signing it out; it lets nobody in."""
    created: Moment
    seen: Moment
    agent: str
    label: str
    current: bool


class TradeIn(Given):
    """A trade to enter."""

    kind: Kind
    at: Moment
    symbol: Word = ""
    quantity: Exact = Decimal(1)
    """Positive; of a split, new ones for one old one."""
    price: Exact = Decimal(0)
    """Of one; of what is cash alone, the amount."""
    fee: Exact = Decimal(0)
    currency: Currency = "USD"
    multiplier: Exact = Decimal(1)
    """100 for most options."""
    account: Word = ""
    broker_id: Annotated[str, Field(max_length=128)] = ""
    tags: Tags = []
    note: Note = ""

    def trade(self) -> Trade:
        """Return the trade."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return Trade(**{**values, "symbol": self.symbol.upper(), "tags": tuple(dict.fromkeys(self.tags))})


class TradePatch(Given):
    """What may be changed of a trade; what is left out stays."""

    kind: Kind | None = None
    at: Moment | None = None
    symbol: Word | None = None
    quantity: Exact | None = None
    price: Exact | None = None
    fee: Exact | None = None
    multiplier: Exact | None = None
    tags: Tags | None = None
    note: Note | None = None


class TradeOut(Model):
    """A trade."""

    id: str
    kind: Kind
    at: Moment
    symbol: str
    quantity: Exact
    price: Exact
    fee: Exact
    currency: str
    multiplier: Exact
    account: str
    broker_id: str
    tags: list[str]
    note: str
    cash: str
    """What it did to the cash, fee included: negative where money went out."""

    @classmethod
    def of(cls, trade: Trade) -> TradeOut:
        """Return a trade as it is shown."""
        values = {name: getattr(trade, name) for name in cls.model_fields if name not in ("cash", "tags")}
        return cls.model_construct(**values, tags=list(trade.tags), cash=shown(amount(trade.cash, trade.currency)))


class Page(Model):
    """Some records, the latest first."""

    items: list[Any]
    next: str | None
    """The ``cursor`` of the next page; null at the end."""


class MappingIn(Given):
    """What the columns of a file mean."""

    columns: dict[str, str | list[str]]
    """The name of the column of each field, or several whose numbers are added up."""
    kinds: Annotated[dict[str, Kind], Field(max_length=200)] = {}
    """What words mean; without any, a negative quantity is a sale."""
    times: Annotated[list[str], Field(max_length=10)] = []
    """Forms of dates, as strptime has them: ``%d.%m.%Y``."""
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    currency: Currency | None = None
    """Where no column says."""
    point: Literal[".", ","] = "."


class ImportRequest(Given):
    """A file whose columns you explain."""

    csv: str
    mapping: MappingIn


class ImportOut(Model):
    """What came of a file."""

    id: str
    at: Moment
    broker: str
    name: str
    added: int
    known: int
    """Trades that were there already."""
    skipped: int
    """Lines that are no trades."""
    faults: int
    """Lines that could not be read; the others are kept."""
    told: list[dict[str, Any]]
    """The first of them: line, column, what is wrong, how to mend it."""

    @classmethod
    def of(cls, done: Import) -> ImportOut:
        """Return an import as it is shown."""
        values = {name: getattr(done, name) for name in cls.model_fields if name not in ("at", "told")}
        return cls(**values, at=moment(done.at), told=list(done.told))


class EntryIn(Given):
    """A note for the journal."""

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    at: Moment | None = None
    """When it is about; now by default."""
    trade_id: str = ""
    """The trade that it is about."""
    tags: Tags = []
    """Of the trade, too: analyses by tag count them."""


class EntryPatch(Given):
    """What may be changed of a note; what is left out stays."""

    text: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None
    at: Moment | None = None
    tags: Tags | None = None


class EntryOut(Model):
    """A note of the journal."""

    id: str
    at: Moment
    trade_id: str
    text: str
    tags: list[str]

    @classmethod
    def of(cls, entry: Entry) -> EntryOut:
        """Return a note as it is shown."""
        return cls(id=entry.id, at=moment(entry.at), trade_id=entry.trade_id, text=entry.text, tags=list(entry.tags))


class Uploaded(Model):
    """What came of a file of prices or rates."""

    kept: int
