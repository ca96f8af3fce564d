from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedplate.monitor.management.requests import cursor_of, position_of, preferred
from tests.unit.monitor.management.api import TOKENS, Api
from tests.unit.monitor.monitor_fakes import running


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    made = Api(followers=2, follow_seconds=30)
    async with running(made.management, made.host):
        yield made


def trace(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "trace_id": f"{number:032x}",
        "span_id": f"{number:016x}",
        "parent_id": "",
        "part": 0,
        "service": "ledger",
        "name": "GET /reports",
        "route": "/reports",
        "status": 200,
        "started": 1000.0 + number // 3,
        "duration": 0.2,
        "reason": "sampled",
        "error": None,
        "spans": [],
        **fields,
    }


def line(number: int, level: str = "INFO", **fields: Any) -> tuple[int, bytes]:
    stamp = f"2026-11-05T12:00:{number // 10:02d}.000000Z"
    record = {"timestamp": stamp, "level": level, "logger": "app.reports", "message": f"event {number}", **fields}
    return {"INFO": 20, "ERROR": 40}[level], orjson.dumps(record)


async def pages(api: Api, path: str) -> list[list[dict[str, Any]]]:
    """Follow ``next`` from page to page."""
    found, cursor = [], ""
    while True:
        answer = (await api.get(f"{path}{'&' if '?' in path else '?'}limit=4&cursor={cursor}")).json()
        found.append(answer["items"])
        cursor = answer["next"]
        if cursor is None:
            return found


async def test_traces_are_paged_the_latest_first_without_gaps_or_repeats(api: Api) -> None:
    for number in range(10):
        api.traces.add(trace(number))
    found = await pages(api, "traces")
    assert [len(page) for page in found] == [4, 4, 2]
    ids = [item["trace_id"] for page in found for item in page]
    assert ids == [f"{number:032x}" for number in reversed(range(10))], "equal times are ordered by id"


async def test_a_page_stays_where_it_was_when_newer_items_arrive(api: Api) -> None:
    for number in range(8):
        api.traces.add(trace(number))
    first = (await api.get("traces?limit=4")).json()
    for number in range(100, 120):
        api.traces.add(trace(number))
    second = (await api.get(f"traces?limit=4&cursor={first['next']}")).json()
    assert [item["trace_id"] for item in second["items"]] == [f"{number:032x}" for number in (3, 2, 1, 0)]


async def test_traces_are_filtered_and_one_is_told_whole(api: Api) -> None:
    api.traces.add(trace(1, status=500, reason="error", error={"type": "KeyError", "message": "x"}))
    api.traces.add(trace(2, duration=3.0, reason="slow"))
    api.traces.add(trace(30))

    async def ids(query: str) -> list[int]:
        return [int(item["trace_id"], 16) for item in (await api.get(f"traces?{query}")).json()["items"]]

    assert await ids("status=5xx") == [1]
    assert await ids("error=true") == [1]
    assert await ids("min_duration=1") == [2]
    assert await ids("reason=slow") == [2]
    assert await ids("since=1005") == [30]
    assert await ids("since=1970-01-01T00:16:45Z") == [30]
    assert await ids("route=/other") == []
    assert (await api.get("traces?status=abc")).status_code == 422
    whole = (await api.get(f"traces/{1:032x}")).json()
    assert (whole["status"], whole["spans"]) == (500, [])


async def test_errors_are_listed_and_told(api: Api) -> None:
    for number in range(9):
        kind = type(f"Fault{number}", (Exception,), {})
        try:
            raise kind("token=hunter2hunter2")
        except Exception as error:
            api.errors.capture(error, route="/reports")
        await api.host.clock.advance(1)
    found = await pages(api, "errors?route=/reports")
    groups = [item for page in found for item in page]
    assert [group["type"].rpartition(".")[2] for group in groups] == [f"Fault{number}" for number in reversed(range(9))]
    one = (await api.get("errors?type=Fault3&status=open")).json()["items"]
    assert [group["count"] for group in one] == [1]
    detail = await api.get(f"errors/{one[0]['fingerprint']}")
    assert "Fault3" in detail.json()["stack"]
    assert "hunter2" not in detail.json()["message"]
    assert (await api.get("errors?status=gone")).status_code == 422


async def test_logs_are_filtered_and_paged_the_latest_first(api: Api) -> None:
    api.logs.add([line(number, "ERROR" if number % 5 == 0 else "INFO") for number in range(30)])
    found = await pages(api, "logs")
    numbers = [int(item["message"].split()[1]) for page in found for item in page]
    assert numbers == list(reversed(range(30)))
    errors = (await api.get("logs?level=error&limit=100")).json()
    assert len(errors["items"]) == 6
    assert errors["next"] is None
    assert [i["message"] for i in (await api.get("logs?text=EVENT 17")).json()["items"]] == ["event 17"]
    assert len((await api.get("logs?since=2026-11-05T12:00:02Z&limit=100")).json()["items"]) == 10
    assert len((await api.get("logs?since=2026-11-05T13:00:02%2B01:00&limit=100")).json()["items"]) == 10
    assert (await api.get("logs?logger=app")).json()["items"]
    assert not (await api.get("logs?logger=ap")).json()["items"]


async def test_a_cursor_whose_record_is_gone_ends_the_list(api: Api) -> None:
    api.logs.add([line(number) for number in range(10)])
    cursor = (await api.get("logs?limit=4")).json()["next"]
    api.logs.max_records = 3
    api.logs.add([line(number) for number in range(20, 23)])
    assert (await api.get(f"logs?limit=4&cursor={cursor}")).json() == {"items": [], "next": None}


class Stream:
    """A streamed response that is read a piece at a time, and a client that can leave."""

    def __init__(self, api: Api, query: str, accept: str = "") -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.left = asyncio.Event()
        self._asked = False
        headers = [(b"authorization", f"Bearer {TOKENS['viewer']}".encode()), (b"accept", accept.encode())]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/monitoring/logs",
            "query_string": query.encode(),
            "headers": headers,
            "client": ("203.0.113.9", 1),
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        self.task = asyncio.create_task(api.app(scope, self._receive, self.messages.put))

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def next(self) -> Any:
        return await asyncio.wait_for(self.messages.get(), 60)

    async def leave(self) -> None:
        self.left.set()
        await asyncio.wait_for(self.task, 60)


async def test_the_log_can_be_followed(api: Api) -> None:
    api.logs.add([line(number) for number in range(5)])
    stream = Stream(api, "follow=true&limit=2&level=INFO")
    start = await stream.next()
    assert dict(start["headers"])[b"content-type"] == b"application/x-ndjson"
    first = (await stream.next())["body"]
    assert [orjson.loads(each)["message"] for each in first.splitlines()] == ["event 3", "event 4"]
    api.logs.add([line(5), line(6)])
    assert orjson.loads((await stream.next())["body"])["message"] == "event 5"
    assert orjson.loads((await stream.next())["body"])["message"] == "event 6"
    await stream.leave()
    assert not api.logs._subscribers


async def test_the_log_can_be_followed_as_server_sent_events_and_by_few_at_a_time(api: Api) -> None:
    streams = [Stream(api, "follow=true", "text/event-stream") for _ in range(2)]
    for stream in streams:
        assert dict((await stream.next())["headers"])[b"content-type"] == b"text/event-stream"
        await stream.next()
    refused = await api.get("logs?follow=true")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    api.logs.add([line(1)])
    assert (await streams[0].next())["body"].startswith(b"data: {")
    for stream in streams:
        await stream.leave()
    stream = Stream(api, "follow=true")
    await stream.next()
    await stream.leave()
    assert (await api.get("logs?follow=true&cursor=ab")).status_code == 400


async def test_followers_do_not_hold_up_the_end(api: Api) -> None:
    stream = Stream(api, "follow=true")
    await stream.next()
    api.health.drain()
    await asyncio.wait_for(stream.task, 60)


async def test_a_search_that_takes_long_does_not_stall_the_others(api: Api) -> None:
    release = threading.Event()

    def slow(**filters: Any) -> list[dict[str, Any]]:
        assert release.wait(60)
        return []

    api.traces.search = slow  # type: ignore[method-assign]
    searching = asyncio.create_task(api.get("traces"))
    await asyncio.sleep(0.02)
    assert (await api.get("health", role="")).status_code == 503
    assert not searching.done()
    release.set()
    assert (await searching).json() == {"items": [], "next": None}


@given(st.floats(0, 4e9), st.text(max_size=40))
def test_a_cursor_comes_back_as_it_was(time: float, key: str) -> None:
    assert position_of(cursor_of(time, key)) == (time, key)


@settings(max_examples=200)
@given(st.text(max_size=60), st.lists(st.sampled_from(["text/plain", "application/json"]), min_size=1, max_size=2))
def test_any_accept_header_gets_something_on_offer(accept: str, offers: list[str]) -> None:
    assert preferred(accept, offers) in offers
