"""Traces: found by what failed or was slow, and shown as a waterfall."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page, missing
from bedplate.console.visit import Visit
from bedplate.problems import DeclarationError

__all__ = ["pages"]

_LIMIT = 100
_REASONS = {"failed": "error", "slow": "slow", "sampled": "sampled"}
_DEEPEST = 7


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/traces", "traces", _list), Page("/traces/{id}", "trace", _one))


async def _list(visit: Visit) -> Response:
    """List traces that match, those that failed or were slow first."""
    source = visit.site.sources.traces
    filters: dict[str, Any] = {name: visit.query(name) for name in ("route", "text", "status") if visit.query(name)}
    fault = ""
    if visit.query("over"):
        try:
            filters["min_duration"] = _seconds(visit.query("over"))
        except ValueError:
            fault = "Write the least duration as 200ms or 1.5s."
    show = visit.query("show", "all")
    if show in _REASONS:
        filters["reason"] = _REASONS[show]
    found = await asyncio.to_thread(source.search, **filters, limit=_LIMIT) if source is not None else []
    if show == "all" and visit.query("order") != "newest":
        rank = {"error": 0, "slow": 1, "sampled": 2}
        found.sort(key=lambda item: (rank.get(item["reason"], 9), -item["started"]))
    longest = max((float(item["duration"]) for item in found), default=0.0)
    return visit.show(
        "traces.html",
        traces=found,
        longest=longest,
        show=show,
        fault=fault,
        limit=_LIMIT,
        filtered=bool(filters),
        kept=source is not None,
    )


@dataclass(frozen=True, slots=True)
class _Bar:
    """Where a span lies in a waterfall, in percent of the whole."""

    start: float
    width: float


async def _one(visit: Visit) -> Response:
    """Show one trace: its spans as a waterfall, its log lines, its error."""
    sources = visit.site.sources
    trace_id = visit.request.path_params["id"]
    trace = await asyncio.to_thread(sources.traces.get, trace_id) if sources.traces is not None else None
    if trace is None:
        return missing(
            visit,
            "This trace is not kept.",
            "Failed and slow ones are kept longest, others only when they were sampled.",
        )
    lines = (
        await asyncio.to_thread(sources.logs.search, trace_id=trace_id, limit=50) if sources.logs is not None else []
    )
    groups = []
    if sources.errors is not None and trace["error"] is not None:
        groups = await asyncio.to_thread(sources.errors.search, type=trace["error"]["type"], limit=20)
        groups = [group for group in groups if group["trace_id"] == trace_id or trace.get("route") in group["routes"]]
    whole = float(trace["duration"]) or 1e-9
    spans = [{**span, "bar": _bar(span, whole), "indent": min(int(span["depth"]), _DEEPEST)} for span in trace["spans"]]
    return visit.show("trace.html", trace=trace, spans=spans, lines=lines[::-1], groups=groups[:3])


def _bar(span: dict[str, Any], whole: float) -> _Bar:
    start = min(100.0, 100.0 * float(span["start"]) / whole)
    return _Bar(round(start, 3), round(max(0.25, min(100.0 - start, 100.0 * float(span["duration"]) / whole)), 3))


def _seconds(text: str) -> float:
    from bedplate.declarations import seconds

    try:
        return float(text)
    except ValueError:
        pass
    whole = text.replace(" ", "")
    if whole.endswith("s") and not whole.endswith("ms") and "." in whole:
        return float(whole[:-1])
    try:
        return seconds(whole)
    except DeclarationError as error:
        raise ValueError(text) from error
