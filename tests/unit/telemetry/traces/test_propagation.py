from __future__ import annotations

from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.traces import inject, parse_traceparent, span, start_work, traced_client_hooks
from bedplate.telemetry.traces.propagation import clean_tracestate, read_headers

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f" 00-{TRACE}-{SPAN}-fe\t", False),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-brings", True),
        (f"01-{TRACE}-{SPAN}-09-", True),
    ],
)
def test_valid_parents_are_continued(value: str, sampled: bool) -> None:
    assert parse_traceparent(value) == (TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN.upper()}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00-{chr(0x660) * 32}-{SPAN}-01",
    ],
)
def test_invalid_parents_are_ignored(value: str) -> None:
    assert parse_traceparent(value) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(value: str) -> None:
    parent = parse_traceparent(value)
    assert parent is None or len(parent.trace_id) == 32


@pytest.mark.parametrize(
    ("values", "clean"),
    [
        (["congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"], "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        (["a=1", "b=2"], "a=1,b=2"),
        ([" a=1 ,, b=2\t"], "a=1,b=2"),
        (["fw529a3039@dt=FfD,1a@b=c"], "fw529a3039@dt=FfD,1a@b=c"),
        (["a=1,a=2"], ""),
        (["A=1"], ""),
        (["a"], ""),
        (["a=b=c"], ""),
        (["1a=b"], ""),
        ([",".join(f"k{i}=v" for i in range(33))], ""),
        (["a=" + "x" * 257], ""),
        (["k=" + "v" * 200 + ",l=" + "v" * 200 + ",m=" + "v" * 200], ""),
        ([""], ""),
    ],
)
def test_tracestate(values: list[str], clean: str) -> None:
    assert clean_tracestate(*values) == clean


def test_a_call_carries_the_innermost_span(work: WorkContext) -> None:
    work.tracestate = "congo=t61"
    outer: dict[str, str] = {}
    inner: dict[str, str] = {}
    inject(outer)
    with span("call"):
        inject(inner)
    assert outer["traceparent"] == f"00-{work.trace_id}-{work.span_id}-00"
    parent = parse_traceparent(inner["traceparent"])
    assert parent is not None
    assert (parent.trace_id, parent.span_id) == (work.trace_id, f"{(work.notes or [])[0][1]:016x}")
    assert inner["tracestate"] == "congo=t61"
    assert inner["x-request-id"] == "req-1"


def test_nothing_is_added_outside_work_and_nothing_replaced_inside(work: WorkContext) -> None:
    given = {"traceparent": "mine"}
    inject(given)
    token = current.set(None)
    nothing: dict[str, str] = {}
    inject(nothing)
    current.reset(token)
    bare: dict[str, str] = {}
    inject(bare, request_id=False)
    assert (given, nothing) == ({"traceparent": "mine"}, {})
    assert set(bare) == {"traceparent"}


async def test_hooks_serve_both_kinds_of_client(work: WorkContext) -> None:
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers.get("TraceParent"))
        return httpx2.Response(200)

    transport = httpx2.MockTransport(answer)
    with httpx2.Client(transport=transport, event_hooks=traced_client_hooks()) as client:
        client.get("http://other/")
    async with httpx2.AsyncClient(transport=transport, event_hooks=traced_client_hooks()) as client:
        await client.get("http://other/")
    assert seen == [f"00-{work.trace_id}-{work.span_id}-00"] * 2


def test_headers_of_a_job_are_read_in_any_case_and_form() -> None:
    headers = {"TraceParent": f"00-{TRACE}-{SPAN}-01", "TRACESTATE": "a=1", "X-Request-ID": "r-1", "retries": 3, 4: "x"}
    assert read_headers(headers) == ((TRACE, SPAN, True), "a=1", "r-1")
    assert read_headers(None) == (None, "", "")
    assert read_headers({"traceparent": b"x", "tracestate": "a=1", "x-request-id": "no\nline"}) == (None, "", "")


def test_a_job_continues_the_trace_of_whoever_asked_for_it(work: WorkContext) -> None:
    headers: dict[str, str] = {}
    work.sampled, work.tracestate = True, "a=1"
    with span("enqueue"):
        inject(headers)
    sender = f"{(work.notes or [])[0][1]:016x}"
    token = current.set(None)
    with start_work(headers) as job:
        assert current.get() is job
        assert (job.trace_id, job.parent_id, job.tracestate) == (work.trace_id, sender, "a=1")
        assert job.request_id == "req-1"
        assert job.span_id != work.span_id
    assert current.get() is None
    with start_work({}) as fresh:
        assert fresh.trace_id != work.trace_id and fresh.request_id
    current.reset(token)
