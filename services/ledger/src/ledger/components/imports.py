"""Imports: CSV files to entries, each row once."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Final, Literal, get_args

from pydantic import Field

from bedplate.component import Host, Spec
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.state.answering import Answering
from bedplate.state.locks import Locks, LockTakenError
from ledger.components.books import Books
from ledger.components.filing import Filing, Outcome
from ledger.components.pool import Busy, Pool
from ledger.components.signals.imports import ALERTS, DURATION, FILES, METRICS, PANELS, ROWS, RUNBOOK
from ledger.reading import BadFile, Reader, lines_of
from ledger.records import imports
from ledger.records.imports import Import
from ledger.scope import Scope

__all__ = ["ImportSettings", "Imports", "TooManyFiles"]

#: Seconds that a file waits for another of its organisation.
_PATIENCE: Final = 15.0
_FileOutcome = Literal["whole", "partly", "unreadable", "failed", "refused"]


class TooManyFiles(BedplateError, Answering):
    """So many files of an organisation are being imported that it is to wait for one of them; over HTTP a 429."""

    status = 429

    def __init__(self, most: int) -> None:
        answer = f"{most} of your files are being imported. Send the next when one of them is done."
        super().__init__("Enough files of the organisation are being imported.", "Wait for one of them.")
        self.detail = answer
        self.headers = {"Retry-After": "5"}


class ImportSettings(Section):
    """What a file may have."""

    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Rows of a file; it is posted in one transaction."""

    at_once: Annotated[int, Field(ge=1, le=64)] = 2
    """Files that one process posts at once; further ones wait for their turn."""

    waiting: Annotated[int, Field(ge=0, le=10_000)] = 16
    """Files that may wait in one process; beyond them they are answered 503 at once."""

    each: Annotated[int, Field(ge=1, le=1_000)] = 4
    """Files of one organisation that one process takes, one at work and the others waiting; beyond them it is 429."""


class Imports:
    """Posts the rows of files.

    A file is imported under a lock of its organisation, in one transaction. What a row is called by is unique in the
    database, so that two files at once, on any instances, add no row twice even without the lock: it only saves one of
    them the waiting.
    """

    def __init__(self, settings: ImportSettings | None = None, *, books: Books, locks: Locks) -> None:
        self.settings = settings or ImportSettings()
        self._books = books
        self._locks = locks
        # While a portion is prepared the next is read, so each file that has its turn finds a place here.
        self._pool = Pool("importing", threads=self.settings.at_once, waiting=2 * self.settings.at_once)
        #: Files that have a place, by organisation.
        self._places: Counter[int] = Counter()
        self._turns = asyncio.Semaphore(self.settings.at_once)
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="imports",
            summary="Imports transactions from CSV files, each row once.",
            needs=(self._books, self._locks),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count files while inside."""
        self._host = host
        for outcome in get_args(_FileOutcome):
            host.bind(FILES, outcome=outcome)
        for outcome in ("added", "known", "faulty"):
            host.bind(ROWS, outcome=outcome)
        self._places.clear()
        self._turns = asyncio.Semaphore(self.settings.at_once)
        with self._pool.running():
            yield
        self._host = None

    @asynccontextmanager
    async def place(self, organization: int) -> AsyncIterator[None]:
        """Have a place for one file, from before its first byte is read, as files that wait are in memory.

        :raises TooManyFiles: (429) when enough of the organisation have one. :raises Busy: (503) when all are taken.
        """
        of, settings = self._places, self.settings
        if of[organization] >= settings.each:
            self._count("refused")
            raise TooManyFiles(settings.each)
        if of.total() >= settings.at_once + settings.waiting:
            self._count("refused")
            raise Busy
        of[organization] += 1
        try:
            yield
        finally:
            of[organization] -= 1
            if not of[organization]:
                del of[organization]

    async def run(self, organization: int, body: bytes, currency: str, name: str = "") -> Import:
        """Import a file, inside of :meth:`place`; return what came of it.

        :param currency: where no column says one. :param name: what the organisation calls the file.
        :raises BadFile: when it is no such file, or has too much in it; nothing has been posted then.
        :raises LockTakenError: when another file of the organisation takes too long.
        """
        began = time.perf_counter()
        try:
            # Of one organisation one waits here for the other, and takes no turn from others meanwhile.
            async with self._locks.hold(f"import:{organization}", wait=_PATIENCE), self._turns:
                done = await self._file(organization, body, currency, name)
        except BadFile:
            self._count("unreadable")
            raise
        except LockTakenError:
            # Another one of the organisation takes its time: that is no fault of ours.
            self._count("refused")
            raise
        except BaseException:
            self._count("failed")
            raise
        self._count("partly" if done.faulty else "whole", done)
        self._running().bind(DURATION).observe(time.perf_counter() - began)
        return done

    async def _file(self, organization: int, body: bytes, currency: str, name: str) -> Import:
        books, began = self._books, time.perf_counter()
        accounts = await books.accounts(organization)
        text = await self._pool.run(_text, body)
        # Numbers are not to be had within a transaction, and a file has at most as many rows as lines.
        own, *ids = await books.numbers(min(lines_of(text), self.settings.rows) + 1)

        async def work(scope: Scope) -> tuple[Outcome, Import]:
            reader = await self._pool.run(Reader, text, accounts, currency, self.settings.rows)
            outcome = await Filing(reader, ids, books.now(), scope.dialect, self._pool.run).carry_out(scope)
            done = Import(
                id=own, name=name, added=outcome.added, known=outcome.known, faulty=outcome.faulty, at=books.now(),
                told=outcome.told,
            )  # fmt: skip
            # With what it posted: whoever is told that the books are away has posted nothing.
            await imports.add(scope, done)
            return outcome, done

        outcome, done = await books.carried_out(organization, work)
        kinds = {**outcome.kinds, "known": outcome.known, "taken": outcome.taken}
        await books.told(organization, "import", kinds, time.perf_counter() - began)
        return done

    def _count(self, outcome: _FileOutcome, done: Import | None = None) -> None:
        host = self._running()
        host.bind(FILES, outcome=outcome).inc()
        if done is not None:
            for kind, count in (("added", done.added), ("known", done.known), ("faulty", done.faulty)):
                host.bind(ROWS, outcome=kind).inc(count)

    def _running(self) -> Host:
        if self._host is None:
            raise BedplateError("Imports do not run.", "Use them inside the service.")
        return self._host


def _text(body: bytes) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"Byte {error.start + 1} of the file is no UTF-8.", "Save it as UTF-8.") from None
    return text
