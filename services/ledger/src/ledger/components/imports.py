"""Imports: CSV files to entries, each row once."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from bedplate.component import Host, Spec
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.state.locks import Locks
from ledger.chart import Account
from ledger.components.books import Books
from ledger.components.signals.imports import ALERTS, DURATION, FILES, METRICS, PANELS, ROWS, RUNBOOK
from ledger.entries import Entry
from ledger.reading import EXPORTED, BadFile, Reading, read
from ledger.records import imports, journal
from ledger.records.imports import Import
from ledger.records.posting import Posted

__all__ = ["ImportSettings", "Imports"]

#: Faults that are told one by one.
_TOLD: Final = 100
_EXPORTED: Final = re.compile(re.escape(EXPORTED) + r"(\d{1,18})", re.ASCII)


class ImportSettings(Section):
    """What a file may have."""

    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Rows of a file; it is posted in one transaction."""


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
        for outcome in ("whole", "partly", "unreadable", "failed"):
            host.bind(FILES, outcome=outcome)
        for outcome in ("added", "known", "faulty"):
            host.bind(ROWS, outcome=outcome)
        yield
        self._host = None

    async def run(self, organization: int, body: bytes, currency: str, name: str = "") -> Import:
        """Import a file; return what came of it.

        :param currency: where no column says one. :param name: what the organisation calls the file.
        :raises BadFile: when it is no such file, or has too much in it. :raises Busy: when enough are being read.
        :raises LockTakenError: when another file of the organisation takes too long.
        """
        began, accounts = time.perf_counter(), await self._books.accounts(organization)
        try:
            reading = await self._books.apart(_read, body, accounts, currency, self.settings.rows)
            async with self._locks.hold(f"import:{organization}", wait=15.0):
                done = await self._keep(organization, reading, name)
        except BadFile:
            self._count("unreadable")
            raise
        except BaseException:
            self._count("failed")
            raise
        self._count("partly" if done.faulty else "whole", done)
        self._running().bind(DURATION).observe(time.perf_counter() - began)
        return done

    async def _keep(self, organization: int, reading: Reading, name: str) -> Import:
        posted = await self._post(organization, reading.entries)
        # In a thread, but not of those that refuse when enough is waiting: it is posted by now.
        told, outcomes = await asyncio.to_thread(_summed, reading, posted)
        added, known, taken = outcomes["added"], outcomes["known"], outcomes["taken"]
        done = Import(
            id=await self._books.number(), name=name, added=added, known=known, faulty=len(reading.faults) + taken,
            at=self._books.now(), told=told[:_TOLD],
        )  # fmt: skip
        async with self._books.writing(organization) as scope:
            await imports.add(scope, done)
        return done

    async def _post(self, organization: int, entries: Sequence[Entry]) -> list[Posted]:
        """Post entries, but for those of the organisation's own that come back from an export by their numbers."""
        named = {
            place: int(found[1])
            for place, entry in enumerate(entries)
            if (found := _EXPORTED.fullmatch(entry.reference))
        }
        there: dict[int, Posted] = {}
        if named:
            async with self._books.looking(organization) as scope:
                digests = await journal.unnamed(scope, sorted(set(named.values())))
            there = await self._books.apart(_there, entries, named, digests)
        others = [entry for place, entry in enumerate(entries) if place not in there] if there else entries
        posted = iter(await self._books.post(organization, others, "import") if others else [])
        return [there[place] if place in there else next(posted) for place in range(len(entries))]

    def _count(self, outcome: Literal["whole", "partly", "unreadable", "failed"], done: Import | None = None) -> None:
        host = self._running()
        host.bind(FILES, outcome=outcome).inc()
        if done is not None:
            for kind, count in (("added", done.added), ("known", done.known), ("faulty", done.faulty)):
                host.bind(ROWS, outcome=kind).inc(count)

    def _running(self) -> Host:
        if self._host is None:
            raise BedplateError("Imports do not run.", "Use them inside the service.")
        return self._host


def _read(body: bytes, accounts: dict[str, Account], currency: str, most: int) -> Reading:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"Byte {error.start + 1} of the file is no UTF-8.", "Save it as UTF-8.") from None
    return read(text, accounts, currency, most)


def _there(entries: Sequence[Entry], named: Mapping[int, int], digests: Mapping[int, int]) -> dict[int, Posted]:
    return {
        place: Posted(id, "known" if entries[place].digest() == digests[id] else "taken")
        for place, id in named.items()
        if id in digests
    }


def _summed(reading: Reading, posted: Sequence[Posted]) -> tuple[list[dict[str, Any]], Counter[str]]:
    return _told(reading, posted), Counter(one.outcome for one in posted)


def _told(reading: Reading, posted: Sequence[Posted]) -> list[dict[str, Any]]:
    told = [
        {"line": fault.line, "column": fault.column, "what": fault.what, "mend": fault.mend} for fault in reading.faults
    ]
    told += [
        {
            "line": line,
            "column": "reference",
            "what": f"The reference belongs to entry {one.id}, which says something else.",
            "mend": "Give the row a reference of its own, or reverse that entry.",
        }
        for line, one in zip(reading.lines, posted, strict=True)
        if one.outcome == "taken"
    ]
    return sorted(told, key=lambda fault: fault["line"])
