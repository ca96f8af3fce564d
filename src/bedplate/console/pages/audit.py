"""The audit log: who did what, when, and how things were before and after."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from bedplate.console.interfaces import Sources
from bedplate.console.page import Page
from bedplate.console.visit import Visit

__all__ = ["pages"]

_LIMIT = 200


def pages(sources: Sources) -> Sequence[Page]:
    """Return the pages."""
    return (Page("/audit", "audit", _show),)


async def _show(visit: Visit) -> Response:
    """List the latest records that match; check the chain when asked to."""
    log = visit.site.sources.audit
    records = await log.latest(_LIMIT) if log is not None else []
    wanted = visit.query("text").lower()
    if wanted:
        records = [record for record in records if wanted in str(record).lower()]
    checked = await log.verify() if log is not None and visit.query("verify") else None
    path = getattr(getattr(log, "log", None), "path", None)
    return visit.show("audit.html", records=records, checked=checked, kept=log is not None, path=path, limit=_LIMIT)
