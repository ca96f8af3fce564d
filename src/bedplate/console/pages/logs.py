"""The log: the latest records that match, and those to come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit
from bedplate.problems import BedplateError

__all__ = ["FILTERS", "filters_of", "latest", "pages"]

#: What narrows the log, in the address and in the search.
FILTERS = ("level", "logger", "text", "request_id", "trace_id")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LIMIT = 200
#: Records that are shown while somebody follows.
_FOLLOWED = 100


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/logs", "logs", _show),)


def filters_of(visit: Visit) -> dict[str, Any]:
    """Return what the address asks for."""
    return {name: visit.query(name) for name in FILTERS if visit.query(name)}


async def latest(sources: Sources, query: str) -> list[dict[str, Any]] | None:
    """Return the latest records for a topic: filters as an address has them; None where there are none."""
    filters = {name: value for name, value in parse_qsl(query) if name in FILTERS}
    if sources.logs is None:
        return None
    try:
        return await asyncio.to_thread(sources.logs.search, limit=_FOLLOWED, **filters)
    except BedplateError:
        return None


async def _show(visit: Visit) -> Response:
    """Show the latest records that match, the latest first."""
    source = visit.site.sources.logs
    filters = filters_of(visit)
    fault, found = "", []
    if source is not None:
        try:
            found = await asyncio.to_thread(source.search, limit=_LIMIT, **filters)
        except BedplateError as error:
            fault = str(error)
    return visit.show(
        "logs.html",
        records=found,
        asked={name: visit.query(name) for name in FILTERS},
        filtered=bool(filters),
        fault=fault,
        levels=LEVELS,
        limit=_LIMIT,
        kept=source is not None,
        topic=visit.url("", **filters).partition("?")[2],
    )
