"""Merging: the cells of all processes of one host as one array of words.

Each process' segment is read through its own mapping; a permutation, built once from its index, says where each of
its words goes. A merge is then a few vectorised additions, whatever the number of series. Segments of dead processes
(their lock can be taken) are folded into a *tombstone*, a segment of sums with no owner: written to new files, then
published by renaming one small pointer file that also names what it has folded. A crash at any step leaves either the
old pointer and the dead files, or the new pointer and dead files that it names as folded: no increment is lost or
counted twice, and the cost of a scrape does not grow with the number of processes that ever lived.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bedplate.telemetry.metrics.cells import Writer
from bedplate.telemetry.metrics.instruments import EXEMPLAR_WORDS
from bedplate.telemetry.metrics.series import Family, Series
from bedplate.telemetry.metrics.sources import FileSource, OwnSource, Source, Words

__all__ = ["Merger", "Snapshot"]

#: Index lines parsed, or samples laid out, before the event loop gets its turn.
SLICE = 400

_POINTER = "tombstone.json"
_LOCK = "fold.lock"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Merged values at one moment; ``version`` changes when a series or family comes or goes."""

    version: int
    families: tuple[Family, ...]
    words: Words
    exemplars: dict[int, tuple[str, str, float, float]]


class Merger:
    """Reads, merges and folds; belongs to one process, agrees with others through one lock file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._directory = writer.directory
        self._families: dict[str, Family] = {}
        self._sources: dict[str, Source] = {}
        self._tombstone = ""
        self._size = 0
        self._version = 0
        self._visible: tuple[Family, ...] = ()
        self._turn: asyncio.Lock | None = None
        self._turn_loop: asyncio.AbstractEventLoop | None = None

    async def snapshot(self) -> Snapshot:
        """Return the merged values of this moment."""
        async with self._own_turn(), self._host_turn():
            before = self._version
            await self._discover()
            words, copies = self._merge()
            if before != self._version or not self._visible:
                self._visible = tuple(self._families[name] for name in sorted(self._families))
            return Snapshot(self._version, self._visible, words, self._exemplars(copies))

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
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    await asyncio.sleep(0.001)
            yield
        finally:
            os.close(descriptor)

    async def _discover(self) -> None:
        own = {segment.id for segment in self._writer.segments}
        for segment in self._writer.segments:
            if segment.id not in self._sources:
                self._sources[segment.id] = OwnSource(segment)
        if self._directory is not None:
            pointer = self._read_pointer(self._directory)
            self._adopt(self._directory, pointer["segment"])
            for name in _names(self._directory):
                if name in pointer["folded"]:
                    # A fold that published its sums and then died before it had removed what it folded.
                    _remove(self._directory, name)
                elif name not in self._sources and name not in own and not name.startswith("tombstone-"):
                    with contextlib.suppress(OSError):
                        self._sources[name] = FileSource(self._directory, name)
            for name in [n for n in self._sources if n in pointer["folded"]]:
                self._forget(name)
        dead = [name for name, source in self._sources.items() if name not in own and source.dead()]
        for source in list(self._sources.values()):
            await self._parse(source)
        if self._directory is not None:
            dead = [name for name in dead if name != self._tombstone]
            if dead:
                await self._fold(self._directory, dead)

    async def _parse(self, source: Source) -> None:
        for number, line in enumerate(source.new_lines(), 1):
            entry = orjson.loads(line)
            if isinstance(entry, dict):
                number_in_file = entry.pop("family")
                source.families[number_in_file] = self._family(entry)
            else:
                family, offset, labels = source.families[entry[0]], entry[1], entry[2]
                series = self._series(family, _key(labels))
                source.place(series, offset)
                self._version += series.owners == 0
                series.owners += 1
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _family(self, entry: dict[str, Any]) -> Family:
        family = self._families.get(entry["name"])
        if family is None:
            entry["labels"] = tuple(entry.get("labels", ()))
            entry["buckets"] = tuple(entry.get("buckets", ()))
            family = self._families[entry["name"]] = Family(**entry)
            self._version += 1
        return family

    def _series(self, family: Family, labels: tuple[Any, ...]) -> Series:
        series = family.series.get(labels)
        if series is None:
            series = family.series[labels] = Series(family, labels, self._size)
            self._size += family.width
            self._version += 1
        return series

    def _merge(self) -> tuple[Words, list[tuple[Source, Words]]]:
        total: Words = np.zeros(self._size)
        copies: list[tuple[Source, Words]] = []
        fills: dict[str, Words] = {}
        for source in self._sources.values():
            words = source.copy()
            copies.append((source, words))
            for operation in source.pairs:
                at, to = source.permutation(operation)
                if operation == "sum":
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

    def _exemplars(self, copies: Iterable[tuple[Source, Words]]) -> dict[int, tuple[str, str, float, float]]:
        latest: dict[int, tuple[str, str, float, float]] = {}
        for source, words in copies:
            # A tombstone keeps sums only: its words end where those of a living segment go on with exemplars.
            if source.name == self._tombstone:
                continue
            integers = words.view(np.uint64)
            for offset, base, buckets in source.exemplars:
                for bucket in range(buckets):
                    at = offset + bucket * EXEMPLAR_WORDS
                    sequence = int(integers[at]) if at < len(integers) else 0
                    # Zero was never written; odd is being written.
                    if not sequence or sequence & 1:
                        continue
                    value, when = float(words[at + 1]), float(words[at + 2])
                    known = latest.get(base + bucket)
                    if known is None or known[3] < when:
                        trace = f"{int(integers[at + 3]):016x}{int(integers[at + 4]):016x}"
                        latest[base + bucket] = (trace, f"{int(integers[at + 5]):016x}", value, when)
        return latest

    async def _fold(self, directory: Path, dead: list[str]) -> None:
        names = [*dead, self._tombstone] if self._tombstone else dead
        sums: Words = np.zeros(self._size)
        survivors: dict[int, Series] = {}
        for name in names:
            source = self._sources[name]
            words = source.copy()
            for number, (series, offset) in enumerate(source.series, 1):
                if series.family.survives:
                    survivors[series.base] = series
                    width = series.family.width
                    sums[series.base : series.base + width] += words[offset : offset + width]
                if number % SLICE == 0:
                    await asyncio.sleep(0)
        fresh = f"tombstone-{uuid.uuid4().hex[:12]}"
        index, values = await _tombstone(list(survivors.values()), sums)
        (directory / f"{fresh}.values").write_bytes(values)
        (directory / f"{fresh}.index").write_bytes(index)
        pointer = directory / f"{fresh}.json"
        pointer.write_bytes(orjson.dumps({"segment": fresh, "folded": dead}))
        pointer.replace(directory / _POINTER)
        for name in names:
            self._forget(name)
            _remove(directory, name)
        self._adopt(directory, fresh)
        await self._parse(self._sources[fresh])

    def _read_pointer(self, directory: Path) -> dict[str, Any]:
        try:
            pointer: dict[str, Any] = orjson.loads((directory / _POINTER).read_bytes())
        except FileNotFoundError:
            return {"segment": "", "folded": []}
        return pointer

    def _adopt(self, directory: Path, tombstone: str) -> None:
        if tombstone != self._tombstone:
            self._forget(self._tombstone)
            self._sources[tombstone] = FileSource(directory, tombstone)
            self._tombstone = tombstone

    def _forget(self, name: str) -> None:
        source = self._sources.pop(name, None)
        if source is None:
            return
        for series, _ in source.series:
            series.owners -= 1
        self._version += 1
        source.close()


def _key(labels: list[Any]) -> tuple[Any, ...]:
    return tuple(tuple(item) if isinstance(item, list) else item for item in labels)


def _names(directory: Path) -> list[str]:
    return [entry.name.removesuffix(".index") for entry in os.scandir(directory) if entry.name.endswith(".index")]


def _remove(directory: Path, name: str) -> None:
    # The index goes last: while it is there, the next scrape finds the rest and finishes the removal.
    for suffix in (".values", ".index"):
        with contextlib.suppress(FileNotFoundError):
            (directory / f"{name}{suffix}").unlink()


async def _tombstone(survivors: list[Series], sums: Words) -> tuple[bytes, bytes]:
    numbers: dict[str, int] = {}
    lines: list[bytes] = []
    at: list[NDArray[np.intp]] = []
    offset = 1
    for count, series in enumerate(survivors, 1):
        family = series.family
        if family.name not in numbers:
            numbers[family.name] = len(numbers)
            lines.append(
                orjson.dumps(
                    {
                        "family": numbers[family.name],
                        "name": family.name,
                        "type": family.type,
                        "help": family.help,
                        "unit": family.unit,
                        "labels": family.labels,
                        "buckets": family.buckets,
                        "merge": family.merge,
                        "raw": family.raw,
                        "exemplars": family.exemplars,
                    }
                )
            )
        lines.append(orjson.dumps([numbers[family.name], offset, series.labels]))
        at.append(np.arange(series.base, series.base + family.width))
        offset += family.width
        if count % SLICE == 0:
            await asyncio.sleep(0)
    words: Words = np.empty(offset)
    words[0] = offset
    if at:
        words[1:] = sums[np.concatenate(at)]
    return b"\n".join([*lines, b""]), words.tobytes()
