"""Merging: the cells of all processes of one host as one array of words.

Each process' segment is read through its own mapping; a permutation, built once from its index, says where each of
its words goes. A merge is then a few vectorised additions, whatever the number of series. Segments of dead processes
(their lock can be taken) are folded into a *tombstone*, a segment of sums with no owner: written to new files, then
published by renaming one small pointer file that also names what it has folded. A crash at any step leaves either the
old pointer and the dead files, or the new pointer and dead files that it names as folded: no increment is lost or
counted twice, and the cost of a scrape does not grow with the number of processes that ever lived.

Whoever waits for a snapshot may be cancelled at any ``await``; the next snapshot goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from bedplate.problems import BedplateError
from bedplate.telemetry.metrics.cells import Writer
from bedplate.telemetry.metrics.series import Family, Series
from bedplate.telemetry.metrics.sources import FileSource, OwnSource, Source, Words
from bedplate.telemetry.metrics.tombstone import Pointer, Tombstones

__all__ = ["Exemplar", "Merger", "Snapshot"]

#: Index lines parsed, or samples laid out, before the event loop gets its turn.
SLICE = 400

#: Seconds that a scrape waits for another process' scrape.
PATIENCE = 5.0

_LOCK = "fold.lock"

#: Trace id, span id, observed value, Unix time.
Exemplar = tuple[str, str, float, float]

_logger = logging.getLogger("bedplate.metrics")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Merged values at one moment.

    :ivar version: changes when a series comes or goes. :ivar series: those that are exposed, family by family.
    :ivar exemplars: by the word of their bucket; empty unless asked for.
    :ivar silent: families that are declared and have no series yet.
    """

    version: int
    series: tuple[Series, ...]
    words: Words
    exemplars: dict[int, Exemplar]
    silent: tuple[Family, ...] = ()


class Merger:
    """Reads, merges and folds; belongs to one process, agrees with others through one lock file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._directory = writer.directory
        self._tombstones = Tombstones(writer.directory) if writer.directory is not None else None
        self._families: dict[str, Family] = {}
        self._sources: dict[str, Source] = {}
        self._leaving: deque[Series] = deque()
        self._tombstone = ""
        self._size = 0
        self._version = 0
        self._shown: tuple[Series, ...] = ()
        self._silent: tuple[Family, ...] = ()
        self._shown_version = -1
        self._turn: asyncio.Lock | None = None
        self._turn_loop: asyncio.AbstractEventLoop | None = None

    def declare(self, described: dict[str, Any]) -> None:
        """Say how this process declares a family: what others have under its name must have the same form."""
        if described["name"] not in self._families:
            self._families[described["name"]] = _family(described)
            self._version += 1

    async def snapshot(self, *, exemplars: bool = False) -> Snapshot:
        """Return the merged values of this moment.

        :raises BedplateError: when another process of the host has held the lock for longer than :data:`PATIENCE`.
        """
        async with self._own_turn(), self._host_turn():
            await self._discover()
            words, copies = await self._merge()
            if self._shown_version != self._version:
                self._shown = await self._visible()
                self._shown_version = self._version
            found = await self._exemplars(copies) if exemplars else {}
            return Snapshot(self._version, self._shown, words, found, self._silent)

    def close(self) -> None:
        """Close the files of other processes."""
        for source in self._sources.values():
            source.close()
        self._sources.clear()

    @asynccontextmanager
    async def _own_turn(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        if self._turn is None or self._turn_loop is not loop:
            self._turn, self._turn_loop = asyncio.Lock(), loop
        async with self._turn:
            yield

    @asynccontextmanager
    async def _host_turn(self) -> AsyncIterator[None]:
        if self._directory is None:
            yield
            return
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise BedplateError(
                            "Another process of this host has been scraping for too long.",
                            "One of the service's processes is stuck or stopped; see which, and restart it.",
                        ) from None
                    await asyncio.sleep(0.001)
            yield
        finally:
            os.close(descriptor)

    async def _discover(self) -> None:
        own = {segment.id for segment in self._writer.segments}
        for segment in self._writer.segments:
            if segment.id not in self._sources:
                self._sources[segment.id] = OwnSource(segment)
        dead: list[str] = []
        if self._tombstones is not None:
            pointer = self._tombstones.read()
            others = self._tombstones.others(pointer)
            for name in self._sources.keys() - others - own - {pointer.segment}:
                # Another process has folded it: now it is in the tombstone.
                self._forget(name)
            self._adopt(pointer)
            for name in others - own - self._sources.keys():
                with contextlib.suppress(FileNotFoundError):
                    self._sources[name] = FileSource(self._tombstones.directory, name)
            dead = [name for name, source in self._sources.items() if name in others - own and source.dead()]
        for source in list(self._sources.values()):
            source.read()
            await self._parse(source)
        if dead:
            await self._fold(dead)
        await self._take_leave()

    async def _parse(self, source: Source) -> None:
        number = 0
        while source.pending:
            line = source.pending.popleft()
            try:
                self._understand(source, orjson.loads(line))
            except (ValueError, LookupError, TypeError):
                _logger.warning("The index of %s has a line that cannot be read; it is left out.", source.name)
            number += 1
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _understand(self, source: Source, entry: Any) -> None:
        if isinstance(entry, dict):
            number = entry.pop("family")
            family = self._families.setdefault(entry["name"], described := _family(entry))
            if family.form == described.form:
                source.families[number] = family
            else:
                # Another version of the service runs beside this one, or ran here before.
                source.families[number] = None
                _logger.warning("%s is declared otherwise by another process; its part is left out.", family.name)
            return
        number, offset, labels = entry
        known = source.families[number]
        if known is not None:
            series = self._series(known, tuple(tuple(item) if isinstance(item, list) else item for item in labels))
            source.place(series, offset)
            self._version += series.owners == 0
            series.owners += 1

    def _series(self, family: Family, labels: tuple[Any, ...]) -> Series:
        series = family.series.get(labels)
        if series is None:
            series = family.series[labels] = Series(family, labels, self._size)
            self._size += family.width
            self._version += 1
        return series

    async def _visible(self) -> tuple[Series, ...]:
        shown: list[Series] = []
        silent: list[Family] = []
        rested = 0
        for name in sorted(self._families):
            family, before = self._families[name], len(shown)
            shown += [series for series in family.series.values() if series.shown]
            if len(shown) == before and not family.raw:
                silent.append(family)
            if len(shown) - rested >= 10 * SLICE:
                rested = len(shown)
                await asyncio.sleep(0)
        self._silent = tuple(silent)
        return tuple(shown)

    async def _merge(self) -> tuple[Words, list[tuple[Source, Words]]]:
        total: Words = np.zeros(self._size)
        copies: list[tuple[Source, Words]] = []
        fills: dict[str, Words] = {}
        for source in list(self._sources.values()):
            if copies:
                await asyncio.sleep(0)
            words = source.copy()
            copies.append((source, words))
            for operation in source.operations:
                at, to = source.permutation(operation)
                if operation in ("total", "sum"):
                    total[to] += words[at]
                elif operation == "last":
                    newer = words[at + 1] >= total[to + 1]
                    total[to[newer]] = words[at[newer]]
                    total[to[newer] + 1] = words[at[newer] + 1]
                else:
                    # A worst case over the processes that have the series; NaN marks where none was seen yet.
                    seen = fills.setdefault(operation, np.full(self._size, np.nan))
                    seen[to] = (np.fmax if operation == "max" else np.fmin)(seen[to], words[at])
        for seen in fills.values():
            where = ~np.isnan(seen)
            total[where] = seen[where]
        return total, copies

    async def _exemplars(self, copies: list[tuple[Source, Words]]) -> dict[int, Exemplar]:
        latest: dict[int, Exemplar] = {}
        number = 0
        for source, words in copies:
            integers = words.view(np.uint64)
            places, buckets = source.exemplars(words)
            for at, to in zip(places.tolist(), buckets.tolist(), strict=True):
                value, when = float(words[at + 1]), float(words[at + 2])
                known = latest.get(to)
                if known is None or known[3] < when:
                    trace = f"{int(integers[at + 3]):016x}{int(integers[at + 4]):016x}"
                    latest[to] = (trace, f"{int(integers[at + 5]):016x}", value, when)
                number += 1
                if number % SLICE == 0:
                    await asyncio.sleep(0)
        return latest

    async def _fold(self, dead: list[str]) -> None:
        assert self._tombstones is not None
        names = [*dead, self._tombstone] if self._tombstone else dead
        sums: Words = np.zeros(self._size)
        survivors: dict[int, Series] = {}
        for name in names:
            source = self._sources[name]
            at, to = source.permutation("total")
            sums[to] += source.copy()[at]
            for start in range(0, len(source.series), SLICE):
                survivors |= {s.base: s for s in source.series[start : start + SLICE] if s.family.survives}
                await asyncio.sleep(0)
        pointer = await self._tombstones.publish(list(survivors.values()), sums, dead)
        for name in dead:
            self._forget(name)
        self._adopt(pointer)
        await asyncio.sleep(0)
        self._tombstones.others(pointer)
        await self._parse(self._sources[self._tombstone])

    def _adopt(self, pointer: Pointer) -> None:
        """Follow the tombstone that another process, or this one, has published."""
        assert self._tombstones is not None
        if pointer.segment != self._tombstone:
            fresh = FileSource(self._tombstones.directory, pointer.segment, exemplars=False)
            self._forget(self._tombstone)
            self._sources[pointer.segment] = fresh
            self._tombstone = pointer.segment
            fresh.read()

    def _forget(self, name: str) -> None:
        source = self._sources.pop(name, None)
        if source is not None:
            self._leaving.extend(source.series)
            source.close()

    async def _take_leave(self) -> None:
        """Take from each series the owners that were forgotten."""
        while self._leaving:
            for _ in range(min(len(self._leaving), 5 * SLICE)):
                self._leaving.popleft().owners -= 1
            self._version += 1
            await asyncio.sleep(0)


def _family(described: dict[str, Any]) -> Family:
    lists = {key: tuple(described.get(key, ())) for key in ("labels", "buckets")}
    return Family(**{**described, **lists})
