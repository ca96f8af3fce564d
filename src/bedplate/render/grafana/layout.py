"""Where panels stand: rows of a page 24 wide, with what is read at a glance first in each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bedplate.render.grafana.charts import Chart, Special

__all__ = ["Row", "arranged", "number"]

PAGE = 24
_GLANCES = ("stat", "gauge")
_HEIGHTS = {"stat": 4, "gauge": 6, "line": 8, "bar": 8, "table": 8, "heatmap": 8, "state": 8}

Place = dict[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading. A collapsed one shows only that until it is opened."""

    title: str
    items: tuple[Chart | Special, ...]
    collapsed: bool = False


def arranged(rows: Iterable[Row]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Return the JSON of all panels, headings included, each with its place, and the number of each by its key."""
    found: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    y = 0
    for row in rows:
        if not row.items:
            continue
        if not row.title:
            panels, y = _row(row.items, y, taken)
            found += panels
            continue
        heading: dict[str, Any] = {
            "id": number(f"row {row.title}", taken),
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"h": 1, "w": PAGE, "x": 0, "y": y},
            "panels": [],
        }
        panels, below = _row(row.items, y + 1, taken)
        found.append(heading)
        if row.collapsed:
            heading["panels"] = panels
            y += 1
        else:
            found += panels
            y = below
    return found, taken


def number(key: str, taken: dict[str, int]) -> int:
    """Return the number of a panel and note it: the same for the same key, so that links to it last."""
    while key in taken:
        key += "'"
    found = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") % 1_000_000 + 1
    while found in taken.values():
        found += 1
    taken[key] = found
    return found


def _row(items: Sequence[Chart | Special], top: int, taken: dict[str, int]) -> tuple[list[dict[str, Any]], int]:
    panels: list[dict[str, Any]] = []
    y = top
    for line in _lines(items):
        for item, place in line:
            panels.append(item.document(number(item.key, taken), {**place, "y": y + place["y"]}))
        y += max(place["y"] + place["h"] for _, place in line)
    return panels, y


def _lines(items: Sequence[Chart | Special]) -> Iterator[list[tuple[Chart | Special, Place]]]:
    glances = [item for item in items if isinstance(item, Chart) and item.kind in _GLANCES]
    rest = [item for item in items if item not in glances]
    if 0 < len(glances) <= 2 and rest and not any(item.width for item in (*glances, rest[0])):
        # One or two numbers do not fill a line: they stand beside the first chart, one above the other.
        height = 8 // len(glances)
        column = [(item, _place(0, index * height, 6, height)) for index, item in enumerate(glances)]
        first = rest.pop(0)
        yield [*column, (first, _place(6, 0, 18, 8))]
    else:
        yield from _filled(glances)
    yield from _filled(rest)


def _filled(items: Sequence[Chart | Special]) -> Iterator[list[tuple[Chart | Special, Place]]]:
    line: list[tuple[Chart | Special, Place]] = []
    x = 0
    for item, width in zip(items, _widths(items), strict=True):
        if x + width > PAGE:
            yield line
            line, x = [], 0
        line.append((item, _place(x, 0, width, _height(item))))
        x += width
    if line:
        yield line


def _widths(items: Sequence[Chart | Special]) -> list[int]:
    """Return the width of each: what it asks for, else an even share of its line."""
    widths = [item.width for item in items]
    start = 0
    while start < len(items):
        end = start
        while end < len(items) and not items[end].width and _small(items[end]) == _small(items[start]):
            end += 1
        if end == start:
            start += 1
            continue
        widths[start:end] = _shares(end - start, most=6 if _small(items[start]) else 2)
        start = end
    return widths


def _shares(count: int, most: int) -> list[int]:
    """Return widths for panels of one kind, in full lines: at most ``most`` in each, or three instead of two."""
    if most == 2:
        if count == 1:
            return [PAGE]
        odd = [8, 8, 8] if count % 2 else []
        return [12] * (count - len(odd)) + odd
    lines = -(-count // most)
    found: list[int] = []
    for index in range(lines):
        here = count // lines + (index < count % lines)
        found += [PAGE // here + (place < PAGE % here) for place in range(here)]
    return found


def _small(item: Chart | Special) -> bool:
    return isinstance(item, Chart) and item.kind in _GLANCES


def _height(item: Chart | Special) -> int:
    return item.height if isinstance(item, Special) else _HEIGHTS[item.kind]


def _place(x: int, y: int, width: int, height: int) -> Place:
    return {"h": height, "w": width, "x": x, "y": y}
