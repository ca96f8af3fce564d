"""Errors: grouped by where they come from, with their trend and the last example."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page, missing
from bedplate.console.visit import Visit

__all__ = ["bars", "pages"]

_LIMIT = 100
_SHOWS = ("open", "resolved", "muted", "all")


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (
        Page("/errors", "errors", _list),
        Page("/errors/{fingerprint}", "error", _one),
        Page("/errors/{fingerprint}", "error-change", _change, role="operator", methods=("POST",)),
    )


async def _list(visit: Visit) -> Response:
    """List groups of errors, the one seen last first."""
    source = visit.site.sources.errors
    filters: dict[str, Any] = {name: visit.query(name) for name in ("text", "route", "type") if visit.query(name)}
    show = visit.query("show", "open")
    if show in _SHOWS and show != "all":
        filters["status"] = show
    found = await asyncio.to_thread(source.search, **filters, limit=_LIMIT) if source is not None else []
    if visit.query("order") == "count":
        found.sort(key=lambda group: -int(group["count"]))
    return visit.show(
        "errors.html",
        groups=[{**group, "bars": bars(group["trend"])} for group in found],
        show=show,
        shows=_SHOWS,
        filtered=len(filters) > (show != "all"),
        limit=_LIMIT,
        kept=source is not None,
    )


async def _one(visit: Visit) -> Response:
    """Show one group: how often, where, an example, the way to its trace and log."""
    sources = visit.site.sources
    fingerprint = visit.request.path_params["fingerprint"]
    group = await asyncio.to_thread(sources.errors.get, fingerprint) if sources.errors is not None else None
    if group is None:
        return missing(
            visit, "This error is not kept.", "The store is bounded: those not seen for longest leave first."
        )
    traced = sources.traces is not None and bool(group["trace_id"])
    trace = await asyncio.to_thread(sources.traces.get, group["trace_id"]) if traced and sources.traces else None
    return visit.show("error.html", group=group, bars=bars(group["trend"]), trace=trace)


async def _change(visit: Visit) -> Response:
    """Resolve a group, mute it, or open it again."""
    fields = await visit.form()
    sources = visit.site.sources
    fingerprint, change = visit.request.path_params["fingerprint"], fields.get("change", "")
    changes = {"resolve": "resolve", "mute": "mute", "reopen": "reopen"}
    if sources.errors is None or change not in changes or visit.session is None:
        return missing(visit, "There is no such change.")
    before = sources.errors.get(fingerprint)
    done = bool(getattr(sources.errors, changes[change])(fingerprint))
    after = sources.errors.get(fingerprint)
    outcome = "done" if done else "refused"
    was, now = ({"status": state["status"]} if state else None for state in (before, after))
    given = {"error": fingerprint}
    await sources.presses.record("errors", change, visit.session.actor, outcome, given, before=was, after=now)
    visit.note(f"The error is {after['status']} now." if after else "The error is not kept any more.")
    return visit.go(f"/errors/{fingerprint}")


def bars(trend: Sequence[int]) -> list[tuple[int, float, bool]]:
    """Return the bars of a trend: their place, height in percent, and whether they are the latest five minutes."""
    most = max(trend, default=0)
    return [
        (place, round(100 * count / most, 1), place >= len(trend) - 5) for place, count in enumerate(trend) if count
    ]
