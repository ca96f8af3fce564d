"""The address of the stream, and what of a page can be kept up to date."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bedplate.console.live.feed import Feed, Key, Watcher
from bedplate.console.visit import Visit
from bedplate.monitor.replies import ProblemError
from bedplate.problems import Problem

__all__ = ["MOST_TOPICS", "Maker", "Parts", "stream"]

#: Parts that one tab may look at.
MOST_TOPICS = 40
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}

Maker = Callable[[str, str], Awaitable[Mapping[str, Any] | None]]


class Parts:
    """What can be kept up to date, by the first word of its topic."""

    def __init__(self) -> None:
        self.makers: dict[str, Maker] = {}
        #: Tells whether somebody may look at a topic; everybody who is signed in, by default.
        self.admits: Callable[[Visit, str], bool] = lambda visit, topic: True

    def knows(self, topic: str) -> bool:
        """Tell whether there is such a part."""
        return topic.partition(":")[0] in self.makers

    async def make(self, key: Key) -> Mapping[str, Any] | None:
        """Return what a tab gets of a part."""
        base, topic = key
        kind, _, rest = topic.partition(":")
        maker = self.makers.get(kind)
        return await maker(base, rest) if maker is not None else None


async def stream(visit: Visit) -> Response:
    """Send what changes on a page, as server-sent events, until the tab is closed, the session or the service ends."""
    feed: Feed = visit.site.feed
    parts = visit.site.parts
    topics = [
        topic
        for topic in visit.request.query_params.getlist("topic")
        if parts.knows(topic) and parts.admits(visit, topic)
    ]
    if not topics or len(topics) > MOST_TOPICS:
        raise ProblemError(Problem(status=400, detail=f"Name 1 to {MOST_TOPICS} parts that there are."))
    if visit.request.method == "HEAD":
        return Response(headers={**_HEADERS, "Content-Type": "text/event-stream"})
    if feed.is_full:
        return Response(b"retry: 60000\nevent: full\ndata: {}\n\n", 200, _HEADERS, "text/event-stream")
    last = visit.request.headers.get("last-event-id") or visit.query("after")
    return _Stream(visit, feed, [(visit.base, topic) for topic in topics], feed.place(last))


class _Stream(StreamingResponse):
    """A stream that counts as a viewer for as long as it is sent."""

    def __init__(self, visit: Visit, feed: Feed, keys: list[Key], told: int) -> None:
        self._visit, self._feed, self._keys, self._told = visit, feed, keys, told
        super().__init__((), headers={**_HEADERS, "Content-Type": "text/event-stream"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until somebody goes."""
        with self._feed.watching(self._keys, self._told) as watcher:
            self._visit.site.viewers_changed()
            self.body_iterator = self._events(watcher)
            try:
                await super().__call__(scope, receive, send)
            finally:
                self._feed.leave(watcher)
                self._visit.site.viewers_changed()

    async def _events(self, watcher: Watcher) -> AsyncIterator[bytes]:
        async for event in self._feed.events(watcher):
            if not self._visit.site.is_signed_in(self._visit):
                return
            yield event
