"""A trace as people read it: spans in the order of a waterfall, each with its own share of the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["assemble", "covered"]


def covered(intervals: Iterable[tuple[int, int]], start: int, end: int) -> int:
    """Return how much of ``start`` to ``end`` the intervals cover, overlaps counted once."""
    total = 0
    reached = start
    for first, last in sorted(intervals):
        first, last = max(first, reached), min(last, end)
        if last > first:
            total += last - first
            reached = last
    return total


def assemble(spans: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the spans depth first, siblings by start, each with ``depth``, ``start``, ``duration`` and ``self``.

    ``start`` counts from the earliest span, all are seconds. ``self`` is the time of a span that none of its children
    covers; children that ran side by side are not counted twice. A span whose parent is unknown is a root, and so is
    the first of any that form a circle. Later spans win over earlier ones with the same id.
    """
    known: dict[str, Mapping[str, Any]] = {str(span["id"]): span for span in spans}
    children: dict[str, list[str]] = {}
    roots: list[str] = []
    for key, span in known.items():
        parent = str(span.get("parent") or "")
        if parent in known and parent != key:
            children.setdefault(parent, []).append(key)
        else:
            roots.append(key)

    def began(key: str) -> tuple[int, str]:
        return (int(known[key]["started_ns"]), key)

    origin = min((began(key)[0] for key in known), default=0)
    ordered: list[dict[str, Any]] = []
    seen: set[str] = set()
    # What no root reaches is a circle of forged ids: any of its spans will do to begin with.
    for first in [*sorted(roots, key=began), *sorted(known, key=began)]:
        stack = [(first, 0)]
        while stack:
            key, depth = stack.pop()
            if key in seen:
                continue
            seen.add(key)
            below = sorted(children.get(key, ()), key=began)
            ordered.append(_shown(known[key], [known[child] for child in below], depth, origin))
            stack.extend((child, depth + 1) for child in reversed(below))
    return ordered


def _shown(span: Mapping[str, Any], children: Iterable[Mapping[str, Any]], depth: int, origin: int) -> dict[str, Any]:
    start = int(span["started_ns"])
    end = max(start, int(span["ended_ns"]))
    below = covered(((int(child["started_ns"]), int(child["ended_ns"])) for child in children), start, end)
    shown = {key: value for key, value in span.items() if key not in ("started_ns", "ended_ns")}
    return {
        **shown,
        "depth": depth,
        "start": (start - origin) / 1e9,
        "duration": (end - start) / 1e9,
        "self": (end - start - below) / 1e9,
    }
