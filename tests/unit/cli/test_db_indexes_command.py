"""``bedplate db indexes``: what people and programs are told, and the exit status."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app

MODULE = """
from contextlib import asynccontextmanager

from bedplate import Service, Settings, Spec
from bedplate.database import Database
from bedplate.database.indexes import AccessPath, Index


class Orders:
    def __init__(self, database):
        self.spec = Spec(kind="orders", summary="Keeps orders.", needs=(database,))

    @asynccontextmanager
    async def lifespan(self, host):
        yield

    def indexes(self):
        path = AccessPath(
            statement="SELECT * FROM orders WHERE customer = :customer", sample={"customer": 7}, asked="A [page]."
        )
        return [Index(name="ix_customer", table="orders", on=("customer",), path=path)]


def build(settings: Settings):
    database = Database(settings.database_url or "")
    return Service("shop", None, [Orders(database)], settings=settings)


def bare(settings: Settings):
    return Service("shop", None, [Database(settings.database_url or "")], settings=settings)
"""
TARGET = "shop_with_indexes:build"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "shop_with_indexes.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / ".bedplate" / "shop.sqlite3"
    file.parent.mkdir()
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer)")
    connection.executemany("INSERT INTO orders (customer) VALUES (?)", [(i % 100,) for i in range(2000)])
    connection.execute("CREATE INDEX ix_twin ON orders (customer)")
    connection.execute("CREATE INDEX ix_twins ON orders (customer)")
    connection.commit()
    connection.close()
    yield file
    sys.modules.pop("shop_with_indexes", None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["db", "indexes", *arguments])


def told(*arguments: str) -> Any:
    return json.loads(call(*arguments, "--json").stdout)


def test_what_is_missing_is_told_made_and_measured() -> None:
    first = call(TARGET)
    assert (first.exit_code, "missing" in first.stdout) == (1, True)
    assert "A [page]." in first.stdout
    assert "ix_twins on orders: ix_twin is the same" in first.stdout
    made = call(TARGET, "--apply", "--measure")
    assert made.exit_code == 0, made.output
    assert "made ix_customer" in made.stdout and "2,000" in made.stdout
    again = told(TARGET, "--measure")
    assert again["ok"] is True
    (database,) = again["databases"]
    assert (database["service"], database["database"], database["made"]) == ("shop", "default", [])
    assert [(one["name"], one["state"]) for one in database["declared"]] == [("ix_customer", "present")]
    assert database["measured"][0]["verdict"] == "used" or "not used" in database["measured"][0]["verdict"]
    assert told(TARGET, "--measure", "--drop-to-compare")["databases"][0]["measured"][0]["without"] is not None


def test_what_cannot_be_looked_at_is_said(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for arguments, what in (
        (("shop_with_indexes:bare",), "No component of shop_with_indexes:bare declares indexes."),
        ((TARGET, "--only", "ix_other"), "No index ix_other is declared."),
        ((TARGET, "--url", "mysql://x"), "no database that Bedplate knows"),
        ((TARGET, "--url", "postgresql://nobody:secret@127.0.0.1:1/x"), "cannot be reached"),
    ):
        result = call(*arguments)
        assert (result.exit_code, what in result.stderr) == (2, True), result.output
        assert "secret" not in result.output
    workplace.unlink()
    assert "There is no file" in call(TARGET).stderr
    monkeypatch.setenv("ENVIRONMENT", "production")
    monkeypatch.setenv("BEDPLATE_ALLOW", "sqlite")
    monkeypatch.setenv("BEDPLATE_TOKENS", "ops:admin:a-token-that-nobody-guesses-here")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///x.sqlite3")
    assert "In production no index is dropped" in call(TARGET, "--measure", "--drop-to-compare").output
