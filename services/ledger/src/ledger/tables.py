"""The tables; their revisions are in :mod:`ledger.revisions`.

Each table but that of organisations has ``organization_id`` first in its key, so that rows of one organisation lie
together, and all of them but the tokens' may move to partitions. Days are dates, moments whole microseconds since 1970,
money whole minor units. ``revenue_transactions`` and ``expense_transactions`` are the two that outgrow one heap: no
foreign key leads to them, and everything unique in them begins with the organisation.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

__all__ = [
    "ACCOUNTS", "ENTRIES", "IMPORTS", "LINES", "METADATA", "MONTHS", "ORGANIZATIONS", "OWNED", "TOKENS", "TRANSACTIONS",
]  # fmt: skip

METADATA = MetaData()


def _organization() -> Column[int]:
    return Column("organization_id", BigInteger, primary_key=True, autoincrement=False)


def _transactions(name: str) -> Table:
    return Table(
        f"{name}_transactions",
        METADATA,
        _organization(),
        Column("id", BigInteger, primary_key=True, autoincrement=False),
        Column("day", Date, nullable=False),
        Column("account", String(20), nullable=False),
        Column("against", String(20), nullable=False),
        Column("amount", BigInteger, nullable=False),
        Column("currency", String(3), nullable=False),
        Column("counterparty", String(500), nullable=False),
        Column("memo", String(500), nullable=False),
        Column("reference", String(100)),
        Column("reverses", BigInteger),
        Column("posted_at", BigInteger, nullable=False),
        Index(f"ix_{name}_transactions_day", "organization_id", "day", "id"),
    )


ORGANIZATIONS: Final = Table(
    "ledger_organizations",
    METADATA,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(200), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("created", BigInteger, nullable=False),
)

ACCOUNTS: Final = Table(
    "ledger_accounts",
    METADATA,
    _organization(),
    Column("code", String(20), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("kind", String(10), nullable=False),
    Column("closed", Boolean, nullable=False),
    ForeignKeyConstraint(["organization_id"], ["ledger_organizations.id"], name="fk_ledger_accounts_organization"),
)

ENTRIES: Final = Table(
    "ledger_entries",
    METADATA,
    _organization(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(10), nullable=False),
    Column("day", Date, nullable=False),
    Column("reference", String(100)),
    Column("memo", String(500), nullable=False),
    Column("digest", BigInteger, nullable=False),
    Column("reverses", BigInteger),
    Column("posted_at", BigInteger, nullable=False),
    # Sent twice, posted once; and what was taken back is not taken back again.
    Index("ux_ledger_entries_reference", "organization_id", "reference", unique=True),
    Index(
        "ux_ledger_entries_reverses", "organization_id", "reverses", unique=True,
        sqlite_where=text("reverses IS NOT NULL"), postgresql_where=text("reverses IS NOT NULL"),
    ),
)  # fmt: skip

LINES: Final = Table(
    "ledger_lines",
    METADATA,
    _organization(),
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    Column("line", SmallInteger, primary_key=True, autoincrement=False),
    Column("account", String(20), nullable=False),
    Column("day", Date, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("ix_ledger_lines_account", "organization_id", "account", "day", "entry_id", "line"),
)

#: What all lines of an account come to in a month (202511); balances and reports are sums of few of these.
MONTHS: Final = Table(
    "ledger_months",
    METADATA,
    _organization(),
    Column("month", Integer, primary_key=True, autoincrement=False),
    Column("account", String(20), primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("debit", BigInteger, nullable=False),
    Column("credit", BigInteger, nullable=False),
    Column("lines", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["organization_id", "account"],
        ["ledger_accounts.organization_id", "ledger_accounts.code"],
        name="fk_ledger_months_account",
    ),
)

TRANSACTIONS: Final = {"revenue": _transactions("revenue"), "expense": _transactions("expense")}

IMPORTS: Final = Table(
    "ledger_imports",
    METADATA,
    _organization(),
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", String(200), nullable=False),
    Column("added", Integer, nullable=False),
    Column("known", Integer, nullable=False),
    Column("faulty", Integer, nullable=False),
    Column("told", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)

TOKENS: Final = Table(
    "ledger_tokens",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("organization_id", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("role", String(10), nullable=False),
    Column("label", String(100), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger),
    Index("ix_ledger_tokens_organization", "organization_id", "id"),
    ForeignKeyConstraint(["organization_id"], ["ledger_organizations.id"], name="fk_ledger_tokens_organization"),
)

#: Those that belong to organisations: :class:`ledger.scope.Scope` asks for one organisation's rows of each.
OWNED: Final = (ACCOUNTS, ENTRIES, LINES, MONTHS, *TRANSACTIONS.values(), IMPORTS, TOKENS)
