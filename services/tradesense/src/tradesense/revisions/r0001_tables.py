"""Users, and what they keep."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables."""
    exact = sa.Numeric().with_variant(sa.String(64), "sqlite")
    user = ("user_id", sa.String(36))
    op.create_table(
        "tradesense_users",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("password", sa.String(200), nullable=False),
        sa.Column("base", sa.String(5), nullable=False),
        sa.Column("method", sa.String(10), nullable=False),
        sa.Column("zone", sa.String(50), nullable=False),
        sa.Column("capital", exact, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("ux_tradesense_users_email", "tradesense_users", ["email"], unique=True)
    op.create_table(
        "tradesense_trades",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(*user, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("symbol", sa.String(64), nullable=False),
        sa.Column("quantity", exact, nullable=False),
        sa.Column("price", exact, nullable=False),
        sa.Column("fee", exact, nullable=False),
        sa.Column("currency", sa.String(5), nullable=False),
        sa.Column("multiplier", exact, nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("broker_id", sa.String(128), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("import_id", sa.String(36), nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_index("ix_tradesense_trades_user_at", "tradesense_trades", ["user_id", "at", "id"])
    op.create_index("ix_tradesense_trades_user_symbol", "tradesense_trades", ["user_id", "symbol", "at"])
    op.create_index(
        "ux_tradesense_trades_broker_id",
        "tradesense_trades",
        ["user_id", "account", "broker_id"],
        unique=True,
        sqlite_where=sa.text("broker_id <> ''"),
        postgresql_where=sa.text("broker_id <> ''"),
    )
    op.create_table(
        "tradesense_imports",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(*user, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("broker", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("skipped", sa.Integer, nullable=False),
        sa.Column("faults", sa.Integer, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
    )
    op.create_index("ix_tradesense_imports_user_at", "tradesense_imports", ["user_id", "at", "id"])
    op.create_table(
        "tradesense_journal",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column(*user, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("trade_id", sa.String(36), nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_index("ix_tradesense_journal_user_at", "tradesense_journal", ["user_id", "at", "id"])
    op.create_index("ix_tradesense_journal_user_trade", "tradesense_journal", ["user_id", "trade_id"])
    op.create_table(
        "tradesense_prices",
        sa.Column(*user, primary_key=True),
        sa.Column("symbol", sa.String(64), primary_key=True),
        sa.Column("currency", sa.String(5), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("close", exact, nullable=False),
    )
    op.create_table(
        "tradesense_rates",
        sa.Column(*user, primary_key=True),
        sa.Column("currency", sa.String(5), primary_key=True),
        sa.Column("base", sa.String(5), primary_key=True),
        sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rate", exact, nullable=False),
    )
