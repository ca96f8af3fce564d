"""Statements by fingerprint, and the slow ones in the log with a plan and without a value."""

from __future__ import annotations

import logging

import pytest
from sqlalchemy import text
from sqlalchemy.engine.default import DefaultDialect

from bedplate.database import Database, DatabaseSettings
from bedplate.database.metrics import MOST_STATEMENTS, STATEMENT_SECONDS, STATEMENTS
from bedplate.database.statements import fingerprint, masked
from bedplate.testing import running


def test_values_make_no_other_fingerprint_and_columns_do() -> None:
    one = fingerprint("SELECT a FROM t WHERE b IN ($1, $2) AND c = 'O''Neil' AND d = 4.5")
    assert one == fingerprint("select a\n  from t where b in ($1, $2, $3) and c = 'x' and d = 7")
    assert one != fingerprint("SELECT a2 FROM t WHERE b IN ($1, $2) AND c = 'O''Neil' AND d = 4.5")
    assert masked("SELECT x1 FROM t2 WHERE a = 'it''s secret' AND b > 12") == "SELECT x1 FROM t2 WHERE a = ? AND b > ?"


async def test_no_service_can_make_more_series_than_are_declared(url: str) -> None:
    database = Database(url)
    async with running(database) as harness:
        async with database.connect() as connection:
            for number in range(MOST_STATEMENTS + 20):
                await connection.execute(text(f"SELECT 1 AS column{number}"))
        samples = [name for name in await harness.samples() if name.startswith(STATEMENTS.name)]
        assert len(samples) <= MOST_STATEMENTS + 1
        assert await harness.value(STATEMENTS, statement="other") >= 20


async def test_each_way_to_carry_a_statement_out_is_counted_once_and_does_what_the_dialect_would(url: str) -> None:
    database = Database(url)
    async with running(database) as harness:
        engine = await database.ready()
        for name in ("do_execute", "do_executemany", "do_execute_no_params"):
            assert getattr(type(engine.dialect), name) is getattr(DefaultDialect, name), "listeners stand in for it"
        places = "($1)" if database.dialect == "postgresql" else "(?)"
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE things (id integer PRIMARY KEY)"))
            await connection.exec_driver_sql(f"INSERT INTO things VALUES {places}", [(1,), (2,)])
            await connection.execute(text("INSERT INTO things VALUES (:id)"), {"id": 3})
            bare = connection.execution_options(no_parameters=True)
            assert (await (await bare).exec_driver_sql("SELECT count(*) FROM things")).scalar() == 3
        for statement, times in ((f"INSERT INTO things VALUES {places}", 2), ("SELECT count(*) FROM things", 1)):
            mark = fingerprint(statement)
            assert await harness.value(STATEMENTS, statement=mark) == times
            assert await harness.value(STATEMENT_SECONDS, statement=mark) > 0


async def test_a_slow_statement_is_logged_with_its_plan_and_no_value(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(url, settings=DatabaseSettings(slow_statement=1e-9))
    async with running(database) as harness:
        async with database.begin() as connection:
            await connection.execute(text("CREATE TABLE people (id integer PRIMARY KEY, name text)"))
            await connection.execute(text("INSERT INTO people VALUES (1, 'Ada')"))
        with caplog.at_level(logging.WARNING):
            async with database.connect() as connection:
                found = await connection.execute(
                    text("SELECT id FROM people WHERE name = :name AND id < 471108"), {"name": "Grace Hopper"}
                )
                assert found.all() == []

            def told() -> str:
                return "\n".join(message for message in caplog.messages if "SELECT id" in message)

            await harness.eventually(told)
        assert "people" in told().split("plan")[1]
        assert "Hopper" not in told() and "471108" not in told()
        assert fingerprint("SELECT id FROM people WHERE name = ? AND id < 1") in told()
