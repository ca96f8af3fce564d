"""``bedplate cutover``: what scripts and people get from its commands, on tables of a real server."""

from __future__ import annotations

import itertools
import json
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from bedplate.cli import app

_TABLES = itertools.count()


@pytest.fixture
def table(machine_connection: psycopg.Connection[Any]) -> str:
    name = f"sold{next(_TABLES)}"
    machine_connection.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, organization_id int NOT NULL)")
    machine_connection.execute(f"INSERT INTO {name} SELECT n, n % 7 FROM generate_series(1, 100) n")
    return name


@pytest.fixture
def command(machine_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("DATABASE_URL", machine_url)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["cutover", *arguments])

    return run


def document(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_one_command_after_the_other_takes_a_table_to_partitions_and_back(
    command: Any, table: str, machine_connection: psycopg.Connection[Any], name: str
) -> None:
    moved = ("--tables", table, "--partitions", "2")
    assert document(command("run", "", name, *moved, "--json"))["state"] == "verified"
    seen = document(command("status", name, "--json"))
    assert seen["tables"][table]["rowDelta"] == 0 and seen["record"]["plan"]["tables"] == [table]
    assert seen["switchoverReadiness"]["reasons"] == ["No worker runs."]
    for wish, state in (("switch", "switched"), ("rollback", "verified"), ("switch", "switched")):
        assert document(command(wish, name, "--json"))["state"] == state
    refused = command("finalize", name)
    assert refused.exit_code == 1 and f"Type the name: {name}" in refused.stderr
    assert "finalized" in command("finalize", name, "--confirm", name).stdout
    told = [event["event"] for event in document(command("events", name, "--json"))]
    assert told[0] == "start" and told.count("switched") == 2 and "finalized" in told
    row = machine_connection.execute("SELECT relkind::text FROM pg_class WHERE oid = %s::regclass", (table,)).fetchone()
    assert row == ("p",)


def test_wishes_are_written_for_the_worker_of_the_service(command: Any, table: str, name: str) -> None:
    unknown = command("status", name)
    assert unknown.exit_code == 2 and "There is no cutover" in unknown.stderr
    assert command("start", name).exit_code == 2
    assert document(command("start", name, "--tables", table, "--json"))["wanted"] == "verified"
    assert document(command("throttle", "25", name, "--json"))["throttle"] == 25
    assert document(command("pause", name, "--json"))["paused"]
    assert document(command("resume", name, "--json"))["paused"] is False
    refused = document(command("switch", name, "--json"), 1)
    assert refused["ok"] is False and "It is none" in refused["error"]
    assert "25 % of speed" in command("pause", name).stdout
    told = command("events", name).stdout
    assert told.index("Start  by cli:") < told.index("Pause  by cli:") and "from 100 to 25 % of full speed" in told


def test_what_waits_for_somebody_is_an_exit_status_and_words(
    command: Any, table: str, name: str, machine_connection: psycopg.Connection[Any]
) -> None:
    machine_connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
    done = command("run", name, "--tables", table, "--partitions", "2")
    assert done.exit_code == 1 and "unlogged" in done.output.lower()
    assert command("status", name).exit_code == 1
    machine_connection.execute(f"ALTER TABLE {table} SET LOGGED")
    command("resume", name)
    assert command("run", name).exit_code == 0
    assert document(command("rollback", name, "--json"))["state"] == "none"


def test_which_cutover_is_meant_must_be_said(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "It has not begun" in command("switch", "nobody").stderr
    monkeypatch.delenv("DATABASE_URL")
    assert "not said which database" in command("status").stderr
