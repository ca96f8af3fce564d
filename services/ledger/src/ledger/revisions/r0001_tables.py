"""Organisations and their books; what keeps each entry balanced, and each organisation to itself."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

#: Who may do what in an organisation. Nobody changes or deletes what is posted.
RIGHTS = {
    "ledger_accounts": "SELECT, INSERT, UPDATE",
    "ledger_entries": "SELECT, INSERT",
    "ledger_lines": "SELECT, INSERT",
    "ledger_months": "SELECT, INSERT, UPDATE",
    "revenue_transactions": "SELECT, INSERT",
    "expense_transactions": "SELECT, INSERT",
    "ledger_imports": "SELECT, INSERT",
    "ledger_tokens": "SELECT, INSERT, UPDATE",
}

#: Reset by the end of a transaction, such a setting is empty and not NULL.
OWN = "organization_id = NULLIF(current_setting('ledger.organization', true), '')::bigint"

ROLE = """
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'ledger_tenant') THEN
    CREATE ROLE ledger_tenant NOLOGIN;
    -- From PostgreSQL 16 on, whoever makes a role may administer it, but not be it.
    EXECUTE format('GRANT ledger_tenant TO %I', current_user);
  ELSIF NOT pg_has_role(current_user, 'ledger_tenant', 'MEMBER') THEN
    EXECUTE format('GRANT ledger_tenant TO %I', current_user);
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL;
  WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'The role ledger_tenant cannot be made. As an administrator: CREATE ROLE ledger_tenant NOLOGIN; '
      'GRANT ledger_tenant TO %', quote_ident(current_user);
END $$
"""

#: Every statement leaves every entry that it touches balanced, so all are, whoever writes and however.
BALANCED = """
CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong record;
BEGIN
  IF TG_OP = 'INSERT' THEN
    SELECT organization_id, entry_id, currency, sum(amount) AS difference INTO wrong
      FROM added GROUP BY organization_id, entry_id, currency HAVING sum(amount) <> 0 LIMIT 1;
  ELSIF TG_OP = 'DELETE' THEN
    SELECT organization_id, entry_id, currency, -sum(amount) AS difference INTO wrong
      FROM removed GROUP BY organization_id, entry_id, currency HAVING sum(amount) <> 0 LIMIT 1;
  ELSE
    SELECT organization_id, entry_id, currency, sum(amount) AS difference INTO wrong
      FROM (SELECT organization_id, entry_id, currency, amount FROM added
            UNION ALL SELECT organization_id, entry_id, currency, -amount FROM removed) AS changed
      GROUP BY organization_id, entry_id, currency HAVING sum(amount) <> 0 LIMIT 1;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'entry % of organization % would not balance: % minor units of % too much',
      wrong.entry_id, wrong.organization_id, wrong.difference, wrong.currency
      USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_lines_balanced', TABLE = 'ledger_lines';
  END IF;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    """Create all of it."""
    organization = ("organization_id", sa.BigInteger)
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        "ledger_organizations",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ledger_accounts",
        sa.Column(*organization, primary_key=True, autoincrement=False),
        sa.Column("code", sa.String(20), primary_key=True),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("closed", sa.Boolean, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["ledger_organizations.id"], name="fk_ledger_accounts_organization"
        ),
        sa.CheckConstraint("kind IN ('asset', 'liability', 'equity', 'revenue', 'expense')", name="ck_ledger_kind"),
    )
    op.create_table(
        "ledger_entries",
        sa.Column(*organization, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("reference", sa.String(100)),
        sa.Column("memo", sa.String(500), nullable=False),
        sa.Column("digest", sa.BigInteger, nullable=False),
        sa.Column("reverses", sa.BigInteger),
        sa.Column("posted_at", sa.BigInteger, nullable=False),
    )
    op.create_index("ux_ledger_entries_reference", "ledger_entries", ["organization_id", "reference"], unique=True)
    op.create_index(
        "ux_ledger_entries_reverses",
        "ledger_entries",
        ["organization_id", "reverses"],
        unique=True,
        sqlite_where=sa.text("reverses IS NOT NULL"),
        postgresql_where=sa.text("reverses IS NOT NULL"),
    )
    to_entry: list[sa.Constraint] = []
    if on_sqlite:
        # Lines come before their entry, which closes it: see _balance_on_sqlite.
        to_entry = [
            sa.ForeignKeyConstraint(
                ["organization_id", "entry_id"],
                ["ledger_entries.organization_id", "ledger_entries.id"],
                deferrable=True,
                initially="DEFERRED",
            )
        ]
    op.create_table(
        "ledger_lines",
        sa.Column(*organization, primary_key=True, autoincrement=False),
        sa.Column("entry_id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("line", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("account", sa.String(20), nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("currency", sa.String(3), nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        *to_entry,
    )
    op.create_index(
        "ix_ledger_lines_account", "ledger_lines", ["organization_id", "account", "day", "entry_id", "line"]
    )
    op.create_table(
        "ledger_months",
        sa.Column(*organization, primary_key=True, autoincrement=False),
        sa.Column("month", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account", sa.String(20), primary_key=True),
        sa.Column("currency", sa.String(3), primary_key=True),
        sa.Column("debit", sa.BigInteger, nullable=False),
        sa.Column("credit", sa.BigInteger, nullable=False),
        sa.Column("lines", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id", "account"],
            ["ledger_accounts.organization_id", "ledger_accounts.code"],
            name="fk_ledger_months_account",
        ),
    )
    for kind in ("revenue", "expense"):
        op.create_table(
            f"{kind}_transactions",
            sa.Column(*organization, primary_key=True, autoincrement=False),
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("day", sa.Date, nullable=False),
            sa.Column("account", sa.String(20), nullable=False),
            sa.Column("against", sa.String(20), nullable=False),
            sa.Column("amount", sa.BigInteger, nullable=False),
            sa.Column("currency", sa.String(3), nullable=False),
            sa.Column("counterparty", sa.String(500), nullable=False),
            sa.Column("memo", sa.String(500), nullable=False),
            sa.Column("reference", sa.String(100)),
            sa.Column("reverses", sa.BigInteger),
            sa.Column("posted_at", sa.BigInteger, nullable=False),
        )
        op.create_index(f"ix_{kind}_transactions_day", f"{kind}_transactions", ["organization_id", "day", "id"])
    op.create_table(
        "ledger_imports",
        sa.Column(*organization, primary_key=True, autoincrement=False),
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("added", sa.Integer, nullable=False),
        sa.Column("known", sa.Integer, nullable=False),
        sa.Column("faulty", sa.Integer, nullable=False),
        sa.Column("told", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "ledger_tokens",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column(*organization, nullable=False),
        sa.Column("hash", sa.String(64), nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("label", sa.String(100), nullable=False),
        sa.Column("created", sa.BigInteger, nullable=False),
        sa.Column("revoked", sa.BigInteger),
        sa.ForeignKeyConstraint(["organization_id"], ["ledger_organizations.id"], name="fk_ledger_tokens_organization"),
    )
    op.create_index("ix_ledger_tokens_organization", "ledger_tokens", ["organization_id", "id"])
    # Numbers are given out in blocks, of which each process counts its own off.
    if on_sqlite:
        _balance_on_sqlite()
        _run("CREATE TABLE ledger_numbers (name TEXT PRIMARY KEY, next BIGINT NOT NULL) WITHOUT ROWID")
        _run("INSERT INTO ledger_numbers VALUES ('entries', 1), ('organizations', 1)")
    else:
        _run("CREATE SEQUENCE ledger_entries_numbers INCREMENT BY 1000")
        _run("CREATE SEQUENCE ledger_organizations_numbers")
        _balance_on_postgresql()
        _keep_apart()


def _balance_on_sqlite() -> None:
    """Let no entry be that does not balance: lines come first, the entry closes them, and none comes after."""
    _run("""
            CREATE TRIGGER ledger_entries_balanced BEFORE INSERT ON ledger_entries
            WHEN EXISTS (
              SELECT 1 FROM ledger_lines WHERE organization_id = NEW.organization_id AND entry_id = NEW.id
              GROUP BY currency HAVING sum(amount) <> 0
            )
            BEGIN SELECT RAISE(ABORT, 'ledger_lines_balanced: the entry would not balance'); END
            """)
    _run("""
            CREATE TRIGGER ledger_lines_closed BEFORE INSERT ON ledger_lines
            WHEN EXISTS (
              SELECT 1 FROM ledger_entries WHERE organization_id = NEW.organization_id AND id = NEW.entry_id
            )
            BEGIN SELECT RAISE(ABORT, 'ledger_lines_balanced: the entry is closed'); END
            """)
    for what in ("UPDATE", "DELETE"):
        _run(
            f"CREATE TRIGGER ledger_lines_{what.lower()} BEFORE {what} ON ledger_lines "
            "BEGIN SELECT RAISE(ABORT, 'ledger_lines_balanced: what is posted stays; reverse the entry'); END"
        )


def _balance_on_postgresql() -> None:
    _run(BALANCED)
    for what, tables in (
        ("INSERT", "NEW TABLE AS added"),
        ("UPDATE", "OLD TABLE AS removed NEW TABLE AS added"),
        ("DELETE", "OLD TABLE AS removed"),
    ):
        _run(
            f"CREATE TRIGGER ledger_lines_balanced_{what.lower()} AFTER {what} ON ledger_lines "
            f"REFERENCING {tables} FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced()"
        )


def _keep_apart() -> None:
    """Let whoever works for an organisation be a role that sees nothing of another, whatever it asks.

    The owner of the tables sees everything: it brings tables up to date, checks all books and moves them to partitions.
    """
    _run(ROLE)
    _run("DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ledger_tenant', current_schema()); END $$")
    for table, rights in RIGHTS.items():
        _run(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        own = OWN
        _run(f"CREATE POLICY own ON {table} TO ledger_tenant USING ({own}) WITH CHECK ({own})")
        _run(f"GRANT {rights} ON {table} TO ledger_tenant")
    own = OWN.replace("organization_id", "id", 1)
    _run("ALTER TABLE ledger_organizations ENABLE ROW LEVEL SECURITY")
    _run(f"CREATE POLICY own ON ledger_organizations TO ledger_tenant USING ({own})")
    _run("GRANT SELECT ON ledger_organizations TO ledger_tenant")


def _run(statement: str) -> None:
    op.get_bind().exec_driver_sql(statement)
