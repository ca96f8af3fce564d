"""The questions that are asked of the books often, each with the index that serves it."""

from __future__ import annotations

from typing import Final

from bedplate.database.indexes import AccessPath, Index
from bedplate.database.indexes.tables import indexed
from ledger.tables import ENTRIES, LINES, TOKENS, TRANSACTIONS

__all__ = ["declared"]

#: The organisations with most lines in a month: their pages and reports are the dearest.
_BUSIEST: Final = "SELECT organization_id AS organization FROM ledger_months ORDER BY lines DESC LIMIT 3"


def declared() -> tuple[Index, ...]:
    """Return all of them."""
    return (*_transactions(), *_books())


def _transactions() -> tuple[Index, ...]:
    return tuple(
        indexed(
            table,
            f"ix_{table.name}_day",
            AccessPath(
                statement=f"SELECT * FROM {table.name} WHERE organization_id = :organization"  # noqa: S608 - ours
                " ORDER BY day DESC, id DESC LIMIT 51",
                sample=_BUSIEST,
                asked=f"The last {kind} transactions of an organisation, and those of some days.",
            ),
        )
        for kind, table in TRANSACTIONS.items()
    )


def _books() -> tuple[Index, ...]:
    return (
        indexed(
            ENTRIES,
            "ux_ledger_entries_reference",
            AccessPath(
                statement="SELECT id, digest FROM ledger_entries"
                " WHERE organization_id = :organization AND reference = :reference",
                sample="SELECT organization_id AS organization, reference FROM ledger_entries"
                " WHERE reference IS NOT NULL LIMIT 3",
                asked="Whether what is posted was posted before, with each post; and that it is posted once.",
            ),
        ),
        indexed(
            ENTRIES,
            "ux_ledger_entries_reverses",
            AccessPath(
                statement="SELECT id FROM ledger_entries WHERE organization_id = :organization AND reverses = :entry",
                sample="SELECT organization_id AS organization, reverses AS entry FROM ledger_entries"
                " WHERE reverses IS NOT NULL LIMIT 3",
                asked="What has taken an entry back; and that nothing is taken back twice.",
            ),
        ),
        indexed(
            LINES,
            "ix_ledger_lines_account",
            AccessPath(
                statement="SELECT * FROM ledger_lines WHERE organization_id = :organization AND account = :account"
                " ORDER BY day DESC, entry_id DESC, line DESC LIMIT 51",
                sample="SELECT organization_id AS organization, account FROM ledger_months ORDER BY lines DESC LIMIT 3",
                asked="A page of an account's statement.",
            ),
        ),
        indexed(
            TOKENS,
            "ix_ledger_tokens_organization",
            AccessPath(
                statement="SELECT * FROM ledger_tokens WHERE organization_id = :organization ORDER BY id",
                sample="SELECT organization_id AS organization FROM ledger_tokens LIMIT 3",
                asked="The tokens of an organisation, when somebody looks after them.",
            ),
        ),
    )
