"""``logs``: the latest records that match, or those to come."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bedplate.monitor.management.interfaces import LogSource
from bedplate.monitor.management.requests import Page, Since, preferred, query_of
from bedplate.monitor.management.responses import Json, head_of, no_store
from bedplate.monitor.management.settings import ManagementSettings
from bedplate.monitor.replies import ProblemError, plain
from bedplate.problems import Problem
from bedplate.telemetry.logs.timestamp import stamp

__all__ = ["LogEndpoints"]

NDJSON, EVENTS = "application/x-ndjson", "text/event-stream"

#: Records that a tail is asked for when a cursor says where to go on; tails are bounded far below it.
_ALL = 1_000_000
#: Seconds after which something is sent although nothing happened, so that no proxy closes the connection.
_BEAT = 15.0

Level = Annotated[
    Literal["", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]


class LogQuery(Page):
    """Which records to return."""

    level: Level = ""
    logger: str = ""
    text: str = Field(default="", max_length=200)
    request_id: str = ""
    trace_id: str = ""
    since: Since = None
    follow: bool = False

    def filters(self) -> dict[str, Any]:
        """Return what the tail should look for."""
        filters = self.model_dump(include={"level", "logger", "text", "request_id", "trace_id"}, exclude_defaults=True)
        if self.since is not None:
            filters["since"] = stamp(self.since.timestamp())
        return filters


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

        A stream begins with the latest ``limit`` records, in their order. It is NDJSON, or server-sent events when
        ``Accept`` prefers them.
        """
        query = query_of(request, LogQuery)
        if query.follow:
            return self._follow(request, query)
        wanted = _ALL if query.cursor else query.limit + 1
        items = await asyncio.to_thread(self._source.search, limit=wanted, **query.filters())
        if query.cursor:
            items = await asyncio.to_thread(_after, items, query.cursor)
        page = items[: query.limit]
        return Json({"items": page, "next": _digest(page[-1]) if len(items) > len(page) else None})

    def _follow(self, request: Request, query: LogQuery) -> Response:
        if query.cursor:
            raise ProblemError(Problem(status=400, detail="Follow from now on, or page through what was; not both."))
        media_type = preferred(request.headers.get("accept"), (NDJSON, EVENTS))
        if request.method == "HEAD":
            return head_of(media_type)
        if self._followers >= self._settings.followers:
            detail = f"{self._followers} callers follow the log already."
            raise ProblemError(Problem(status=503, detail=detail, headers={"Retry-After": "10"}))
        encode, beat = (_as_event, b":\n\n") if media_type == EVENTS else (_as_line, b"\n")
        return _Following(self._records(query, encode, beat), media_type, self)

    async def _records(
        self, query: LogQuery, encode: Callable[[dict[str, Any]], bytes], beat: bytes
    ) -> AsyncIterator[bytes]:
        """Yield the latest matching records, the oldest of them first, then new ones until the time is up."""
        filters = query.filters()
        with self._source.subscribe(**filters) as stream:
            latest = await asyncio.to_thread(self._source.search, limit=query.limit, **filters)
            yield b"".join(map(encode, reversed(latest))) or beat
            # What arrived while we looked is in both.
            sent = {_digest(record) for record in latest}
            async with aclosing(self._until_the_end(stream)) as records:
                async for record in records:
                    if record is None:
                        yield beat
                    elif _digest(record) not in sent:
                        yield encode(record)

    async def _until_the_end(
        self, stream: AsyncIterator[dict[str, Any]]
    ) -> AsyncGenerator[dict[str, Any] | None, None]:
        """Yield the records of a stream, and None when none has come for a while."""
        loop = asyncio.get_running_loop()
        end, beat_at = loop.time() + self._settings.follow_seconds, loop.time() + _BEAT
        coming: asyncio.Future[dict[str, Any]] = asyncio.ensure_future(anext(stream))
        try:
            while (now := loop.time()) < end and not self._is_ending():
                await asyncio.wait({coming}, timeout=min(1.0, end - now))
                if coming.done():
                    yield coming.result()
                    coming = asyncio.ensure_future(anext(stream))
                elif loop.time() >= beat_at:
                    yield None
                else:
                    continue
                beat_at = loop.time() + _BEAT
        finally:
            coming.cancel()


class _Following(StreamingResponse):
    """A stream that counts as a follower for as long as it is sent."""

    def __init__(self, records: AsyncIterator[bytes], media_type: str, endpoints: LogEndpoints) -> None:
        super().__init__(records, headers={"Content-Type": media_type, "X-Accel-Buffering": "no", **no_store})
        self._records = records
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the client leaves or the time is up."""
        self._endpoints._followers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._endpoints._followers -= 1
            close = getattr(self._records, "aclose", None)
            if close is not None:
                await close()


def _digest(record: dict[str, Any]) -> str:
    """Return what tells a record from all others; it is the cursor of the place after it."""
    return hashlib.blake2b(orjson.dumps(record, default=plain), digest_size=12).hexdigest()


def _after(items: list[dict[str, Any]], cursor: str) -> list[dict[str, Any]]:
    """Return what follows the cursor's record; nothing when it is gone, for all that is older has gone before it."""
    place = next((place for place, item in enumerate(items) if _digest(item) == cursor), len(items))
    return items[place + 1 :]


def _as_line(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, default=plain, option=orjson.OPT_APPEND_NEWLINE)


def _as_event(record: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(record, default=plain)
