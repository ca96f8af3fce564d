from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bedplate.declarations import Verdict
from bedplate.telemetry.http.metrics import DURATION, ERRORS
from tests.unit.telemetry.http.wire import respond, wired


async def app(scope: Any, receive: Any, send: Any) -> None:
    await respond(send, headers=[(b"ratelimit", b"theirs")])


async def test_guards_pass_add_headers_and_refuse_in_order() -> None:
    asked: list[str] = []

    def silent(scope: Any) -> None:
        asked.append("silent")

    def counting(scope: Any) -> Verdict:
        asked.append("counting")
        return Verdict(headers=((b"x-left", b"3"),))

    def closing(scope: Any) -> Verdict | None:
        asked.append("closing")
        return Verdict(((b"retry-after", b"9"),), 503, "Closed", "Come back.") if scope["path"] == "/closed" else None

    def last(scope: Any) -> None:
        asked.append("last")

    async with wired(app, guards=[silent, counting, closing, last]) as w:
        answer = await w.get("/open")
        assert (answer.status, answer.headers["x-left"]) == (200, "3")
        assert asked == ["silent", "counting", "closing", "last"]
        asked.clear()
        answer = await w.get("/closed", (b"x-request-id", b"mine"))
        assert asked == ["silent", "counting", "closing"]
        assert (answer.status, answer.headers["x-left"], answer.headers["retry-after"]) == (503, "3", "9")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-frame-options"] == "DENY"
        expected = {
            "title": "Closed",
            "detail": "Come back.",
            "status": 503,
            "request_id": "mine",
            "type": "about:blank",
        }
        assert answer.json == expected
        assert ("GET", "_refused", "503") in await w.values(DURATION, "_count")
    assert [record["route"] for record in w.records] == ["_unmatched", "_refused"]


async def test_a_guard_that_fails_lets_nobody_pass() -> None:
    def broken(scope: Any) -> Verdict:
        raise LookupError("no table")

    served: list[Any] = []

    async def never(scope: Any, receive: Any, send: Any) -> None:
        served.append(scope)

    async with wired(never, guards=[broken]) as w:
        assert (await w.get()).status == 500
        assert await w.values(ERRORS) == {("_unmatched", "LookupError"): 1}
    assert served == []


async def test_what_a_guard_promises_is_awaited_in_order() -> None:
    asked: list[str] = []

    async def later(scope: Any) -> Verdict | None:
        asked.append("later")
        await asyncio.sleep(0)
        asked.append("came")
        if scope["path"] == "/broken":
            raise LookupError("no table")
        return None if scope["path"] == "/free" else Verdict(((b"x-left", b"2"),), 429 * (scope["path"] == "/closed"))

    def last(scope: Any) -> Verdict:
        asked.append("last")
        return Verdict(headers=((b"x-last", b"1"),))

    async with wired(app, guards=[later, last]) as w:
        answer = await w.get("/open")
        assert (answer.status, answer.headers["x-left"], answer.headers["x-last"]) == (200, "2", "1")
        assert asked == ["later", "came", "last"]
        answer = await w.get("/free")
        assert (answer.status, "x-left" in answer.headers, answer.headers["x-last"]) == (200, False, "1")
        asked.clear()
        assert (await w.get("/closed")).status == 429
        assert asked == ["later", "came"]
        assert (await w.get("/broken")).status == 500


@pytest.mark.parametrize("extension", [True, False])
async def test_a_websocket_is_refused_before_it_opens(extension: bool) -> None:
    def closing(scope: Any) -> Verdict:
        return Verdict(((b"retry-after", b"9"),), 429, "Too Many Requests", "Slow down.")

    extensions = {"websocket.http.response": {}} if extension else {}
    async with wired(app, guards=[closing]) as w:
        answer = await w.get("/", kind="websocket", extensions=extensions)
    if extension:
        assert answer.messages[0]["type"] == "websocket.http.response.start"
        assert (answer.status, answer.headers["retry-after"]) == (429, "9")
        assert w.records[0]["status"] == 429
    else:
        assert [m["type"] for m in answer.messages] == ["websocket.close"]
        assert w.records[0]["status"] == 403
    assert (w.records[0]["route"], w.records[0]["outcome"]) == ("_refused", "refused")
