"""The questions that are asked of the tables often, each with the index that serves it."""

from __future__ import annotations

from typing import Final

from bedplate.database.indexes import AccessPath, Index
from bedplate.database.indexes.tables import indexed
from tradesense.tables import IMPORTS, JOURNAL, TRADES, USERS

__all__ = ["declared"]

#: The users with most trades: their pages and reports are the dearest.
_BUSIEST: Final = "SELECT user_id AS user FROM tradesense_trades GROUP BY user_id ORDER BY count(*) DESC LIMIT 3"


def declared() -> tuple[Index, ...]:
    """Return all of them."""
    return (*_trades(), *_rest())


def _trades() -> tuple[Index, ...]:
    return (
        indexed(
            TRADES,
            "ix_tradesense_trades_user_at",
            AccessPath(
                statement='SELECT * FROM tradesense_trades WHERE user_id = :user ORDER BY "at" DESC, id DESC LIMIT 101',
                sample=_BUSIEST,
                asked="A page of trades, the latest first; and all of them, oldest first, for every report.",
            ),
        ),
        indexed(
            TRADES,
            "ix_tradesense_trades_user_symbol",
            AccessPath(
                statement="SELECT * FROM tradesense_trades WHERE user_id = :user AND symbol = :symbol"
                ' ORDER BY "at" DESC, id DESC LIMIT 101',
                sample="SELECT user_id AS user, symbol FROM tradesense_trades GROUP BY user_id, symbol"
                " ORDER BY count(*) LIMIT 3",
                asked="A page of the trades of one symbol.",
            ),
        ),
        indexed(
            TRADES,
            "ux_tradesense_trades_broker_id",
            AccessPath(
                statement="SELECT account, broker_id, fingerprint FROM tradesense_trades"
                " WHERE user_id = :user AND broker_id <> ''",
                sample=_BUSIEST,
                asked="Whether trades of a file are there already; and that none is entered twice.",
            ),
        ),
        indexed(
            TRADES,
            "ix_tradesense_trades_user_import",
            AccessPath(
                statement="SELECT id FROM tradesense_trades WHERE user_id = :user AND import_id = :import",
                sample="SELECT user_id AS user, import_id AS import FROM tradesense_trades WHERE import_id <> ''"
                " GROUP BY user_id, import_id ORDER BY count(*) LIMIT 3",
                asked="The trades of one import, when it is taken back.",
            ),
        ),
        indexed(
            TRADES,
            "ix_tradesense_trades_created",
            AccessPath(
                statement="SELECT count(*), count(DISTINCT user_id), count(DISTINCT symbol) FROM tradesense_trades"
                " WHERE created >= :since",
                sample="SELECT max(created) - 86400 AS since FROM tradesense_trades",
                asked="What was entered today by all users, once a minute from each host.",
            ),
        ),
    )


def _rest() -> tuple[Index, ...]:
    return (
        indexed(
            USERS,
            "ux_tradesense_users_email",
            AccessPath(
                statement="SELECT id, password FROM tradesense_users WHERE email = :email",
                sample="SELECT email FROM tradesense_users LIMIT 3",
                asked="Who signs in.",
            ),
        ),
        indexed(
            IMPORTS,
            "ix_tradesense_imports_user_at",
            AccessPath(
                statement='SELECT * FROM tradesense_imports WHERE user_id = :user ORDER BY "at" DESC, id DESC LIMIT 51',
                sample="SELECT user_id AS user FROM tradesense_imports GROUP BY user_id ORDER BY count(*) DESC LIMIT 3",
                asked="A page of imports, the latest first.",
            ),
        ),
        indexed(
            JOURNAL,
            "ix_tradesense_journal_user_at",
            AccessPath(
                statement='SELECT * FROM tradesense_journal WHERE user_id = :user ORDER BY "at" DESC, id DESC LIMIT 51',
                sample="SELECT user_id AS user FROM tradesense_journal GROUP BY user_id ORDER BY count(*) DESC LIMIT 3",
                asked="A page of the journal, the latest first.",
            ),
        ),
        indexed(
            JOURNAL,
            "ix_tradesense_journal_user_trade",
            AccessPath(
                statement="SELECT * FROM tradesense_journal WHERE user_id = :user AND trade_id = :trade"
                ' ORDER BY "at" DESC, id DESC LIMIT 51',
                sample="SELECT user_id AS user, trade_id AS trade FROM tradesense_journal WHERE trade_id <> '' LIMIT 3",
                asked="What the journal says of one trade.",
            ),
        ),
    )
