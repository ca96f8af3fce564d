"""The tombstone: what dead processes have counted, in one segment without an owner.

All functions expect that the caller holds the host's lock, so that one process at a time writes here.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from bedplate.telemetry.metrics.series import Family, Series
from bedplate.telemetry.metrics.sources import Places, Words

__all__ = ["Pointer", "Tombstones"]

_PREFIX = "tombstone-"
_POINTER = "tombstone.json"

#: Series written before the event loop gets its turn.
_SLICE = 400


@dataclass(frozen=True, slots=True)
class Pointer:
    """The present tombstone, and the segments that it has taken in and that may still lie about."""

    segment: str = ""
    folded: frozenset[str] = frozenset()


class Tombstones:
    """The tombstone of one directory of cells, read and replaced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self) -> Pointer:
        """Return the present pointer."""
        try:
            found = orjson.loads((self.directory / _POINTER).read_bytes())
        except FileNotFoundError:
            return Pointer()
        return Pointer(found["segment"], frozenset(found["folded"]))

    def others(self, pointer: Pointer) -> set[str]:
        """Return the names of all other segments; remove those that a crash has left behind."""
        names: set[str] = set()
        for file in self.directory.iterdir():
            name, _, kind = file.name.rpartition(".")
            if name in pointer.folded or (name.startswith(_PREFIX) and name != pointer.segment):
                # A fold was interrupted: after it had published its sums, or before.
                self._remove(name)
            elif kind == "index" and name != pointer.segment:
                names.add(name)
        return names

    async def publish(self, survivors: list[Series], sums: Words, folded: list[str]) -> Pointer:
        """Write the sums of the survivors and make them the tombstone, in place of the present one and of ``folded``.

        Nothing is awaited after the change; :meth:`others` removes what it has made superfluous.

        :param sums: by the words of the merged array.
        """
        index, values = await _written(survivors, sums)
        pointer = Pointer(f"{_PREFIX}{uuid.uuid4().hex[:12]}", frozenset(folded))
        for suffix, data in (
            (".values", values),
            (".index", index),
            (".json", orjson.dumps({"segment": pointer.segment, "folded": folded})),
        ):
            (self.directory / f"{pointer.segment}{suffix}").write_bytes(data)
            await asyncio.sleep(0)
        (self.directory / f"{pointer.segment}.json").replace(self.directory / _POINTER)
        return pointer

    def _remove(self, name: str) -> None:
        # The index goes last: while it is there, the next scrape finds the rest and finishes the removal.
        for suffix in (".json", ".values", ".index"):
            with contextlib.suppress(FileNotFoundError):
                (self.directory / f"{name}{suffix}").unlink()


async def _written(survivors: list[Series], sums: Words) -> tuple[bytes, bytes]:
    numbers: dict[str, int] = {}
    lines: list[bytes] = []
    places = Places()
    offset = 0
    for count, series in enumerate(survivors, 1):
        family = series.family
        if family.name not in numbers:
            numbers[family.name] = len(numbers)
            lines.append(_described(numbers[family.name], family))
        lines.append(orjson.dumps([numbers[family.name], offset, series.labels]))
        places.add(offset, series.base, family.width)
        offset += family.width
        if count % _SLICE == 0:
            await asyncio.sleep(0)
    words = sums[places.expanded()[1]] if survivors else np.zeros(1)  # an empty file cannot be mapped
    return b"\n".join([*lines, b""]), words.tobytes()


def _described(number: int, family: Family) -> bytes:
    fields = ("name", "type", "help", "unit", "labels", "buckets", "merge", "raw", "exemplars")
    return orjson.dumps({"family": number, **{field: getattr(family, field) for field in fields}})
