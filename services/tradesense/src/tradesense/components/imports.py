"""Importing the files of brokers: one at a time for each user, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field
from uuid_utils import uuid7

from bedplate.component import Host, Spec
from bedplate.problems import BedplateError
from bedplate.settings import Section
from bedplate.state.events import Events, EventsUnavailableError, Stream
from bedplate.state.locks import Locks
from bedplate.telemetry.traces import traced
from tradesense.components.pool import Pool
from tradesense.components.records import Records
from tradesense.components.signals.imports import ALERTS, DURATION, FILES, METRICS, PANELS, ROWS, RUNBOOK
from tradesense.importing import PRESETS, BadFile, Known, Mapping, Reading, decode, fresh, read
from tradesense.records import imports, trades
from tradesense.records.imports import Import
from tradesense.records.users import User
from tradesense.trades import Trade

__all__ = ["ImportSettings", "Imported", "Imports"]

#: Faults that are told of one file.
TOLD: Final = 200
#: Lines that a file may have besides as many as it may have trades: titles, headers, sums.
BESIDE: Final = 100


class ImportSettings(Section):
    """How large files may be, and how many are read at once."""

    rows: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """Trades that one file may have."""

    threads: Annotated[int, Field(ge=1, le=16)] = 1
    """Files that are read at once."""

    waiting: Annotated[int, Field(ge=0, le=1_000)] = 8
    """Files that may wait for it."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A file has added trades."""

    user_id: str
    import_id: str
    added: int


class Imports:
    """Turns files into trades.

    A file is imported under a lock of its user, in one transaction: two that come at once, on any instances, add no
    trade twice, and one that fails adds none.

    :param imported: the stream that is told of files that added trades.
    """

    def __init__(
        self, settings: ImportSettings | None = None, *, records: Records, locks: Locks, events: Events,
        imported: Stream[Imported],
    ) -> None:  # fmt: skip
        self.settings = settings or ImportSettings()
        self._records = records
        self._locks = locks
        self._events = events
        self._imported = imported
        self.pool = Pool("imports", threads=self.settings.threads, waiting=self.settings.waiting)
        self._host: Host | None = None

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="imports",
            summary="Imports trades from the files of brokers, each trade once.",
            needs=(self._records, self._locks, self._events),
            settings=self.settings,
            metrics=METRICS,
            alerts=ALERTS,
            panels=PANELS,
            runbook=RUNBOOK,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Have threads for reading files while inside."""
        self._host = host
        self._duration = host.bind(DURATION)
        for outcome in ("whole", "partly", "unreadable", "failed"):
            host.bind(FILES, broker="generic", outcome=outcome)
        for outcome in ("added", "known", "skipped", "faulty"):
            host.bind(ROWS, broker="generic", outcome=outcome)
        with self.pool.running(lambda count: None, lambda: None):
            yield
        self._host = None

    async def run(
        self, user: User, body: bytes, *, mapping: Mapping | None = None, account: str = "", name: str = ""
    ) -> Import:
        """Import a file; return what came of it.

        :param mapping: what its columns mean; None to recognise it. :param account: whose trades they are, where no
            column says so. :param name: what the user calls the file.
        :raises BadFile: when no mapping fits, or there is too much in it.
        :raises LockTakenError: when another file of the user takes too long.
        :raises Busy: when enough files are being read.
        """
        began = time.perf_counter()
        broker = _label(mapping)
        try:
            reading = await self.pool.run(_read, body, mapping, account, self.settings.rows)
            broker = _label(reading.mapping)
            if len(reading.trades) > self.settings.rows:
                raise _too_many(f"{len(reading.trades):,} trades", self.settings.rows)
            async with self._locks.hold(f"import:{user.id}", wait=15.0):
                done = await self._keep(user, reading, name)
        except BadFile as error:
            self._count(broker if broker in PRESETS else "unknown", "unreadable")
            assert self._host is not None
            self._host.log.info("import_unreadable", broker=broker, reason=error.what)
            raise
        except BaseException:
            self._count(broker, "failed")
            raise
        self._count(broker, "partly" if done.faults else "whole", done)
        self._duration.observe(time.perf_counter() - began)
        if done.added:
            self._records.recorded("import", done.added)
            await self._records.changed(user.id)
            with suppress(EventsUnavailableError):  # whoever would work on it makes answers come sooner, no more
                await self._imported.add(Imported(user.id, done.id, done.added), key=done.id)
        return done

    async def undo(self, user_id: str, import_id: str = "") -> int:
        """Delete the trades of an import, or all of a user's; return how many there were."""
        async with self._locks.hold(f"import:{user_id}", wait=15.0), self._records.writing() as connection:
            count = await trades.delete_all(connection, user_id, import_id)
            if import_id:
                await imports.delete(connection, user_id, import_id)
        await self._records.changed(user_id)
        return count

    async def _keep(self, user: User, reading: Reading, name: str) -> Import:
        assert self._host is not None
        now = self._host.clock.time()
        found = reading.trades
        async with self._records.writing() as connection:
            id, rows = str(uuid7()), []
            if found:
                known = await trades.fingerprints(connection, user.id, found[0].at, found[-1].at)
                rows = await self.pool.run(_new_rows, user.id, found, known, now, id)
            done = Import(
                id=id, at=int(now * 1e6), broker=reading.mapping.broker, name=name, added=len(rows),
                known=len(found) - len(rows), skipped=reading.skipped, faults=len(reading.faults),
                told=[
                    {"line": fault.line, "column": fault.column, "what": fault.what, "mend": fault.mend}
                    for fault in reading.faults[:TOLD]
                ],
            )  # fmt: skip
            await trades.add(connection, rows)
            await imports.add(connection, user.id, done)
        return done

    def _count(self, broker: str, outcome: str, done: Import | None = None) -> None:
        host = self._host
        if host is None:
            raise BedplateError("Imports do not run.", "Use them inside the service.")
        host.bind(FILES, broker=broker, outcome=outcome).inc()
        if done is not None:
            rows = {"added": done.added, "known": done.known, "skipped": done.skipped, "faulty": done.faults}
            for kind, count in rows.items():
                host.bind(ROWS, broker=broker, outcome=kind).inc(count)


def _label(mapping: Mapping | None) -> str:
    if mapping is None:
        return "unknown"
    return mapping.broker if mapping.broker in PRESETS else "own"


def _new_rows(
    user_id: str, found: Sequence[Trade], known: Sequence[Known], now: float, import_id: str
) -> list[dict[str, Any]]:
    return trades.rows_of(user_id, [found[place] for place in fresh(found, known)], now, import_id)


@traced("read_file")
def _read(body: bytes, mapping: Mapping | None, account: str, most: int) -> Reading:
    text = decode(body)
    # Reading takes seconds where counting takes milliseconds.
    lines = sum(1 for line in text.splitlines() if line.strip())
    if lines > most + BESIDE:
        raise _too_many(f"{lines:,} lines", most)
    return read(text, mapping, account=account)


def _too_many(found: str, most: int) -> BadFile:
    return BadFile(f"The file has {found}.", f"Split it: {most:,} trades are taken at once.")
