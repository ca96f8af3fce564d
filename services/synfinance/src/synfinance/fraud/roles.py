"""Which column of a table is what: found by name, type and content, for tables that nobody here made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Self

import polars as pl

from synfinance.text_types import temporal, typed

MAX_CATEGORY_VALUES: Final = 250
"""Text columns with at most this many values are categories; those with more are names or free text."""
MAX_VARYING: Final = 10
"""Categories that are paired with the entity to see which of their values are new to it."""
_MIN_ROWS_PER_ENTITY: Final = 1.5
_PARSED: Final = 0.95
_PROBE: Final = 20_000

_TIME: Final = {
    "timestamp": 10, "datetime": 10, "transactiondt": 9, "trans": 3, "transaction": 3, "time": 6, "date": 5,
    "posted": 3, "created": 3, "booked": 3, "booking": 3, "event": 3, "step": 4, "day": 2, "when": 3, "ts": 6,
    "unix": 1, "at": 1,
}  # fmt: skip
_NOT_TIME: Final = frozenset("birth dob birthday expiry expires expiration valid due opened since updated zone".split())
_AMOUNT: Final = {
    "amount": 10, "amt": 10, "transactionamt": 10, "value": 5, "price": 5, "total": 4, "sum": 4, "paid": 4, "spend": 4,
    "spent": 4, "debit": 2, "credit": 1, "cost": 4, "gross": 3, "net": 2, "betrag": 8, "montant": 8, "importe": 8,
}  # fmt: skip
_NOT_AMOUNT: Final = frozenset(
    "minor cents balance limit old new before after avg average mean count number rate code id".split()
)
_ENTITY: Final = {
    "card": 10, "cc": 9, "pan": 9, "account": 8, "acct": 8, "iban": 8, "nameorig": 8, "customer": 7, "client": 7,
    "user": 7, "cardholder": 7, "payer": 6, "sender": 6, "member": 6, "person": 5, "employee": 5,
    "wallet": 6, "source": 2, "unit": 3, "department": 3, "dept": 3, "directorate": 2, "branch": 3, "terminal": 2,
    "cost": 1, "centre": 1, "center": 1,
    "organisation": 3, "organization": 3, "org": 3, "company": 2,
}  # fmt: skip
_ENTITY_ATTRIBUTES: Final = frozenset(
    "type network brand level category country city state zip job gender name first last age band currency home".split()
)
_MERCHANT: Final = {
    "merchant": 10, "payee": 9, "vendor": 9, "supplier": 9, "namedest": 9, "beneficiary": 8, "retailer": 8, "shop": 7,
    "counterparty": 8, "creditor": 7, "recipient": 7, "receiver": 7, "store": 6, "terminal": 3, "description": 3,
    "narrative": 3, "memo": 2,
}  # fmt: skip
_MERCHANT_ATTRIBUTES: Final = frozenset(
    "category mcc city country state zip lat long longitude latitude type group".split()
)
_DEVICE: Final = {"device": 10, "ip": 8, "fingerprint": 8, "browser": 3, "session": 3}
_LABELS: Final = frozenset(
    "fraud isfraud fraudulent label target class chargeback isflaggedfraud flagged severity anomaly outlier".split()
)
_ID: Final = frozenset("id uuid guid key hash token reference ref number num no nr index row".split())


@dataclass(frozen=True, slots=True)
class Roles:
    """The part each column plays; a name that is None has no column."""

    time: str | None = None
    amount: str | None = None
    entity: str | None = None
    """Whose behaviour is followed: a card, an account, a customer, a department."""
    owner: str | None = None
    """A second one, such as the customer who holds the card."""
    merchant: str | None = None
    device: str | None = None
    latitude: str | None = None
    longitude: str | None = None
    categories: tuple[str, ...] = ()
    """Text, boolean and code columns with few values."""
    varying: tuple[str, ...] = ()
    """The categories that are not attributes of the entity: one card meets several of their values."""
    numbers: tuple[str, ...] = ()
    """Other numeric columns."""
    texts: tuple[str, ...] = ()
    """Text columns with many values that recur: names, descriptions."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Columns that are not used, with the reason."""

    def as_dict(self) -> dict[str, Any]:
        """The roles as plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`. Raises TypeError on unknown names."""
        names = {key: tuple(values.get(key, ())) for key in ("categories", "varying", "numbers", "texts")}
        return cls(**{**values, **names})

    def without(self, columns: dict[str, str]) -> Roles:
        """The same roles with these columns left out, for the reasons given."""
        single = ("time", "amount", "entity", "owner", "merchant", "device", "latitude", "longitude")
        cleared: dict[str, Any] = {name: None for name in single if getattr(self, name) in columns}
        for name in ("categories", "varying", "numbers", "texts"):
            cleared[name] = tuple(column for column in getattr(self, name) if column not in columns)
        return replace(self, **cleared, left_out={**self.left_out, **columns})

    @property
    def used(self) -> tuple[str, ...]:
        """All columns that features are derived from."""
        single = (
            self.time,
            self.amount,
            self.entity,
            self.owner,
            self.merchant,
            self.device,
            self.latitude,
            self.longitude,
        )
        named = [name for name in single if name is not None]
        return tuple(dict.fromkeys([*named, *self.categories, *self.numbers, *self.texts]))


def infer_roles(frame: pl.DataFrame, *, exclude: Mapping[str, str] = MappingProxyType({})) -> Roles:
    """Find the roles of a table's columns.

    ``exclude`` names columns that must not be used, such as the label, with the reason. Columns whose names say that
    they are labels (fraud, severity, chargeback …) are left out too: at scoring time nobody knows them.
    """
    left_out = dict(exclude)
    for name in frame.columns:
        if name not in left_out and (set(_words(name)) & _LABELS):
            left_out[name] = "its name says that it is a label"
    table = {name: frame[name] for name in frame.columns if name not in left_out}
    rows = frame.height
    distinct: dict[str, int] = {}
    for name, column in list(table.items()):
        if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object, pl.Duration):
            left_out[name] = f"its type is {column.dtype}"
            del table[name]
            continue
        distinct[name] = column.n_unique() - (column.null_count() > 0)
        if distinct[name] <= 1:
            left_out[name] = "it has one value only" if distinct[name] else "it is empty"
            del table[name]

    time = _find_time(table, distinct)
    amount = _best(table, _AMOUNT, lambda n, c: is_number(c) and not set(_words(n)) & _NOT_AMOUNT and n != time)
    taken = {time, amount}
    recurring = {
        name: column
        for name, column in table.items()
        if name not in taken and not column.dtype.is_float() and not column.dtype.is_temporal()
        and distinct[name] * _MIN_ROWS_PER_ENTITY <= rows and column.dtype != pl.Boolean
    }  # fmt: skip
    merchant = _best(recurring, _MERCHANT, lambda n, c: not _attribute(n, _MERCHANT, _MERCHANT_ATTRIBUTES))
    entity = _best(recurring, _ENTITY, lambda n, c: n != merchant and not _attribute(n, _ENTITY, _ENTITY_ATTRIBUTES))
    owner = _best(
        recurring,
        _ENTITY,
        lambda n, c: (
            n not in (merchant, entity)
            and not _attribute(n, _ENTITY, _ENTITY_ATTRIBUTES)
            and (entity is None or (2 < distinct[n] < distinct[entity] and _heaviest(n) != _heaviest(entity)))
        ),
    )
    device = _best(recurring, _DEVICE, lambda n, c: n not in (merchant, entity, owner))
    latitude, longitude = _find_position(table)
    roles = Roles(time, amount, entity, owner, merchant, device, latitude, longitude, left_out=left_out)
    roles = _sort_rest(roles, table, distinct, rows)
    roles = roles.without(_repeated(roles, table, distinct))
    return replace(roles, varying=_varying(roles, table, distinct))


def is_number(column: pl.Series) -> bool:
    """Whether a column is numeric, or text that is numeric but for a few values."""
    if column.dtype.is_numeric():
        return True
    if column.dtype != pl.String:
        return False
    probe = column.drop_nulls().head(_PROBE)
    return len(probe) > 0 and as_number(probe).null_count() <= (1 - _PARSED) * len(probe)


def as_number(column: pl.Series) -> pl.Series:
    """The column as Float64; what is not a number becomes null."""
    if column.dtype != pl.String:
        return column.cast(pl.Float64, strict=False)
    narrow = typed(column)
    if narrow.dtype != pl.String:
        return narrow.cast(pl.Float64, strict=False)
    return column.str.replace_all(r"[£$€\s,]", "").cast(pl.Float64, strict=False)


def as_milliseconds(column: pl.Series) -> pl.Series:
    """The column as Int64 milliseconds: since 1970 for dates and times, since an unknown start for other numbers.

    A number is taken for seconds, or for milliseconds, microseconds or nanoseconds since 1970 by its size.
    """
    moment = temporal(column, agreement=_PARSED)
    if moment is not None:
        if isinstance(moment.dtype, pl.Datetime) and moment.dtype.time_zone is not None:
            moment = moment.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return moment.cast(pl.Datetime("ms")).to_physical().cast(pl.Int64)
    number = as_number(column)
    median = number.median()
    size = abs(float(median)) if isinstance(median, int | float) else 0.0
    factor = 1000.0 if size < 1e11 else 1.0 if size < 1e14 else 1e-3 if size < 1e17 else 1e-6
    return (number.fill_nan(None) * factor).clip(-4e15, 4e15).cast(pl.Int64, strict=False)


def _find_time(table: dict[str, pl.Series], distinct: dict[str, int]) -> str | None:
    best, best_score = None, 0.0
    for name, column in table.items():
        words = _words(name)
        if set(words) & _NOT_TIME:
            continue
        score = float(sum(_TIME.get(word, 0) for word in words))
        if column.dtype.is_numeric():
            # A number is a time only when its name says so and nothing else.
            sure = score >= 4 and not set(words) & (_ID | {"hour", "day", "zone"}) and distinct[name] > 20
            score = score - 3 if sure else 0.0
        elif column.dtype in (pl.Date, pl.Datetime):
            score += 4 + (column.dtype == pl.Datetime)
        elif column.dtype == pl.String and temporal(column.head(_PROBE), agreement=_PARSED) is not None:
            score += 3
        else:
            score = 0.0
        if score > best_score:
            best, best_score = name, score
    return best


def _find_position(table: dict[str, pl.Series]) -> tuple[str | None, str | None]:
    """The pair of coordinates; where there are several, the merchant's, since that one moves."""

    def of(words: frozenset[str], limit: float) -> list[str]:
        found = []
        for name, column in table.items():
            if set(_words(name)) & words and column.dtype.is_numeric():
                low, high = column.min(), column.max()
                if isinstance(low, int | float) and isinstance(high, int | float) and -limit <= low <= high <= limit:
                    found.append(name)
        return sorted(found, key=lambda name: not set(_words(name)) & {"merch", "merchant", "terminal"})

    latitudes = of(frozenset({"lat", "latitude"}), 90)
    longitudes = of(frozenset({"lon", "lng", "long", "longitude"}), 180)
    return (latitudes[0], longitudes[0]) if latitudes and longitudes else (None, None)


def _sort_rest(roles: Roles, table: dict[str, pl.Series], distinct: dict[str, int], rows: int) -> Roles:
    """Give every column without a role of its own to the categories, numbers or texts, or leave it out."""
    taken = {roles.time, roles.amount, roles.latitude, roles.longitude, roles.device, roles.entity, roles.owner}
    categories, numbers, texts, left_out = [], [], [], dict(roles.left_out)
    for name, column in table.items():
        if name in taken:
            continue
        words = set(_words(name))
        if column.dtype.is_temporal() or (column.dtype == pl.String and temporal(column.head(_PROBE)) is not None):
            left_out[name] = "a further time"
        elif name != roles.merchant and words & _ID and words & set(_ENTITY) and roles.entity is not None:
            left_out[name] = f"an identifier, as {roles.entity} is"
        elif column.dtype.is_numeric():
            code = column.dtype.is_integer() and (distinct[name] <= 12 or words & {"mcc", "code", "category"})
            if code and distinct[name] <= MAX_CATEGORY_VALUES:
                categories.append(name)
            elif name != roles.merchant and words & _ID and distinct[name] > 0.5 * rows:
                left_out[name] = "it numbers the rows"
            elif name == roles.merchant or (column.dtype.is_integer() and words & _ID):
                left_out.update({} if name == roles.merchant else {name: "an identifier"})
            else:
                numbers.append(name)
        elif column.dtype == pl.Boolean or distinct[name] <= min(MAX_CATEGORY_VALUES, max(2, rows // 4)):
            categories.append(name)
        elif is_number(column):
            numbers.append(name)
        elif distinct[name] <= 0.7 * rows:
            texts.append(name)
        else:
            left_out[name] = "nearly every row has a value of its own"
    return replace(roles, categories=tuple(categories), numbers=tuple(numbers), texts=tuple(texts), left_out=left_out)


def _repeated(roles: Roles, table: dict[str, pl.Series], distinct: dict[str, int]) -> dict[str, str]:
    """Columns that say the same as an earlier one: a code beside its name, an amount in cents beside one in euros."""
    single = (roles.merchant, roles.device, roles.entity, roles.owner, roles.amount)
    first = [name for name in single if name is not None]
    rest = [name for name in (*roles.categories, *roles.texts, *roles.numbers) if name not in first]
    repeated: dict[str, str] = {}
    for place, name in enumerate(rest):
        for other in [*first, *(kept for kept in rest[:place] if kept not in repeated)]:
            if distinct[name] == distinct[other] and _same(table[name], table[other], distinct[name]):
                repeated[name] = f"it says the same as {other}"
                break
    return repeated


def _same(one: pl.Series, other: pl.Series, values: int) -> bool:
    """Whether one column follows from the other: proportional numbers, or values that recur together only."""
    pairs = pl.DataFrame([one.alias("one"), other.alias("other")]).drop_nulls()
    if one.dtype.is_numeric() and other.dtype.is_numeric():
        ratio = pairs.select(pl.col("one") / pl.col("other").cast(pl.Float64)).to_series().drop_nans().drop_nulls()
        low, high = ratio.min(), ratio.max()
        if isinstance(low, float) and isinstance(high, float) and high - low <= 1e-9 * abs(high):
            return True
    return values <= pairs.height / 2 and pairs.n_unique() == values


def _varying(roles: Roles, table: dict[str, pl.Series], distinct: dict[str, int]) -> tuple[str, ...]:
    """Categories of which an entity meets more than one value, as a rule; at most :data:`MAX_VARYING` of them."""
    follow = roles.entity or roles.owner
    if follow is None:
        return ()
    found = []
    for name in roles.categories:
        pairs = pl.DataFrame([table[follow].alias("one"), table[name].alias("other")]).n_unique()
        if name != roles.merchant and pairs > 1.2 * distinct[follow]:
            found.append(name)
    return tuple(found[:MAX_VARYING])


def _attribute(name: str, meant: dict[str, int], attributes: frozenset[str]) -> bool:
    """Whether a name is that of an attribute (card type, merchant city) rather than of the thing itself."""
    words = _words(name)
    return bool(set(words) & attributes) and words[-1] not in meant


def _heaviest(name: str) -> str:
    return max(_words(name), key=lambda word: _ENTITY.get(word, 0))


def _best(table: dict[str, pl.Series], weights: dict[str, int], fits: Any) -> str | None:
    """The column whose name has the heaviest word, among those that fit; the first of equals."""
    scores = {
        name: max((weights.get(word, 0) for word in _words(name)), default=0)
        for name, column in table.items()
        if fits(name, column)
    }
    best = max(scores, key=lambda name: scores[name], default=None)
    return best if best is not None and scores[best] > 0 else None


def _words(name: str) -> list[str]:
    """The words of a column name: ``trans_dateTime2`` has trans, date, time. Compounds are kept too."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"[a-z]+", spaced.lower())
    whole = "".join(words)
    return words if whole in words else [*words, whole]
