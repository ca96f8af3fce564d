"""The chart of accounts: what kinds there are, and what an organisation begins with."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, get_args

__all__ = ["BANK", "CHART", "KINDS", "REHEARSING", "Account", "AccountKind"]

AccountKind = Literal["asset", "liability", "equity", "revenue", "expense"]
KINDS: Final[tuple[AccountKind, ...]] = get_args(AccountKind)


class Account(NamedTuple):
    """An account of an organisation.

    :ivar code: what it is called by, unique in the organisation and never changed: ``4000``.
    :ivar closed: whether nothing more may be posted to it.
    """

    code: str
    name: str
    kind: AccountKind
    closed: bool = False


#: Under which name the service itself keeps books, to rehearse; nobody else gets it.
REHEARSING: Final = "Smoke test"

#: Where money comes in and goes out unless somebody says otherwise.
BANK: Final = "1000"

#: What an organisation begins with.
CHART: Final = (
    Account(BANK, "Bank", "asset"),
    Account("1100", "Receivables", "asset"),
    Account("1500", "Equipment", "asset"),
    Account("2000", "Payables", "liability"),
    Account("2100", "Loans", "liability"),
    Account("3000", "Capital", "equity"),
    Account("4000", "Sales", "revenue"),
    Account("4100", "Services", "revenue"),
    Account("4900", "Other income", "revenue"),
    Account("5000", "Purchases", "expense"),
    Account("5100", "Wages", "expense"),
    Account("5200", "Rent", "expense"),
    Account("5300", "Travel", "expense"),
    Account("5900", "Other expenses", "expense"),
)
