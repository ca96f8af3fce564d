"""P19 and P20: Ledger among a million organisations, and how fast it posts."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from benchmarks.contestant import Contestant
from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks.app import TOKEN
from benchmarks.suites import Suite
from demo.servers.postgres import make_primary
from demo.servers.programs import folder_of_a_server, postgres_programs
from tests.postgres import Postgres

__all__ = ["SUITE", "asked", "posted"]

UNTIL = date(2025, 11, 27)
#: Organisations with so many transactions are asked for, of both sizes of the whole.
LIKE = (100, 300)
QUESTIONS = ("balance", "last 50", "90 days")
#: What is read of the two tables that a cutover moves: a page, and what an export reads of 90 days.
MOVED = ("last 50", "rows of 90 days")
ASKED = (*QUESTIONS, "monthly", MOVED[1])
PARTITIONS = 64

TEXT = """\
Ledger on a PostgreSQL 18 on disk, with fsync, synchronous commit and 512 MB of shared buffers, through Bedplate's
engine and with row security; wall time in the asking process, on uvloop.
**P19**: books that `ledger generate` made, of a thousand organisations and of a million (three transactions each, sizes
by Zipf's law). Of those with 100 to 300 transactions some are drawn, and each is asked, without any cache of ours, for
the balance of all accounts, its latest 50 revenues, and revenue, expenses and profit of 90 days: each in a transaction
of its own, role and organisation set in it. The ratio is that of the medians, the worst of the three. Then the monthly
report. P19d: the same books, with revenue and expenses once in the tables that the generator wrote, and once in 64
partitions of the same rows and indexes, as a cutover leaves them; the latest 50 revenues, and the revenues of 90 days
row by row as an export reads them, are asked for by turns. Again the worst ratio of medians.
**P20**: revenues and expenses of a hundred organisations, each with a reference of its own and everything that posting
does: entry, two lines, transaction, totals of the month, the check that it balances. Batched: 1,000 transactions a
call, two calls at once. Single: one a call and a commit, ten calls at once, as many as the pool keeps connections.
Lines are counted, two a transaction."""


def run(lab: Lab) -> list[Row]:
    """Measure both."""
    with _durable() as server:
        return [*_posting(lab, server), *_asking(lab, server)]


def _posting(lab: Lab, server: Postgres) -> list[Row]:
    lab.say("P20: lines posted a second")
    rounds = lab.scale(7, 3)
    with Contestant(f"{__name__}:posted", {"url": server.database()}) as contestant:
        contestant(calls=lab.scale(20, 5), each=1_000, at_once=2)
        batched = [contestant(calls=lab.scale(60, 20), each=1_000, at_once=2) for _ in range(rounds)]
        single = [contestant(calls=lab.scale(6_000, 1_500), each=1, at_once=10) for _ in range(rounds)]
    rows = []
    for id, what, found, least in (
        ("P20a", "Lines posted, batched", batched, 20_000),
        ("P20b", "Lines posted, single, durable", single, 1_500),
    ):
        measure = Measure("Ledger", "lines/s", Spread.of(found))
        rows.append(Row(id, what, measure, (), Goal("ours", ">=", least, f"≥ {least:,}/s")))
    return rows


def _asking(lab: Lab, server: Postgres) -> list[Row]:
    sizes = {"few": 1_000, "many": lab.scale(1_000_000, 100_000)}
    notes, made = [], {}
    for name, organizations in sizes.items():
        lab.say(f"P19: {organizations:,} organisations")
        url, began = server.database(), time.perf_counter()
        transactions = max(10_000, 3 * organizations)
        command = [sys.executable, "-m", "ledger", "generate", "--database", url, "--until", UNTIL.isoformat()]
        command += ["--organizations", str(organizations), "--transactions", str(transactions)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - began
        server.sql("VACUUM ANALYZE", url.rpartition("@/")[2].partition("?")[0])
        if name == "many":
            told = f"{organizations:,} organisations with {transactions:,} transactions written in {seconds:,.0f} s."
            notes.append(told)
        made[name] = (f"{__name__}:asked", {"url": url})
        if name == "many":
            server.sql(_partitioned(), url.rpartition("@/")[2].partition("?")[0])
            server.sql("VACUUM ANALYZE", url.rpartition("@/")[2].partition("?")[0])
            made["moved"] = (f"{__name__}:asked", {"url": url.replace("//postgres@", "//partitioned@")})
    # All take turns, so that whatever else the machine does befalls them alike.
    with lab.contestants(made) as contestants:
        lab.interleave(contestants, 1, each=300)
        times = lab.interleave(contestants, lab.scale(30, 10), each=100)
    few, many, moved = ({question: _two([one for found in times[name] for one in found[question]])
                         for question in ASKED} for name in made)  # fmt: skip
    ratios = {question: many[question][0] / few[question][0] for question in QUESTIONS}
    worst = max(QUESTIONS, key=lambda question: ratios[question])
    slowest = max(many[question][1] for question in QUESTIONS)
    beside = {question: moved[question][0] / many[question][0] for question in MOVED}
    later = max(MOVED, key=lambda question: beside[question])
    parted = [f"{name}: {many[name][0]:.2f} ms in one table, {moved[name][0]:.2f} ms in partitions, p99 "
            f"{many[name][1]:.2f} and {moved[name][1]:.2f} ms." for name in MOVED]  # fmt: skip
    notes += [f"{name}: {few[name][0]:.2f} ms among 1,000, {many[name][0]:.2f} ms among {sizes['many']:,}, p99 "
              f"{many[name][1]:.2f} ms." for name in QUESTIONS]  # fmt: skip

    def one(value: float) -> Spread:
        return Spread.of([value])

    return [
        Row(
            "P19a", f"{worst} of one organisation among {sizes['many']:,}, beside among 1,000",
            Measure(f"among {sizes['many']:,}", "ms", one(many[worst][0])),
            (Measure("among 1,000", "ms", one(few[worst][0])),),
            Goal("ratio", "<=", 1.3, "≤ 1.3 ×"), ratios[worst], tuple(notes),
        ),
        Row(
            "P19b", "the slowest of the three, p99", Measure("Ledger", "ms", one(slowest)), (),
            Goal("ours", "<=", 10, "< 10 ms"),
        ),
        Row(
            "P19c", "monthly report, p99", Measure("Ledger", "ms", one(many["monthly"][1])), (),
            Goal("ours", "<=", 50, "< 50 ms"),
        ),
        Row(
            "P19d", f"{later} of one organisation in {PARTITIONS} partitions, beside in the legacy table",
            Measure("partitions", "ms", one(moved[later][0])), (Measure("legacy", "ms", one(many[later][0])),),
            Goal("ratio", "<=", 1.0, "≤ 1.0 ×"), beside[later], tuple(parted),
        ),
    ]  # fmt: skip


def _partitioned() -> str:
    """Return what makes a twin of each table that moves, in partitions; the role ``partitioned`` meets those first.

    A role alone tells the two apart, so that both are asked by the same code, of the same months, lines and accounts.
    """
    from ledger.revisions.r0001_tables import OWN

    said = [
        "CREATE ROLE partitioned SUPERUSER LOGIN",
        "CREATE SCHEMA moved",
        "GRANT USAGE ON SCHEMA moved TO ledger_tenant",
        "ALTER ROLE partitioned SET search_path = moved, public",
    ]
    for table in ("revenue_transactions", "expense_transactions"):
        partitioned = "PARTITION BY HASH (organization_id)"
        said.append(f"CREATE TABLE moved.{table} (LIKE public.{table} INCLUDING ALL) {partitioned}")
        said += [
            f"CREATE TABLE moved.{table}_{number} PARTITION OF moved.{table} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
            for number in range(PARTITIONS)
        ]
        said += [
            f"INSERT INTO moved.{table} SELECT * FROM public.{table} ORDER BY organization_id, id",
            f"GRANT SELECT, INSERT ON moved.{table} TO ledger_tenant",
            f"ALTER TABLE moved.{table} ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY own ON moved.{table} TO ledger_tenant USING ({OWN})",
        ]
    return ";".join(said)


@contextmanager
def _durable() -> Iterator[Postgres]:
    """Run a server whose commits are on disk when they are told."""
    settings = ("fsync=on", "shared_buffers=512MB", "max_wal_size=4GB", "checkpoint_timeout=30min")
    with folder_of_a_server("bedplate-bench-", Path(tempfile.gettempdir())) as folder:
        programs = postgres_programs()
        make_primary(programs, folder)
        server = Postgres(programs, folder, settings)
        try:
            server.start()
            yield server
        finally:
            server.end()


def posted(url: str) -> Callable[..., float]:
    """Make a contestant: books that are posted to; it returns lines a second."""
    from ledger.entries import Transaction, transaction_entry

    loop, books, _ = _books(url)
    dice = random.Random(1)
    numbers = iter(range(1, 1 << 60))
    organizations = [loop.run_until_complete(books.open(f"Bench {number}", "EUR")).id for number in range(100)]
    day = UNTIL - timedelta(days=400)

    def entry() -> Any:
        number = next(numbers)
        kind, account = ("revenue", "4000") if number % 3 else ("expense", "5000")
        done = Transaction(account, "1000", dice.randrange(1, 1_000_000), "EUR", f"Customer {number % 997}")
        on = day + timedelta(days=dice.randrange(400))
        return transaction_entry(kind, on, done, reference=f"INV-{number:010d}")  # type: ignore[arg-type]

    async def carry_out(calls: list[list[Any]], at_once: int) -> float:
        waiting = iter(calls)

        async def work() -> None:
            for entries in waiting:
                await books.post(dice.choice(organizations), entries, "batch" if len(entries) > 1 else "single")

        began = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(at_once)))
        return 2 * sum(map(len, calls)) / (time.perf_counter() - began)

    def measured(calls: int, each: int, at_once: int) -> float:
        made = [[entry() for _ in range(each)] for _ in range(calls)]
        return loop.run_until_complete(carry_out(made, at_once))

    return measured


def asked(url: str) -> Callable[..., dict[str, list[float]]]:
    """Make a contestant: books that are asked; it returns how many ms each question took."""
    from sqlalchemy import func, select

    from ledger.records import organizations, totals, transactions
    from ledger.tables import TRANSACTIONS

    loop, books, reports = _books(url)
    dice = random.Random(2)

    async def like() -> list[int]:
        counts: dict[int, int] = {}
        async with books.database.connect() as connection:
            for table in TRANSACTIONS.values():
                query = select(table.c.organization_id, func.count()).group_by(table.c.organization_id)
                for organization, count in await connection.execute(query.having(func.count() > LIKE[0] // 4)):
                    counts[organization] = counts.get(organization, 0) + count
        return [organization for organization, count in counts.items() if LIKE[0] <= count <= LIKE[1]]

    chosen = loop.run_until_complete(like())

    async def balance(organization: int) -> None:
        async with books.looking(organization) as scope:
            assert await totals.between(scope, None, None)

    async def latest(organization: int) -> None:
        async with books.looking(organization) as scope:
            assert (await transactions.page(scope, "revenue", limit=50)).items

    async def quarter(organization: int) -> None:
        async with books.looking(organization) as scope:
            accounts = [one for one in await organizations.accounts(scope) if one.kind in ("revenue", "expense")]
            assert await totals.between(scope, UNTIL - timedelta(days=89), UNTIL, accounts)

    async def monthly(organization: int) -> None:
        assert await reports._monthly(organization, UNTIL.year * 100 + UNTIL.month)

    async def rows(organization: int) -> None:
        async with books.looking(organization) as scope:
            since = UNTIL - timedelta(days=89)
            assert await transactions.portion(scope, "revenue", since=since, until=UNTIL, most=250)

    asks: tuple[Callable[[int], Awaitable[None]], ...] = (balance, latest, quarter, monthly, rows)
    questions = dict(zip(ASKED, asks, strict=True))

    async def carry_out(each: int) -> dict[str, list[float]]:
        times: dict[str, list[float]] = {question: [] for question in questions}
        for _ in range(each):
            for question, ask in questions.items():
                organization = dice.choice(chosen)
                began = time.perf_counter()
                await ask(organization)
                times[question].append((time.perf_counter() - began) * 1_000)
        return times

    return lambda each: loop.run_until_complete(carry_out(each))


def _two(times: list[float]) -> tuple[float, float]:
    times = sorted(times)
    return times[len(times) // 2], times[int(0.99 * (len(times) - 1))]


def _books(url: str) -> tuple[asyncio.AbstractEventLoop, Any, Any]:
    """Run Ledger's books and reports for good."""
    import uvloop

    from bedplate.database import Database
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources
    from bedplate.state.cache import Cache
    from bedplate.state.memory import Memory
    from ledger.components import Books, BooksSettings, Reports

    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    database = Database(url)
    books = Books(BooksSettings(check_every=3_600), database=database, cache=Cache(Memory(), "reports"))
    reports = Reports(books=books)
    settings = Settings(
        environment="development",
        _sources=Sources.none(),
        logs={"stream": "off"},
        auth={"tokens": f"bench:admin:{TOKEN}"},
        alerts={"enabled": False},
    )

    async def start() -> None:
        run = Service("bench", None, [books, reports], settings=settings).running()
        await run.__aenter__()
        _RUNNING.append(run)  # it ends with the process
        await database.ready()

    loop.run_until_complete(start())
    return loop, books, reports


_RUNNING: list[Any] = []

SUITE = Suite("Ledger", ("P19a", "P19b", "P19c", "P19d", "P20a", "P20b"), TEXT, run)
