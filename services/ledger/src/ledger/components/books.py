"""The books: posting to them, reading from them, and checking in the background that all of them balance."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date
from typing import Annotated, Any, Final, Literal, ParamSpec, TypeVar

from pydantic import Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bedplate.component import Host, Spec
from bedplate.database import Database, DatabaseUnavailableError, OutcomeUnknownError
from bedplate.database.indexes import Index
from bedplate.declarations import Migrations, Probe
from bedplate.problems import BedplateError
from bedplate.service import HostLease
from bedplate.settings import Section
from bedplate.settings.markers import Seconds
from bedplate.state.answering import Answering
from bedplate.state.cache import Cache
from ledger.chart import Account, AccountKind
from ledger.components.pool import Pool
from ledger.components.signals.books import (
    ACCOUNTS_OPENED,
    ALERTS,
    CHECKED,
    CHECKED_AT,
    CHECKS,
    DIFFERENCE,
    DURATION,
    KINDS,
    METRICS,
    ORGANIZATIONS,
    PANELS,
    POSTED,
    REFUSED,
    RUNBOOK,
    SOURCES,
    WRONG,
)
from ledger.entries import Entry, checked
from ledger.numbers import Numbers
from ledger.paths import declared
from ledger.records import journal, organizations, totals
from ledger.records.organizations import Organization
from ledger.records.posting import Posted, UnbalancedEntry, UnknownAccount, post, prepared
from ledger.scope import Scope, scoped
from ledger.tables import ORGANIZATIONS as ORGANIZATIONS_TABLE

__all__ = ["Books", "BooksSettings", "NoSuchEntry", "Source", "Taken"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Source = Literal["single", "batch", "import"]
#: Seconds between two counts of organisations.
COUNT_EVERY: Final = 60.0
#: Entries that are prepared on the event loop, in less than a millisecond.
_FEW: Final = 20
#: Faults that are told one by one in the log.
_TOLD: Final = 20


class Taken(BedplateError, Answering):
    """The reference belongs to another entry, or what was to be reversed is; over HTTP a 409."""

    status = 409
    answer = "The reference belongs to another entry, or what you reverse is reversed already. Nothing was posted."

    def __init__(self, posted: Sequence[Posted]) -> None:
        places = [place for place, one in enumerate(posted) if one.outcome == "taken"]
        super().__init__("A reference belongs to another entry.", "Give it one of its own.")
        self.headers = None
        self.places = places
        self.id = posted[places[0]].id


class NoSuchEntry(BedplateError, Answering):
    """An entry that the organisation does not have; over HTTP a 404."""

    status = 404
    answer = "You have no such entry."

    def __init__(self) -> None:
        super().__init__("There is no such entry.", "See the journal for those that there are.")
        self.headers = None


class BooksSettings(Section):
    """How the books are checked."""

    check_every: Annotated[Seconds, Field(gt=0)] = 10.0
    """Seconds between two checks, each of some organisations, until all had their turn, and again."""

    check_at_once: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    """Organisations whose books are checked at once."""

    threads: Annotated[int, Field(ge=1, le=64)] = 2
    """Threads that prepare batches and read files."""

    waiting: Annotated[int, Field(ge=0, le=10_000)] = 64
    """Batches and files that may wait for a thread; beyond them requests are answered 503 at once."""


class Books:
    """Keeps what organisations earn and spend, in double entry, each to itself.

    :param cache: where accounts are kept near, and reports, dropped by the tag ``organization:<id>``.
    """

    def __init__(self, settings: BooksSettings | None = None, *, database: Database, cache: Cache) -> None:
        self.settings = settings or BooksSettings()
        self.database = database
        self.cache = cache
        self._numbers = Numbers(database)
        self._accounts = cache.cached(key="accounts:{organization}", tags=("accounts:{organization}",))(self._read)
        self._pool = Pool("posting", threads=self.settings.threads, waiting=self.settings.waiting)
        self._host: Host | None = None
        self._next = 1
        #: What is wrong, by organisation.
        self._wrong: dict[int, int] = {}
        self._counts: dict[str, int] = {"organizations": 0, "checked": 0, "rounds": 0}

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="books",
            summary="Keeps the books of organisations in double entry, and checks that they balance.",
            needs=(self.database, self.cache),
            settings=self.settings,
            scope="cluster",
            metrics=METRICS,
            probes=(
                Probe(
                    name="trial-balance",
                    check=self._balanced,
                    summary="All books that were checked balance.",
                    critical=False,
                    failures=1,
                ),
            ),
            alerts=ALERTS,
            panels=PANELS,
            checks=CHECKS,
            runbook=RUNBOOK,
        )

    def migrations(self) -> Migrations:
        """Return the revisions of the tables."""
        numbers = (
            ("ledger_numbers.entries", "ledger_entries_numbers"),
            ("ledger_numbers.organizations", "ledger_organizations_numbers"),
        )
        return Migrations(name="ledger", package="ledger.revisions", numbers=numbers)

    def indexes(self) -> tuple[Index, ...]:
        """Return the indexes, each with the question that it serves."""
        return declared()

    def overview(self) -> Mapping[str, Any]:
        """Return what one page tells of all books."""
        return {
            "organizations": self._counts["organizations"],
            "checked": self._counts["checked"],
            "rounds": self._counts["rounds"],
            "wrong": len(self._wrong),
            "trialBalanceDifference": sum(self._wrong.values()),
        }

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Check books while inside, in one process of each host."""
        self._host = host
        for kind in KINDS:
            for source in SOURCES:
                host.bind(POSTED, kind=kind, source=source)
        for reason in ("known", "taken", "account", "unbalanced"):
            host.bind(REFUSED, reason=reason)
        for gauge in (ORGANIZATIONS, DIFFERENCE, WRONG):
            host.bind(gauge).set(0)
        host.bind(CHECKED_AT).set(host.clock.time())
        host.spawn("check books", lambda: self._keep_checking(host), lease=HostLease("ledger-check"))
        with self._pool.running():
            yield
        self._host = None

    # Whose transaction it is

    def reading(self, organization: int, *, stale_ok: bool = False) -> AbstractAsyncContextManager[Scope]:
        """Open a transaction of an organisation to read, of a replica where there is one; it sees what was written.

        :raises DatabaseUnavailableError: when the database is away.
        """
        return scoped(self.database.read(stale_ok=stale_ok), organization)

    def looking(self, organization: int) -> AbstractAsyncContextManager[Scope]:
        """Open one to read of the primary: for what is cached, which must not be the past that a replica shows."""
        return scoped(self.database.connect(), organization)

    def writing(self, organization: int) -> AbstractAsyncContextManager[Scope]:
        """Open one to write. :raises DatabaseUnavailableError: when the database is away."""
        return scoped(self.database.begin(), organization)

    # Organisations and accounts

    async def open(self, name: str, currency: str) -> Organization:
        """Add an organisation, with the usual chart of accounts."""
        now = self.now()
        return await self.database.run(lambda connection: organizations.create(connection, name, currency, now))

    async def organization(self, organization: int) -> Organization | None:
        """Return an organisation."""
        async with self.reading(organization) as scope:
            found = await organizations.by_id(scope)
        if found is None:
            # It may have been opened a moment ago, and a replica not know it yet.
            async with self.looking(organization) as scope:
                found = await organizations.by_id(scope)
        return found

    async def accounts(self, organization: int) -> dict[str, Account]:
        """Return the chart of accounts of an organisation, by code."""
        return {account[0]: Account(*account) for account in await self._accounts(organization)}

    async def _read(self, organization: int) -> list[tuple[str, str, AccountKind, bool]]:
        async with self.looking(organization) as scope:
            return [(*account,) for account in await organizations.accounts(scope)]

    async def add_account(self, organization: int, account: Account) -> bool:
        """Open an account; False when its code is taken."""
        async with self.writing(organization) as scope:
            added = await organizations.add_account(scope, account)
        if added:
            self._running().bind(ACCOUNTS_OPENED).inc()
        # Of one that is there, too: whoever opened it may have ended before he dropped what is cached.
        await self._accounts_changed(organization)
        return added

    async def change_account(self, organization: int, code: str, values: Mapping[str, Any]) -> bool:
        """Change the name of an account, or whether it is closed; False when there is none."""
        async with self.writing(organization) as scope:
            changed = await organizations.change_account(scope, code, values)
        await self._accounts_changed(organization)
        return changed

    # Posting

    async def post(self, organization: int, entries: Sequence[Entry], source: Source = "single") -> list[Posted]:
        """Post entries, all in one transaction; return what became of each.

        What was posted before, by its reference, is told and not posted again.

        :raises BadEntry: when one cannot be posted. :raises Taken: when one has the reference of another; nothing has
            been posted then, except from imports. :raises UnknownAccount: when an account is not there.
        :raises OutcomeUnknownError: when the database went away during the commit; with a reference, it is safe to post
            again.
        """
        began, ids, now = time.perf_counter(), await self.numbers(len(entries)), self.now()
        if len(entries) > _FEW:
            portions = await self._pool.run(_prepared, entries, ids, self.database.dialect)
        else:
            portions = _prepared(entries, ids, self.database.dialect)

        async def work(scope: Scope) -> list[Posted]:
            posted = await post(scope, entries, ids, portions, now)
            if source != "import" and any(one.outcome == "taken" for one in posted):
                raise Taken(posted)
            return posted

        posted = await self.carried_out(organization, work)
        kinds = Counter(
            (entry.kind if entry.reverses is None else "reversal") if one.outcome == "added" else one.outcome
            for entry, one in zip(entries, posted, strict=True)
        )
        await self.told(organization, source, kinds, time.perf_counter() - began)
        return posted

    async def carried_out(self, organization: int, work: Callable[[Scope], Awaitable[T]]) -> T:
        """Carry out a transaction that posts, of an organisation; call :meth:`told` then.

        :raises BedplateError: as :meth:`post` does; nothing has been posted then.
        """
        host = self._running()

        async def carry_out(connection: AsyncConnection) -> T:
            scope = Scope(connection, organization)
            await scope.enter()
            return await work(scope)

        try:
            return await self.database.run(carry_out)
        except Taken as error:
            host.bind(REFUSED, reason="taken").inc(len(error.places))
            raise
        except (UnknownAccount, UnbalancedEntry) as error:
            host.bind(REFUSED, reason="account" if isinstance(error, UnknownAccount) else "unbalanced").inc()
            raise
        except OutcomeUnknownError:
            # It may be there, and reports are not to tell the contrary.
            await self.changed(organization)
            raise

    async def told(self, organization: int, source: Source, kinds: Mapping[str, int], seconds: float) -> None:
        """Count what was posted, by its kind, or why it was not; and drop what is cached of the organisation."""
        host = self._running()
        for kind, count in kinds.items():
            cell = host.bind(POSTED, kind=kind, source=source) if kind in KINDS else host.bind(REFUSED, reason=kind)
            cell.inc(count)
        host.bind(DURATION, source=source).observe(seconds)
        # Of what is known, too: whoever posted it may have ended before he dropped the reports.
        await self.changed(organization)

    async def reverse(self, organization: int, id: int, day: date | None, memo: str) -> Posted:
        """Take an entry back by another that is its opposite; once, however often it is asked for.

        :param day: of the reversal; None for the entry's own. :raises NoSuchEntry: when there is none.
        :raises Taken: when it is reversed already; its ``id`` is the reversal.
        """
        async with self.looking(organization) as scope:
            booked = await journal.by_id(scope, id)
            if booked is None:
                raise NoSuchEntry
            entry = await journal.entry_of(scope, booked)
        (posted,) = await self.post(organization, [entry.reversed(id, day or entry.day, memo or f"Reverses {id}")])
        return posted

    async def changed(self, organization: int) -> None:
        """Drop what is cached of an organisation; after the commit."""
        await self.cache.invalidate(tags=(f"organization:{organization}",))

    def now(self) -> int:
        """Return the service's time in microseconds since 1970."""
        return int(self._running().clock.time() * 1e6)

    async def apart(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call what takes long in a thread. :raises Busy: when enough is waiting."""
        return await self._pool.run(fn, *args, **kwargs)

    async def numbers(self, count: int) -> list[int]:
        """Return so many numbers that nobody else gets; outside of a transaction."""
        return await self._numbers.take(count)

    # Checking

    async def check(self) -> int:
        """Check the books of the organisations whose turn it is; return how many those were, 0 at the end of a round.

        :raises DatabaseUnavailableError: when the database is away.
        """
        host, first = self._running(), self._next
        async with self.database.connect() as connection:
            query = select(ORGANIZATIONS_TABLE.c.id).where(ORGANIZATIONS_TABLE.c.id >= first)
            ids = query.order_by(ORGANIZATIONS_TABLE.c.id).limit(self.settings.check_at_once).subquery()
            count, last = (await connection.execute(select(func.count(), func.max(ids.c.id)))).one()
            found = await totals.differences(connection, first, last) if count else []
        if not count:
            self._next = 1
            self._counts["rounds"] += 1
            return 0
        self._next = last + 1
        self._counts["checked"] += count
        self._wrong = {one: amount for one, amount in self._wrong.items() if not first <= one <= last}
        for one in found:
            self._wrong[one.organization] = self._wrong.get(one.organization, 0) + abs(one.amount)
        for one in found[:_TOLD]:
            host.log.error("books_wrong", **one._asdict())
        host.bind(CHECKED).inc(count)
        host.bind(CHECKED_AT).set(host.clock.time())
        host.bind(DIFFERENCE).set(sum(self._wrong.values()))
        host.bind(WRONG).set(len(self._wrong))
        return int(count)

    async def _keep_checking(self, host: Host) -> None:
        counted = -COUNT_EVERY
        while True:
            try:
                if host.clock.monotonic() - counted >= COUNT_EVERY:
                    counted = host.clock.monotonic()
                    async with self.database.read(stale_ok=True) as connection:
                        self._counts["organizations"] = await organizations.count(connection)
                    host.bind(ORGANIZATIONS).set(self._counts["organizations"])
                await self.check() or await self.check()
                host.bind(CHECKED_AT).set(host.clock.time())
            except DatabaseUnavailableError as error:
                host.log.warning("check_failed", error=str(error))
            await host.clock.sleep(self.settings.check_every)

    async def _balanced(self) -> str:
        if self._wrong:
            raise BedplateError(
                f"The books of {len(self._wrong)} organisations are wrong by {sum(self._wrong.values())} minor units.",
                "See the runbook of BooksOutOfBalance.",
            )
        return f"{self._counts['checked']} organisations checked, difference 0"

    # Helpers

    async def _accounts_changed(self, organization: int) -> None:
        await self.cache.invalidate(tags=(f"accounts:{organization}", f"organization:{organization}"))

    def _running(self) -> Host:
        if self._host is None:
            raise BedplateError("The books are not in use.", "Use them inside the service.")
        return self._host


def _prepared(entries: Sequence[Entry], ids: Sequence[int], dialect: str) -> list[Any]:
    checked(entries)
    return prepared(entries, ids, dialect)
