"""``ledger check``: do all books balance, and are the totals kept of them right?"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from ledger.cli.output import FAILED, Url, carry_out, emit, opened, progress, refuse, screen
from ledger.records.totals import Difference, differences, mend_months
from ledger.tables import ORGANIZATIONS

__all__ = ["check"]

_AT_ONCE = 5_000


def check(
    database: Url = "sqlite:///ledger.sqlite3",
    organization: Annotated[int | None, typer.Option(help="Only this one.")] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Make the totals of one organisation anew of its lines.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Check that lines balance and that totals are their sums. Exit codes: 0 all right, 1 findings, 2 bad input."""
    if mend and organization is None:
        refuse("check", "--mend needs --organization N: look first which one is wrong")
    checked, found = carry_out("check", lambda: _check(database, organization, mend=mend))
    if as_json:
        emit({"organizations": checked, "differences": [one._asdict() for one in found]})
    else:
        for one in found:
            month = f"{one.month // 100:04d}-{one.month % 100:02d}"
            what = (
                "lines do not balance" if one.account == "*" else f"{month} of account {one.account} is not its lines"
            )
            lines = f" and {one.lines:+d} lines" if one.lines else ""
            screen.print(
                f"organisation {one.organization}: {what}, by {one.amount} minor units of {one.currency}{lines}"
            )
        screen.print(f"{checked:,} organisations checked, {len(found)} differences")
    if found:
        raise typer.Exit(FAILED)


async def _check(url: str, organization: int | None, *, mend: bool) -> tuple[int, list[Difference]]:
    found: list[Difference] = []
    checked = 0
    async with opened(url) as engine:
        if mend and organization is not None:
            async with engine.begin() as connection:
                await mend_months(connection, organization)
        async with engine.connect() as connection:
            first, last = await _range(connection, organization)
            with progress("organisations") as bar:
                task = bar.add_task("Checking books", total=last - first + 1)
                for start in range(first, last + 1, _AT_ONCE):
                    end = min(start + _AT_ONCE - 1, last)
                    count = select(func.count()).where(ORGANIZATIONS.c.id.between(start, end))
                    checked += int((await connection.execute(count)).scalar_one())
                    found += await differences(connection, start, end)
                    bar.advance(task, end - start + 1)
    return checked, found


async def _range(connection: AsyncConnection, organization: int | None) -> tuple[int, int]:
    if organization is not None:
        return organization, organization
    ids: Any = ORGANIZATIONS.c.id
    first, last = (await connection.execute(select(func.min(ids), func.max(ids)))).one()
    return (1, 0) if first is None else (first, last)
