"""``bedplate db transfer``: what it says to people and scripts, and with which status it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bedplate.cli.main import app
from tests.transfers import file_of, shop

Empty = Callable[[], str]


def transfer(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["db", "transfer", *arguments])


def test_it_looks_moves_follows_and_verifies(tmp_path: Path, empty: Empty) -> None:
    source, connection = shop(tmp_path)
    target = empty().replace("postgres@", "postgres:secret@")
    plan = transfer(source, target, "--dry-run")
    assert (plan.exit_code, "price" in plan.output, "DECIMAL_TEXT" in plan.output) == (0, True, True)
    assert "orders.doubled is computed, and is not moved." in plan.output
    live = transfer(source, target, "--live")
    assert live.exit_code == 0
    assert "run the same without --live" in live.output
    connection.execute("DELETE FROM notes")
    done = transfer(source, target, "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["state"], document["equal"]) == (0, "finished", True)
    assert {one["table"]: one["rows"]["target"] for one in document["tables"]}["notes"] == 0
    connection.execute("DELETE FROM lines")
    differs = transfer(source, target, "--verify")
    assert (differs.exit_code, "They differ" in differs.output) == (1, True)
    assert "secret" not in plan.output + live.output + done.output + differs.output
    assert transfer(source, target, "--abandon").exit_code == 0


def test_what_does_not_fit_ends_with_one_and_what_cannot_be_with_two(tmp_path: Path, empty: Empty) -> None:
    source, connection = file_of(tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT)")
    connection.execute("INSERT INTO t VALUES (1, 'one')")
    target = empty()
    misfit = transfer(source, target)
    assert (misfit.exit_code, "t, row id=1, column n: text where an integer belongs" in misfit.output) == (1, True)
    told = transfer(source, target, "--json")
    fault = {"table": "t", "row": "id=1", "column": "n", "what": "text where an integer belongs"}
    assert (told.exit_code, json.loads(told.stdout)["faults"]) == (1, [fault])
    other = transfer("sqlite:///nowhere.sqlite3", empty())
    assert (other.exit_code, "no file nowhere.sqlite3" in other.output) == (2, True)
    for wrong in (["--live", "--verify"], ["--type", "n=text"], ["--skip", "none"]):
        assert transfer(source, empty(), *wrong).exit_code == 2
    away = transfer(source, "postgresql://postgres:secret@/none?host=/nowhere", "--json")
    assert (away.exit_code, "secret" in away.output) == (2, False)


def test_only_a_service_s_own_tables_are_its(tmp_path: Path, empty: Empty, monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = shop(tmp_path)
    (tmp_path / "shop_of_transfer.py").write_text(
        "from bedplate import Service, Settings\nfrom bedplate.database import Database\n"
        "def build(settings: Settings):\n"
        "    return Service('shop', None, [Database('sqlite:///x.sqlite3')], settings=settings)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    refused = transfer(source, empty(), "--service", "shop_of_transfer:build")
    assert (refused.exit_code, "no tables of this service" in refused.output) == (2, True)
