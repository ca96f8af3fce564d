"""Running checks against something that answers as the test says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from bedplate.monitor.checks import Item, Question, Reply, Report, Result, Runner
from bedplate.problems import BedplateError

Answer = Callable[[Question], Reply]


def item(name: str, **values: Any) -> Item:
    return Item(**{"name": name, "group": "shop", "source": "shop", "path": f"/{name}", **values})


class Far:
    """The other side; it remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[Question] = []
        self._answer = answer
        self.pauses: list[float] = []

    async def __call__(self, question: Question) -> Reply:
        self.asked.append(question)
        return self._answer(question)

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def check(self, *items: Item, **options: Any) -> Report:
        return await Runner(self, sleep=self.sleep, **{"grant": "admin", **options}).run(items)


def fine(question: Question) -> Reply:
    return Reply(200, {}, b"{}", 0.01)


async def test_results_come_in_order_and_are_counted() -> None:
    def answer(question: Question) -> Reply:
        return Reply(500 if question.path == "/broken" else 200, {}, b"{}", 2.0 if question.path == "/slow" else 0.01)

    told: list[Result] = []
    report = await Far(answer).check(item("well"), item("broken"), item("slow"), told=told.append)
    assert [result.outcome for result in report.results] == ["passed", "failed", "warning"]
    assert told == list(report.results)
    assert (report.count("passed"), report.count("warning"), report.count("failed")) == (1, 1, 1)
    document = report.document()
    assert (document["passed"], document["warnings"], document["failed"]) == (1, 1, 1)
    assert document["results"][1]["detail"] == "it answers 500, not 200"
    assert orjson.dumps(document)


async def test_what_several_checks_look_at_is_asked_for_once() -> None:
    far = Far(fine)
    await far.check(
        item("one", path="/metrics"), item("two", path="/metrics"), item("three", path="/metrics", method="HEAD")
    )
    assert [(question.method, question.path) for question in far.asked] == [("GET", "/metrics"), ("HEAD", "/metrics")]


async def test_without_the_role_a_check_is_a_warning_and_not_asked() -> None:
    far = Far(fine)
    items = [item("open"), item("seen", role="viewer"), item("done", role="operator")]
    report = await far.check(*items, grant="viewer")
    assert [result.outcome for result in report.results] == ["passed", "passed", "warning"]
    assert "it needs a token of operator, and the token is viewer" in report.results[2].detail
    report = await far.check(*items, grant=None)
    assert [result.outcome for result in report.results] == ["passed", "warning", "warning"]
    assert "and there is none" in report.results[1].detail


async def test_a_page_that_asks_for_a_token_where_none_was_presented_is_a_warning() -> None:
    def locked(question: Question) -> Reply:
        return Reply(401, {}, b"{}", 0.01)

    report = await Far(locked).check(item("page", role="viewer"), presented=False)
    assert [result.outcome for result in report.results] == ["warning"]
    report = await Far(locked).check(item("page", role="viewer"), presented=True)
    assert [result.outcome for result in report.results] == ["failed"]


async def test_a_closed_door_is_tried_without_a_token_whoever_asks() -> None:
    far = Far(lambda question: Reply(200 if question.authorized else 401, {}, b"{}", 0.01))
    closed = item("closed", path="/inside", expect=401, anonymous=True, role="viewer")
    report = await far.check(item("inside", role="viewer"), closed, presented=False)
    assert [result.outcome for result in report.results] == ["passed", "passed"]
    assert [question.authorized for question in far.asked] == [True, False]


async def test_a_service_that_stops_answering_is_not_asked_for_ever() -> None:
    def silent(question: Question) -> Reply:
        raise BedplateError(f"{question.path} did not answer within 10 s.")

    far = Far(silent)
    report = await far.check(item("a", optional=True), *(item(name) for name in "bcdefg"))
    assert len(far.asked) == 3
    assert [result.outcome for result in report.results] == ["warning", *["failed"] * 6]
    assert report.results[1].detail == "/b did not answer within 10 s."
    assert report.results[-1].detail == "not asked: the service has stopped answering"


async def test_the_record_and_the_trace_of_a_request_are_looked_for_until_they_are_there() -> None:
    seen: dict[str, Any] = {}
    looks = 0

    def answer(question: Question) -> Reply:
        nonlocal looks
        if question.path == "/monitoring/health":
            seen.update(question.headers)
            return Reply(200, {"x-request-id": "given-by/the-service"}, b"{}", 0.01)
        looks += 1
        if looks < 3:
            return Reply(200, {}, b'{"items": []}', 0.01)
        return Reply(200, {}, b'{"items": [{"message": "GET"}], "trace_id": "x"}', 0.01)

    far = Far(answer)
    record = item("record", kind="log", path="/monitoring/health")
    assert [result.outcome for result in (await far.check(record)).results] == ["passed"]
    assert far.asked[-1].path == "/monitoring/logs?limit=1&request_id=given-by%2Fthe-service"
    assert len(far.pauses) == 2
    trace = item("trace", kind="trace", path="/monitoring/health")
    assert [result.outcome for result in (await far.check(trace)).results] == ["passed"]
    _, trace_id, _, flags = seen["traceparent"].split("-")
    assert far.asked[-1].path == f"/monitoring/traces/{trace_id}"
    assert flags == "01"


async def test_a_trace_that_nobody_kept_is_a_failure() -> None:
    far = Far(lambda question: Reply(404 if "traces" in question.path else 200, {}, b"{}", 0.01))
    report = await far.check(item("trace", kind="trace", path="/monitoring/health"))
    assert [result.outcome for result in report.results] == ["failed"]
    assert "is not found: it answers 404" in report.results[0].detail
