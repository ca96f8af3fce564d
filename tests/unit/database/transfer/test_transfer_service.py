"""A service's database is moved between tables that its own migrations make, on both sides at the same revision."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bedplate.database import DatabaseSettings, MigrationError
from bedplate.database.address import address
from bedplate.database.opening import prepare
from bedplate.database.transfer import Transfer, TransferRefusedError
from bedplate.declarations import Migrations
from tests.postgres import Postgres

Asked = Callable[..., list[Any]]

REVISION = """
from alembic import op
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
revision = "0001"
down_revision = None
def upgrade():
    op.create_table("bank_currencies", sa.Column("code", sa.String(3), primary_key=True), sa.Column("name", sa.Text))
    op.execute("INSERT INTO bank_currencies VALUES ('EUR', 'Euro')")
    op.create_table(
        "bank_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("currency", sa.String(3), sa.ForeignKey("bank_currencies.code", ondelete="CASCADE"), nullable=False),
        sa.Column("amount", sa.Numeric(18, 4).with_variant(sa.String(40), "sqlite"), nullable=False),
        sa.Column("rate", sa.Numeric),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code", sa.Uuid, unique=True),
        sa.Column("open", sa.Boolean, nullable=False),
        sa.Column("extra", sa.JSON().with_variant(JSONB, "postgresql")),
        sa.Column("double", sa.BigInteger, sa.Computed("id * 2", persisted=True)),
        sa.CheckConstraint("id > 0", name="positive"),
    )
    only = sa.text("open")
    op.create_index("ix_open", "bank_entries", ["at"], unique=True, postgresql_where=only, sqlite_where=only)
    if op.get_bind().dialect.name == "sqlite":
        op.execute("CREATE VIRTUAL TABLE bank_search USING fts5(name, content='bank_currencies')")
        op.execute(
            "CREATE TRIGGER dear BEFORE INSERT ON bank_entries WHEN NEW.amount = '666.0000' "
            "BEGIN SELECT RAISE(ABORT, 'never'); END"
        )
        return
    words = "words tsvector GENERATED ALWAYS AS (to_tsvector('simple', currency)) STORED"
    op.execute(f"ALTER TABLE bank_entries ADD COLUMN {words}")
    op.execute("CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''never''; END'")
    dear = "BEFORE INSERT ON bank_entries FOR EACH ROW WHEN (NEW.amount = 666)"
    op.execute(f"CREATE TRIGGER dear {dear} EXECUTE FUNCTION never()")
    op.execute("ALTER TABLE bank_entries ENABLE ROW LEVEL SECURITY")
"""


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Migrations:
    name = f"bank_{tmp_path.name.replace('-', '_')}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("")
    (tmp_path / name / "r0001.py").write_text(REVISION)
    monkeypatch.syspath_prepend(str(tmp_path))
    return Migrations(name="bank", package=name)


@pytest.fixture
def source(tmp_path: Path, bank: Migrations) -> str:
    """A service's file, as its migrations made it, with rows."""
    url = f"sqlite:///{tmp_path}/bank.sqlite3"
    asyncio.run(prepare(address(url), DatabaseSettings(), [bank]))
    with closing(sqlite3.connect(tmp_path / "bank.sqlite3")) as connection:
        connection.execute("UPDATE bank_currencies SET name = 'the euro'")
        connection.execute("DROP TRIGGER dear")
        for number in range(1, 21):
            amount = "666.0000" if number == 20 else f"{number}.5000"
            values = (number, amount, number / 4, f"2026-01-{number:02} 10:00:00.000000", f"{number:032x}")
            connection.execute(
                "INSERT INTO bank_entries (id, currency, amount, rate, at, code, open, extra) "
                "VALUES (?, 'EUR', ?, ?, ?, ?, 1, '{\"b\": 1, \"a\": 2}')",
                values,
            )
        connection.commit()
    return url


def test_tables_come_from_the_migrations_and_all_that_is_theirs_is_there_afterwards(
    tmp_path: Path, source: str, bank: Migrations, server: Postgres, asked: Asked
) -> None:
    target = server.database()
    report = Transfer(source, target, migrations=[bank]).run()
    assert (report.equal, {one.table: one.rows[0] for one in report.tables}) == (
        True,
        {"bank_currencies": 1, "bank_entries": 20},
    )
    assert asked(target, "SELECT name FROM bank_currencies") == [("the euro",)]
    found = asked(
        target,
        "SELECT amount::text, rate::text, at::text, double, extra::text, words::text FROM bank_entries WHERE id = 3",
    )
    assert found == [("3.5000", "0.75", "2026-01-03 10:00:00+00", 6, '{"a": 2, "b": 1}', "'eur':1")]
    # What was set aside is back: each of these would go through without it.
    into = "INSERT INTO bank_entries (currency, amount, at, open, code)"
    for rest, said in (
        ("VALUES ('EUR', 666, now(), true, NULL)", "never"),
        ("VALUES ('XXX', 1, now(), true, NULL)", "violates foreign key"),
        ("SELECT 'EUR', 1, at, true, NULL FROM bank_entries WHERE id = 1", "ix_open"),
        ("SELECT 'EUR', 1, now(), true, code FROM bank_entries WHERE id = 1", "code_key"),
    ):
        with pytest.raises(psycopg.Error, match=said):
            asked(target, f"{into} {rest}")
    number = asked(
        target, "INSERT INTO bank_entries (currency, amount, at, open) VALUES ('EUR', 1, now(), true) RETURNING id"
    )
    assert number[0][0] > 20
    asyncio.run(prepare(address(target), DatabaseSettings(), [bank]))
    back = f"sqlite:///{tmp_path}/back.sqlite3"
    asked(target, "DELETE FROM bank_entries WHERE id > 20")
    assert Transfer(target, back, migrations=[bank]).run().equal
    with (
        closing(sqlite3.connect(tmp_path / "back.sqlite3")) as moved,
        closing(sqlite3.connect(tmp_path / "bank.sqlite3")) as first,
    ):
        columns = "SELECT id, amount, rate, at, code, open, double FROM bank_entries ORDER BY id"
        assert moved.execute(columns).fetchall() == first.execute(columns).fetchall()
        assert moved.execute("SELECT name FROM bank_search WHERE bank_search MATCH 'euro'").fetchall() == [
            ("the euro",)
        ]
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            moved.execute("INSERT INTO bank_entries (currency, amount, at, open) VALUES ('EUR', '666.0000', '', 1)")


def test_what_is_not_at_the_same_revision_is_refused(
    tmp_path: Path, source: str, bank: Migrations, server: Postgres, asked: Asked
) -> None:
    target = server.database()
    with closing(sqlite3.connect(tmp_path / "bank.sqlite3")) as connection:
        connection.execute("UPDATE bedplate_bank_version SET version_num = '0000'")
        connection.commit()
    with pytest.raises(TransferRefusedError, match="revision 0000 in the source, and at 0001"):
        Transfer(source, target, migrations=[bank]).run()
    with closing(sqlite3.connect(tmp_path / "bank.sqlite3")) as connection:
        connection.execute("UPDATE bedplate_bank_version SET version_num = '0001'")
        connection.execute("ALTER TABLE bank_entries ADD COLUMN more TEXT")
        connection.execute("CREATE TABLE own (id INTEGER PRIMARY KEY)")
        connection.commit()
    with pytest.raises(TransferRefusedError) as caught:
        Transfer(source, target, migrations=[bank]).run()
    assert [reason.partition(":")[0] for reason in caught.value.reasons] == [
        "bank_entries of the target has no column more, which the source has.",
        "The target has no table own",
    ]
    nothing = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert asked(target, nothing) == [(0,)]
    with pytest.raises(TransferRefusedError, match="no tables of this service"):
        Transfer(source, target, migrations=[Migrations(name="other", package=bank.package)]).run()


def test_a_target_with_rows_is_refused_and_a_made_one_without_is_taken(
    source: str, bank: Migrations, server: Postgres, asked: Asked
) -> None:
    target = server.database()
    asyncio.run(prepare(address(target), DatabaseSettings(), [bank]))
    with pytest.raises(TransferRefusedError, match="not empty: bank_currencies has rows"):
        Transfer(source, target, migrations=[bank]).run()
    with pytest.raises(TransferRefusedError, match="not empty: it has the tables bank_currencies"):
        Transfer(source, target).run()
    asked(target, "DELETE FROM bank_currencies")
    assert Transfer(source, target, migrations=[bank]).run().equal


def test_no_service_starts_on_what_is_not_finished(source: str, bank: Migrations, server: Postgres) -> None:
    target = server.database()
    Transfer(source, target, migrations=[bank]).follow()
    with pytest.raises(MigrationError, match="not all are there yet"):
        asyncio.run(prepare(address(target), DatabaseSettings(), [bank]))
    assert Transfer(source, target, migrations=[bank]).run().equal
    asyncio.run(prepare(address(target), DatabaseSettings(), [bank]))


def test_rows_that_security_hides_refuse_the_transfer(
    tmp_path: Path, source: str, bank: Migrations, server: Postgres, asked: Asked
) -> None:
    target = server.database()
    Transfer(source, target, migrations=[bank]).run()
    role = f"reader{tmp_path.name[-1]}"
    asked(target, f"CREATE ROLE {role} LOGIN")
    asked(target, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    hidden = target.replace("postgres@", f"{role}@")
    with pytest.raises(TransferRefusedError, match="Row security keeps rows of bank_entries"):
        Transfer(hidden, f"sqlite:///{tmp_path}/back.sqlite3", migrations=[bank]).run()
