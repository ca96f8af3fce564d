"""Which server of a cluster has which slots, as several of them tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Layout", "Place", "merged", "read_layout"]

#: A host and a port.
Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Ranges of slots: ``(first, last, place of the primary, epoch)``; the greater the epoch, the later it was so."""

    ranges: tuple[tuple[int, int, Place, int], ...]


def read_layout(slots: Any, nodes: Any, host: str) -> Layout:
    """Read the replies to ``CLUSTER SLOTS``, which has the names that clients shall use, and ``CLUSTER NODES``.

    :param host: of the server that was asked, which may call itself nothing.
    """
    epochs: dict[bytes, int] = {}
    for line in bytes(nodes).splitlines():
        fields = line.split()
        if len(fields) > 6 and fields[6].isdigit():
            epochs[fields[0]] = int(fields[6])
    ranges = []
    for first, last, primary, *_ in slots:
        name = (primary[0] or b"").decode()
        if name == "?":  # it does not know itself
            continue
        ranges.append((int(first), int(last), (name or host, int(primary[1])), epochs.get(primary[2], 0)))
    return Layout(tuple(ranges))


def merged(layouts: Sequence[Layout]) -> Layout:
    """Return for every slot what the latest configuration says of it."""
    if len({layout.ranges for layout in layouts}) == 1:
        return layouts[0]
    best: dict[int, tuple[int, Place]] = {}
    for layout in layouts:
        for first, last, place, epoch in layout.ranges:
            for slot in range(first, last + 1):
                if slot not in best or best[slot][0] < epoch:
                    best[slot] = (epoch, place)
    ranges: list[tuple[int, int, Place, int]] = []
    for slot in sorted(best):
        epoch, place = best[slot]
        if ranges and ranges[-1][1] == slot - 1 and ranges[-1][2:] == (place, epoch):
            ranges[-1] = (ranges[-1][0], slot, place, epoch)
        else:
            ranges.append((slot, slot, place, epoch))
    return Layout(tuple(ranges))
