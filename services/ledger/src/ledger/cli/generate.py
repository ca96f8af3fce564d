"""``ledger generate``: made-up organisations, as many as wanted."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from ledger.cli.output import Url, carry_out, emit, opened, progress, refuse, screen
from ledger.generating import Plan
from ledger.generating import generate as written

__all__ = ["generate"]


def generate(
    database: Url = "sqlite:///ledger.sqlite3",
    organizations: Annotated[int, typer.Option(min=1, help="How many organisations.")] = 1_000,
    transactions: Annotated[
        int | None, typer.Option(min=1, help="Transactions of all of them; three for each by default.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same books.")] = 1,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The last day; today by default.")
    ] = None,
    days: Annotated[int, typer.Option(min=7, help="Over how many days they are spread.")] = 730,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")] = False,
) -> None:
    """Make organisations up and write them with their books: few large ones, many small ones (Zipf's law).

    Memory does not grow with their number. Exit codes: 0 done, 1 failed, 2 bad input.
    """
    last = until.date() if until is not None else datetime.now(UTC).date()
    try:
        plan = Plan(organizations, transactions or 3 * organizations, seed=seed, until=last, days=days)
    except ValueError as error:
        refuse("generate", error)
    began = time.perf_counter()
    carry_out("generate", lambda: _write(plan, database))
    seconds = time.perf_counter() - began
    document: dict[str, Any] = {
        "organizations": plan.organizations,
        "transactions": plan.transactions,
        "lines": 2 * (plan.transactions + plan.organizations),
        "largest": int(plan.sizes.max()),
        "seed": seed,
        "seconds": round(seconds, 3),
        "transactions_per_second": round(plan.transactions / seconds),
    }
    if as_json:
        emit(document)
        return
    screen.print(
        f"{plan.organizations:,} organisations with {plan.transactions:,} transactions, the largest with "
        f"{document['largest']:,}, in {seconds:.1f} s ({document['transactions_per_second']:,} a second)"
    )


async def _write(plan: Plan, url: str) -> None:
    async with opened(url) as engine:
        with progress("transactions") as bar:
            task = bar.add_task("Writing books", total=plan.transactions)
            async for count in written(plan, engine.begin, int(time.time() * 1e6)):
                bar.advance(task, count)
