"""Lists of what the stores keep: traces and errors, a page at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field
from starlette.requests import Request

from bedplate.monitor.management.interfaces import ErrorSource, TraceSource
from bedplate.monitor.management.requests import Page, Since, cursor_of, position_of, query_of
from bedplate.monitor.management.responses import Json, not_found

__all__ = ["ErrorEndpoints", "TraceEndpoints", "page_of"]

#: Items that a store is asked for when a cursor says where to go on; the stores are bounded far below it.
_ALL = 1_000_000


async def page_of(
    search: Callable[..., list[dict[str, Any]]], query: Page, filters: dict[str, Any], *, time: str, key: str
) -> Json:
    """Return one page of a list that is sorted by ``time``, the latest first.

    The cursor is the place after the page's last item and not a count, so a page neither repeats nor skips what was
    there when newer items arrive. The search runs in a thread: looking through a whole store takes longer than the
    event loop should wait.
    """
    after = position_of(query.cursor)
    # One more than the page tells whether there is a next one.
    wanted = query.limit + 1 if after is None else _ALL
    items = await asyncio.to_thread(search, **filters, limit=wanted)
    items.sort(key=lambda item: (item[time], str(item[key])), reverse=True)
    if after is not None:
        items = [item for item in items if (float(item[time]), str(item[key])) < after]
    page = items[: query.limit]
    more = cursor_of(float(page[-1][time]), str(page[-1][key])) if len(items) > len(page) else None
    return Json({"items": page, "next": more})


class TraceQuery(Page):
    """Which traces to list."""

    route: str = ""
    name: str = ""
    status: str = Field(default="", pattern=r"^([1-5][0-9]{2}|[1-5]xx)?$")
    min_duration: float = Field(default=0.0, ge=0)
    reason: Literal["error", "slow", "sampled"] | None = None
    error: bool | None = None
    service: str = ""
    text: str = Field(default="", max_length=200)
    since: Since = None


class TraceEndpoints:
    """``traces`` and ``traces/{id}``."""

    def __init__(self, source: TraceSource) -> None:
        self._source = source

    async def list(self, request: Request) -> Json:
        """Return summaries of the traces that match, the latest first."""
        query = query_of(request, TraceQuery)
        filters = _filters(query)
        return await page_of(self._source.search, query, filters, time="started", key="trace_id")

    async def get(self, request: Request) -> Json:
        """Return one trace with its spans."""
        trace_id = request.path_params["id"]
        trace = await asyncio.to_thread(self._source.get, trace_id)
        if trace is None:
            raise not_found(
                f"No trace {trace_id[:64]} is kept. Failed and slow ones are kept longest, others only when sampled."
            )
        return Json(trace)


class ErrorQuery(Page):
    """Which groups of errors to list."""

    type: str = ""
    status: Literal["", "open", "resolved", "muted"] = ""
    route: str = ""
    service: str = ""
    text: str = Field(default="", max_length=200)
    since: Since = None


class ErrorEndpoints:
    """``errors`` and ``errors/{fingerprint}``."""

    def __init__(self, source: ErrorSource) -> None:
        self._source = source

    async def list(self, request: Request) -> Json:
        """Return the groups of errors that match, the one seen last first."""
        query = query_of(request, ErrorQuery)
        filters = _filters(query)
        return await page_of(self._source.search, query, filters, time="last_seen", key="fingerprint")

    async def get(self, request: Request) -> Json:
        """Return one group of errors with its latest occurrences."""
        fingerprint = request.path_params["fingerprint"]
        group = await asyncio.to_thread(self._source.get, fingerprint)
        if group is None:
            raise not_found(f"No error {fingerprint[:64]} is kept.")
        return Json(group)


def _filters(query: Page) -> dict[str, Any]:
    """Return the filters that were given; times as Unix seconds."""
    filters = query.model_dump(exclude={"limit", "cursor"}, exclude_defaults=True)
    if "since" in filters:
        filters["since"] = filters["since"].timestamp()
    return filters
