"""P25: what Bedplate's engine adds to a statement, P25b to a transaction."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import uvloop

from benchmarks.lab import Lab
from benchmarks.results import Goal, Measure, Row
from benchmarks.spread import Spread
from benchmarks.stacks.app import TOKEN
from benchmarks.suites import Suite
from tests.postgres import postgres

__all__ = ["SUITE", "bare", "ours"]

TEXT = """\
`SELECT :n + 1` on PostgreSQL 18 over a socket, in an open transaction, one after the other, on uvloop: the CPU time of
the asking process, a statement. All contestants run the same service, with what it does in the background, so that they
differ in the engine alone. The peer is SQLAlchemy's asynchronous engine over asyncpg with the same pool, pre-ping and
time limits, which counts and times nothing. The second peer has no time limits either, which asyncpg gives for less:
without them a server that hangs is waited for without end.

P25b is a transaction of that one statement, from the pool and back: with the look whether the connection lives, and, of
Bedplate, the request's name for `pg_stat_activity` and the time of the wait and of the use."""

_RUNNING: list[Any] = []


def run(lab: Lab) -> list[Row]:
    """Measure it."""
    lab.say("P25: the engine of the database")
    with postgres() as server:
        url = server.database()
        made: dict[str, tuple[str, Mapping[str, Any]]] = {
            "ours": (f"{__name__}:ours", {"url": url}),
            "limited": (f"{__name__}:bare", {"url": url, "limited": True}),
            "unlimited": (f"{__name__}:bare", {"url": url, "limited": False}),
        }
        with lab.contestants(made) as contestants:
            lab.interleave(contestants, 1, statements=1_000)
            statements = lab.interleave(contestants, lab.scale(41, 7), statements=lab.scale(2_000, 1_000))
            lab.interleave(contestants, 1, transactions=200)
            transactions = lab.interleave(contestants, lab.scale(41, 7), transactions=lab.scale(500, 200))
    return [
        _row("P25", "A statement on PostgreSQL: client CPU", statements),
        _row("P25b", "A transaction of one statement: client CPU", transactions),
    ]


def _row(id: str, what: str, found: Mapping[str, list[float]]) -> Row:
    mine, limited, unlimited = (
        Measure(name, "µs CPU", Spread.of(value * 1e6 for value in found[key]))
        for name, key in (
            ("Bedplate", "ours"),
            ("SQLAlchemy", "limited"),
            ("SQLAlchemy without time limits", "unlimited"),
        )
    )
    goal = Goal("ratio", "<=", 1.10, "≤ 1.10")
    return Row(id, what, mine, (limited, unlimited), goal, mine.value / limited.value)


def ours(url: str) -> Callable[..., float]:
    """Make a contestant: Bedplate's database."""
    from bedplate.database import Database

    database, loop = Database(url), _loop()
    loop.run_until_complete(_started(database))
    return _timed(loop, database.connect, database.begin)


def bare(url: str, limited: bool) -> Callable[..., float]:
    """Make a contestant: SQLAlchemy's engine."""
    from sqlalchemy.ext.asyncio import create_async_engine

    from bedplate.database import Database
    from bedplate.database.address import address

    loop = _loop()
    loop.run_until_complete(_started(Database(url)))
    engine = create_async_engine(
        address(url).url,
        pool_size=10,
        max_overflow=20,
        pool_timeout=5.0,
        pool_pre_ping=True,
        pool_recycle=1800,
        connect_args={"timeout": 5.0, "command_timeout": 30.0} if limited else {},
    )
    return _timed(loop, engine.connect, engine.begin)


async def _started(component: Any) -> None:
    from bedplate.service import Service
    from bedplate.settings import Settings, Sources

    settings = Settings(
        environment="production",
        _sources=Sources.none(),
        logs={"stream": "off"},
        auth={"tokens": f"bench:admin:{TOKEN}"},
        alerts={"enabled": False},
    )
    run = Service("bench", None, [component], settings=settings).running()
    await run.__aenter__()
    _RUNNING.append(run)  # it ends with the process


def _loop() -> asyncio.AbstractEventLoop:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


Connect = Callable[[], AbstractAsyncContextManager[Any]]


def _timed(loop: asyncio.AbstractEventLoop, connect: Connect, begin: Connect) -> Callable[..., float]:
    from sqlalchemy import text

    from bedplate.telemetry.context import WorkContext, current

    statement = text("SELECT :n + 1")

    async def carry_out(statements: int) -> float:
        async with connect() as connection:
            await connection.execute(statement, {"n": 0})
            begun = time.process_time()
            for n in range(statements):
                await connection.execute(statement, {"n": n})
            return (time.process_time() - begun) / statements

    async def carry_through(transactions: int) -> float:
        current.set(WorkContext("0195c3f0-1111-7000-8000-000000000007", "0" * 32, "0" * 16))
        begun = time.process_time()
        for n in range(transactions):
            async with begin() as connection:
                await connection.execute(statement, {"n": n})
        return (time.process_time() - begun) / transactions

    def measured(statements: int = 0, transactions: int = 0) -> float:
        gc.collect()
        return loop.run_until_complete(carry_out(statements) if statements else carry_through(transactions))

    return measured


SUITE = Suite("The database's engine", ("P25", "P25b"), TEXT, run)
