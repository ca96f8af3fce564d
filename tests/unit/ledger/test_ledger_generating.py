"""Organisations by the million, made up: seeded, of Zipf's sizes, and with books that balance."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import create_engine, select, text
from typer.testing import CliRunner

from ledger.cli import app
from ledger.cli.output import opened
from ledger.generating import Plan, generate
from ledger.records.totals import differences
from ledger.scope import Scope
from ledger.tables import MONTHS, ORGANIZATIONS
from tests.postgres import Postgres

PLAN = Plan(40, 900, seed=7, until=date(2025, 11, 26))


def _run(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout) if "--json" in arguments else done.output


def _generated(url: str) -> Any:
    return _run(
        "generate", "--database", url, "--organizations", "40", "--transactions", "900", "--seed", "7", "--until",
        "2025-11-26", "--json",
    )  # fmt: skip


def test_sizes_follow_zipfs_law_and_add_up() -> None:
    sizes = np.sort(Plan(10_000, 100_000).sizes)[::-1]
    assert sizes.sum() == 100_000 and sizes.min() == 1
    # The second has half of the first's, the tenth a tenth, of what is not the one that all have.
    assert (sizes[0] - 1) / (sizes[1] - 1) == pytest.approx(2, rel=0.01)
    assert (sizes[0] - 1) / (sizes[9] - 1) == pytest.approx(10, rel=0.01)
    with pytest.raises(ValueError, match="at least as many"):
        Plan(10, 9)


def test_any_part_is_the_same_whenever_it_is_made() -> None:
    organization, number = np.array([3, 3, 5]), np.array([0, 7, 2])
    sizes = np.array([20, 20, 9])
    whole = PLAN.make(organization, number, sizes)
    part = PLAN.make(organization[1:2], number[1:2], sizes[1:2])
    assert (part.amounts[0], part.days[0]) == (whole.amounts[1], whole.days[1])
    other = Plan(40, 900, seed=8, until=date(2025, 11, 26)).make(organization, number, sizes)
    assert list(other.amounts) != list(whole.amounts)


def test_books_are_written_alike_and_balance(server: Postgres, tmp_path: Path) -> None:
    """The same books come out on SQLite and PostgreSQL, whatever is in memory at once; checks find what is wrong."""
    urls = [f"sqlite:///{tmp_path / 'made.sqlite3'}", server.database()]
    told = [_generated(url) for url in urls]
    assert told[0]["lines"] == 2 * (900 + 40) and told[0]["largest"] == told[1]["largest"] == int(PLAN.sizes.max())
    for url in urls:
        assert _run("check", "--database", url, "--json") == {"organizations": 40, "differences": []}
    database = create_engine(urls[0])
    with database.begin() as connection:
        days = connection.execute(text("SELECT min(day), max(day) FROM ledger_lines")).one()
        assert days[0] >= "2023-11-28" and days[1] <= "2025-11-26"
        connection.execute(text("UPDATE ledger_months SET debit = debit + 3 WHERE organization_id = 4 AND lines > 0"))
    database.dispose()
    said = _run("check", "--database", urls[0], code=1)
    assert "organisation 4: 2025-11 of account 5900 is not its lines, by 3 minor units" in said
    assert "0 differences" in _run("check", "--database", urls[0], "--organization", "4", "--mend")
    assert "--mend needs" in _run("check", "--database", urls[0], "--mend", code=2)
    assert "no database that Bedplate knows" in _run("check", "--database", "mysql://x", code=1)


@pytest.mark.parametrize("portion", [7, 250])
async def test_totals_are_right_however_much_is_in_memory(tmp_path: Path, portion: int) -> None:
    url = f"sqlite:///{tmp_path / 'made.sqlite3'}"
    async with opened(url) as engine:
        counts = []
        async for count in generate(PLAN, engine.begin, 0, portion=portion):
            counts.append(count)
            if len(counts) % 10 == 1:
                async with engine.connect() as connection:
                    assert await differences(connection, 1, 40) == [], "books balance whenever somebody looks"
        assert sum(counts) == 900 and max(counts) <= portion
        async with engine.connect() as connection:
            assert await differences(connection, 1, 40) == []
            scope = Scope(connection, int(np.argmax(PLAN.sizes)) + 1)
            lines = (await scope.execute(select(MONTHS.c.lines))).scalars().all()
            assert sum(lines) == 2 * (int(PLAN.sizes.max()) + 1)
            made = (await connection.execute(ORGANIZATIONS.select())).all()
            assert len({row.name for row in made}) == 40 and len({row.currency for row in made}) > 1
