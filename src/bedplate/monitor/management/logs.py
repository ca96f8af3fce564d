"""``logs``: the latest records that match, or those to come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import orjson
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bedplate.monitor.management.interfaces import LogSource
from bedplate.monitor.management.requests import Page, cursor_of, position_of, preferred, query_of
from bedplate.monitor.management.responses import Json, no_store
from bedplate.monitor.management.settings import ManagementSettings
from bedplate.monitor.replies import ProblemError, plain
from bedplate.problems import Problem

__all__ = ["LogEndpoints"]

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"

#: Seconds between two looks at the tail while somebody follows it.
_POLL = 0.5
#: Records sent a look; a log that grows faster is sampled by whoever reads it, and told so.
_BATCH = 500
#: Looks without a record before something is sent to keep proxies from closing the connection.
_QUIET = 30


class LogQuery(Page):
    """Which records to return."""

    level: Literal["", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = ""
    logger: str = ""
    text: str = Field(default="", max_length=200)
    request_id: str = ""
    trace_id: str = ""
    user_id: str = ""
    since: float = Field(default=0.0, ge=0)
    follow: bool = False


class LogEndpoints:
    """Reads the tail of the log.

    :param is_ending: whether the service is about to stop; nobody who follows may hold that up.
    """

    def __init__(self, source: LogSource, settings: ManagementSettings, is_ending: Callable[[], bool]) -> None:
        self._source = source
        self._settings = settings
        self._is_ending = is_ending
        self._followers = 0

    async def get(self, request: Request) -> Response:
        """Return the records that match, the latest first; with ``follow`` those to come, one a line, as they come.

        A stream is NDJSON, or server-sent events when ``Accept`` prefers them.
        """
        query = query_of(request, LogQuery)
        filters = query.model_dump(exclude={"limit", "cursor", "follow"}, exclude_defaults=True)
        if query.follow:
            return self._follow(request, query, filters)
        before = position_of(query.cursor)
        if before is not None:
            filters["before"] = int(before[0])
        items = await asyncio.to_thread(self._source.search, **filters, limit=query.limit + 1)
        page = items[: query.limit]
        more = cursor_of(page[-1]["seq"], "") if len(items) > len(page) else None
        return Json({"items": page, "next": more})

    def _follow(self, request: Request, query: LogQuery, filters: dict[str, Any]) -> Response:
        if query.cursor:
            raise ProblemError(Problem(status=400, detail="Follow from now on, or page through what was; not both."))
        media_type = preferred(request.headers.get("accept"), (NDJSON, EVENTS))
        if request.method == "HEAD":
            return Response(headers={"Content-Type": media_type, **no_store})
        if self._followers >= self._settings.followers:
            detail = f"{self._followers} callers follow the log already."
            raise ProblemError(Problem(status=503, detail=detail, headers={"Retry-After": "10"}))
        encode, beat = (_as_event, b":\n\n") if media_type == EVENTS else (_as_line, b"\n")
        return _Following(self._records(query.limit, filters, encode, beat), media_type, self)

    async def _records(
        self, limit: int, filters: dict[str, Any], encode: Callable[[dict[str, Any]], bytes], beat: bytes
    ) -> AsyncIterator[bytes]:
        """Yield the latest matching records, the oldest of them first, then new ones until the time is up."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._settings.follow_seconds
        latest = await asyncio.to_thread(self._source.search, limit=1)
        seen = latest[0]["seq"] if latest else 0
        before = await asyncio.to_thread(self._source.search, **filters, before=seen + 1, limit=limit)
        yield b"".join(map(encode, reversed(before)))
        quiet = 0
        while loop.time() < end and not self._is_ending():
            await asyncio.sleep(_POLL)
            fresh = await asyncio.to_thread(self._source.search, **filters, after=seen, limit=_BATCH)
            if fresh:
                seen = fresh[0]["seq"]
            quiet = 0 if fresh else quiet + 1
            if fresh:
                yield b"".join(map(encode, reversed(fresh)))
            elif quiet % _QUIET == 0:
                yield beat


class _Following(StreamingResponse):
    """A stream that counts as a follower for as long as it is sent."""

    def __init__(self, records: AsyncIterator[bytes], media_type: str, endpoints: LogEndpoints) -> None:
        super().__init__(records, headers={"Content-Type": media_type, "X-Accel-Buffering": "no", **no_store})
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves or the time is up."""
        self._endpoints._followers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._endpoints._followers -= 1


def _as_line(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, default=plain, option=orjson.OPT_APPEND_NEWLINE)


def _as_event(record: dict[str, Any]) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (record["seq"], orjson.dumps(record, default=plain))
