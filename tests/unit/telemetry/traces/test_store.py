from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.traces import TraceStore
from bedplate.telemetry.traces.tree import assemble, covered

SECOND = 1_000_000_000


def a_span(key: str, parent: str = "", start: float = 0, end: float = 1, **more: Any) -> dict[str, Any]:
    times = {"started_ns": int(start * SECOND), "ended_ns": int(end * SECOND)}
    return {
        "id": key,
        "parent": parent,
        "name": key,
        "kind": "internal",
        "error": None,
        "attributes": {},
        **times,
        **more,
    }


def a_record(trace_id: str, reason: str = "sampled", **more: Any) -> dict[str, Any]:
    record = {
        "trace_id": trace_id,
        "span_id": f"s-{trace_id}",
        "parent_id": "",
        "part": 0,
        "request_id": "r",
        "service": "shop",
        "name": "GET /orders",
        "kind": "server",
        "method": "GET",
        "route": "/orders",
        "status": 200,
        "error": None,
        "reason": reason,
        "started": 1000.0,
        "duration": 0.1,
        "dropped": 0,
        "spans": [a_span(f"s-{trace_id}")],
    }
    return record | more


def ids(found: list[dict[str, Any]]) -> list[str]:
    return [trace["trace_id"] for trace in found]


def test_a_flood_of_sampled_traces_leaves_errors_and_slow_ones() -> None:
    store = TraceStore(max_traces=10)
    store.add(a_record("bad", "error"))
    store.add(a_record("slow", "slow"))
    for n in range(100):
        store.add(a_record(f"fast{n}"))
    assert store.get("bad") and store.get("slow")
    assert store.get("fast0") is None and store.get("fast99")
    assert len(store) == 5


def test_it_is_bounded_by_bytes() -> None:
    store = TraceStore(max_traces=10_000, max_bytes=100_000)
    for n in range(500):
        store.add(a_record(f"t{n}", "error", note="x" * 2000))
    assert 0 < store.size <= 40_000
    store.clear()
    assert (len(store), store.size) == (0, 0)


def test_a_record_that_is_too_large_loses_its_last_spans_and_says_so() -> None:
    store = TraceStore(max_bytes=100_000)
    spans = [a_span(f"n{n}", attributes={"text": "x" * 100}) for n in range(400)]
    cut = store.add(a_record("t", "error", spans=spans))
    trace = store.get("t")
    assert trace is not None
    assert cut > 0 and trace["dropped"] == cut
    assert trace["spans"][0]["id"] == "n0"
    assert len(trace["spans"]) == 400 - cut
    assert store.size < 100_000


def test_a_trace_that_grows_without_end_loses_its_oldest_records() -> None:
    store = TraceStore(max_bytes=100_000)
    for n in range(300):
        store.add(a_record("t", "slow", part=n))
    assert store.size <= 30_000
    assert store.get("t") is not None


def test_two_services_contribute_to_one_trace() -> None:
    store = TraceStore()
    called = a_record("t", "error", service="bank", span_id="b", route="/pay", name="POST /pay", status=500)
    called |= {"started": 1000.01, "error": {"type": "ValueError", "message": "no"}}
    called["spans"] = [a_span("b", "call", 0.2, 0.8)]
    store.add(called)
    caller = a_record("t", span_id="a", spans=[a_span("a"), a_span("call", "a", 0.1, 0.9)])
    store.add(caller)
    trace = store.get("t")
    assert trace is not None
    assert [(span["id"], span["depth"], span["service"]) for span in trace["spans"]] == [
        ("a", 0, "shop"),
        ("call", 1, "shop"),
        ("b", 2, "bank"),
    ]
    assert (trace["reason"], trace["name"], trace["services"]) == ("error", "GET /orders", ["shop", "bank"])
    assert trace["error"] == {"type": "ValueError", "message": "no"}
    assert ids(store.search(route="/pay", status="5xx")) == ids(store.search(service="bank")) == ["t"]
    assert len(store) == 1


def test_a_later_record_of_the_same_work_replaces_the_first() -> None:
    store = TraceStore()
    store.add(a_record("t", "slow", name="half"))
    store.add(a_record("t", "slow", name="whole"))
    trace = store.get("t")
    assert trace is not None
    assert trace["name"] == "whole" and len(trace["records"]) == 1
    assert store.size < 3000


def test_search() -> None:
    store = TraceStore()
    error = {"type": "TimeoutError", "message": "no Answer"}
    store.add(a_record("a", "error", status=503, started=10.0, duration=2.0, error=error))
    store.add(
        a_record("b", "slow", route="/pay", name="POST /pay", started=20.0, duration=3.0, fields={"user_id": "Zoë"})
    )
    store.add(a_record("c", started=30.0, spans=[a_span("s", attributes={"symbol": "ÄBC"}), a_span("calc", "s")]))
    assert ids(store.search()) == ["c", "b", "a"]
    assert ids(store.search(limit=2)) == ["c", "b"]
    assert ids(store.search(route="/pay")) == ["b"]
    assert ids(store.search(name="POST /pay")) == ["b"]
    assert ids(store.search(name="calc")) == ["c"]
    assert ids(store.search(status=503)) == ids(store.search(status="5xx")) == ["a"]
    assert ids(store.search(status="4xx")) == []
    assert ids(store.search(min_duration=2.0)) == ["b", "a"]
    assert ids(store.search(error=True)) == ids(store.search(error="no answer")) == ["a"]
    assert ids(store.search(error=False)) == ["c", "b"]
    assert ids(store.search(text="zoë")) == ["b"]
    assert ids(store.search(text="äbc")) == ["c"]
    assert ids(store.search(since=20.0)) == ["c", "b"]
    assert ids(store.search(reason="slow", text="nothing")) == []


def test_what_is_drained_elsewhere_can_be_added_here() -> None:
    worker, ops = TraceStore(), TraceStore()
    worker.add(a_record("a", "error"))
    worker.add(a_record("b"))
    records = worker.drain()
    assert len(worker) == 0 and worker.drain() == []
    ops.extend(json.loads(json.dumps(records)))
    assert sorted(ids(ops.search())) == ["a", "b"]
    assert ops.get("a") == {**(ops.get("a") or {}), "reason": "error", "service": "shop"}


def test_threads_may_share_it() -> None:
    store = TraceStore(max_traces=30)
    failures: list[BaseException] = []

    def use(worker: int) -> None:
        try:
            for n in range(200):
                store.add(a_record(f"{worker}-{n}", ("error", "slow", "sampled")[n % 3]))
                store.search(limit=3)
                store.get(f"{worker}-{n}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(store) == 30


def test_self_time_counts_children_side_by_side_once() -> None:
    spans = assemble([a_span("a", "", 0, 10), a_span("b", "a", 1, 4), a_span("c", "a", 3, 6), a_span("d", "c", 3, 12)])
    shown = {span["id"]: (span["depth"], span["start"], span["duration"], span["self"]) for span in spans}
    assert [span["id"] for span in spans] == ["a", "b", "c", "d"]
    assert shown == {"a": (0, 0, 10, 5), "b": (1, 1, 3, 3), "c": (1, 3, 3, 0), "d": (2, 3, 9, 9)}


def test_orphans_and_circles_are_shown_too() -> None:
    spans = [
        a_span("a", "b"),
        a_span("b", "a"),
        a_span("me", "me"),
        a_span("orphan", "gone", 2, 1),
        a_span("x", "orphan"),
    ]
    shown = assemble(spans)
    assert sorted(span["id"] for span in shown) == ["a", "b", "me", "orphan", "x"]
    assert next(span for span in shown if span["id"] == "orphan")["duration"] == 0
    assert assemble([]) == []


def test_a_deep_tree_is_no_problem() -> None:
    spans = [a_span(str(n), str(n - 1) if n else "", n, 5000) for n in range(5000)]
    assert assemble(spans)[-1]["depth"] == 4999


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30))), st.integers(0, 30), st.integers(0, 30))
def test_coverage_is_that_of_the_union(intervals: list[tuple[int, int]], start: int, end: int) -> None:
    points = {p for first, last in intervals for p in range(max(first, start), min(last, end))}
    assert covered(intervals, start, max(start, end)) == len(points)


@given(data=st.data())
def test_self_times_add_up_when_children_lie_inside(data: st.DataObject) -> None:
    spans = [a_span("0", "", 0, 100)]
    for n in range(1, data.draw(st.integers(1, 12))):
        parent = data.draw(st.sampled_from(spans))
        free = (parent["started_ns"], parent["ended_ns"])
        taken = [s for s in spans if s["parent"] == parent["id"]]
        start = max([free[0], *(s["ended_ns"] for s in taken)])
        end = data.draw(st.integers(start, max(start, free[1])))
        spans.append(a_span(str(n), parent["id"]) | {"started_ns": start, "ended_ns": end})
    assert sum(span["self"] for span in assemble(spans)) == pytest.approx(100)
