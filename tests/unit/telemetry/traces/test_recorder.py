from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from bedplate.telemetry.context import WorkContext, bind_context, current
from bedplate.telemetry.traces import TraceRecorder, Traces, TraceSettings, inject, span, start_work, traced
from bedplate.telemetry.traces.notes import Entry, Notes


def finish(recorder: TraceRecorder, work: WorkContext, **changes: Any) -> str | None:
    request: dict[str, Any] = {
        "method": "GET",
        "route": "/orders/{id}",
        "path": "/orders/7",
        "status": 200,
        "started_ns": time.time_ns(),
        "duration_s": 0.01,
        "error": None,
    }
    return recorder.finish_request(work, **(request | changes))


@pytest.mark.parametrize(
    ("request_", "sampled", "reason"),
    [
        ({}, False, None),
        ({"status": 404}, False, None),
        ({"status": 503}, False, "error"),
        ({"error": ValueError()}, False, "error"),
        ({"duration_s": 1.0}, False, "slow"),
        ({"duration_s": 1.0, "status": 500}, True, "error"),
        ({}, True, "sampled"),
    ],
)
def test_a_request_is_kept_for_a_reason(
    make_recorder: Any, host: Any, work: WorkContext, request_: Any, sampled: bool, reason: str | None
) -> None:
    recorder = make_recorder(host)
    work.sampled = sampled
    assert finish(recorder, work, **request_) == reason
    assert len(recorder.store) == (reason is not None)
    assert host.values == ({("kept_total", reason): 1} if reason else {})


def test_a_failed_request_of_an_unsampled_trace_has_all_its_spans(
    make_recorder: Any, host: Any, work: WorkContext
) -> None:
    recorder = make_recorder(host)
    work.parent_id = "00f067aa0ba902b7"
    bind_context(user_id="u-1")
    with pytest.raises(ValueError):
        with span("outer"), span("inner", token="abcdefgh", symbol="X"):
            raise ValueError("no")
    began = time.time_ns()
    finish(recorder, work, status=500, started_ns=began, error=ValueError("password=hunter22 refused"))
    trace = recorder.store.get(work.trace_id)
    assert trace is not None
    root, outer, inner = trace["spans"]
    assert (root["id"], root["parent"], root["kind"]) == (work.span_id, "00f067aa0ba902b7", "server")
    assert root["attributes"] == {
        "http.request.method": "GET",
        "http.route": "/orders/{id}",
        "url.path": "/orders/7",
        "http.response.status_code": 500,
        "user_id": "u-1",
    }
    assert (outer["parent"], inner["parent"]) == (work.span_id, outer["id"])
    assert (outer["error"], inner["error"]) == ("ValueError", "ValueError")
    assert inner["attributes"] == {"token": "[redacted]", "symbol": "X"}
    assert trace["error"]["type"] == "ValueError"
    assert "hunter22" not in str(trace)
    assert (trace["request_id"], trace["fields"], trace["service"]) == ("req-1", {"user_id": "u-1"}, "shop")
    assert (trace["name"], trace["method"], trace["route"], trace["status"]) == (
        "GET /orders/{id}",
        "GET",
        "/orders/{id}",
        500,
    )


def test_times_are_unix_times(make_recorder: Any, work: WorkContext) -> None:
    recorder = make_recorder()
    began = time.time_ns()
    with span("block"):
        pass
    finish(recorder, work, status=500, started_ns=began, duration_s=1.0)
    (record,) = recorder.store.drain()
    block = record["spans"][1]
    assert began - 50_000_000 <= block["started_ns"] <= block["ended_ns"] <= time.time_ns() + 50_000_000
    assert record["started"] == began / 1e9


def test_a_path_that_matched_nothing_is_no_name(make_recorder: Any, work: WorkContext) -> None:
    recorder = make_recorder()
    finish(recorder, work, route="", path="/wp-admin?token=abcdefgh", status=500)
    (found,) = recorder.store.search()
    assert found["name"] == "GET"
    assert "abcdefgh" not in str(recorder.store.get(work.trace_id))


def test_an_error_without_words_is_no_error_of_ours(make_recorder: Any, work: WorkContext) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    recorder = make_recorder()
    assert finish(recorder, work, error=Mute()) == "error"
    assert recorder.store.search()[0]["error"] == {"type": Mute.__qualname__, "message": ""}


def test_dropped_notes_are_counted(make_recorder: Any, host: Any, work: WorkContext) -> None:
    recorder = make_recorder(host, max_spans=3)
    work.recorder = recorder
    for _ in range(10):
        with span("leaf"):
            pass
    finish(recorder, work, status=500)
    assert host.values[("spans_dropped_total",)] == 7
    assert recorder.store.search()[0]["dropped"] == 7


def test_a_slow_operation_is_counted_logged_and_kept(make_recorder: Any, host: Any, work: WorkContext) -> None:
    recorder = make_recorder(host)
    work.recorder = recorder

    @traced("inner")
    def inner() -> None: ...

    @traced("slow one", slow=0.0)
    def slow() -> None:
        inner()

    slow()
    assert host.values == {("slow_operations_total", "slow one"): 1}
    ((level, event, context),) = host.log.records
    assert (level, event) == ("warning", "slow_operation")
    assert (context["operation"], context["trace_id"]) == ("slow one", work.trace_id)
    # Kept at once, for the request may never be finished, and whole as soon as it is.
    assert [s["name"] for s in recorder.store.get(work.trace_id)["spans"]] == ["slow one", "inner"]
    assert work.keep
    assert finish(recorder, work) == "slow"
    trace = recorder.store.get(work.trace_id)
    assert [s["name"] for s in trace["spans"]] == ["GET /orders/{id}", "slow one", "inner"]
    assert host.values[("kept_total", "slow")] == 1


def test_the_recorders_threshold_is_for_those_without_their_own(
    make_recorder: Any, host: Any, work: WorkContext
) -> None:
    work.recorder = make_recorder(host, slow_threshold=1e-9)
    with span("default"):
        pass
    with span("patient", slow=60):
        pass
    work.sampled = True
    with span("sampled"):
        pass
    assert {name for _, name in host.values} == {"default", "sampled"}


def test_a_slow_loop_does_not_flood_the_log_or_the_metric(make_recorder: Any, host: Any, work: WorkContext) -> None:
    work.recorder = recorder = make_recorder(host)
    for _ in range(50):
        with span("same", slow=0.0):
            pass
    assert len(host.log.records) == 1
    for n in range(300):
        recorder.slow_operation(work, Entry(f"name {n}", n + 1, 0, 0, 1, None, None))
    names = {key[1] for key in host.values}
    assert host.values[("slow_operations_total", "same")] == 50
    assert len(names) <= 202 and "_other" in names
    assert sum(host.values.values()) == 350


async def test_a_task_that_outlives_its_request_still_reaches_the_trace(make_recorder: Any, work: WorkContext) -> None:
    work.recorder = recorder = make_recorder()
    go = asyncio.Event()

    @traced("send mail")
    async def send() -> None:
        await go.wait()

    task = asyncio.create_task(send())
    await asyncio.sleep(0)
    finish(recorder, work, status=500)
    go.set()
    await task
    trace = recorder.store.get(work.trace_id)
    assert [s["name"] for s in trace["spans"]] == ["GET /orders/{id}", "send mail"]
    assert trace["reason"] == "error"


def test_late_spans_are_bounded(make_recorder: Any, host: Any, work: WorkContext) -> None:
    work.recorder = recorder = make_recorder(host, max_spans=5)
    finish(recorder, work, status=500)
    for _ in range(20):
        with span("late"):
            pass
    assert len(recorder.store.get(work.trace_id)["spans"]) == 6
    assert host.values[("spans_dropped_total",)] == 15


def test_notes_of_other_makers_are_not_ours(make_recorder: Any, work: WorkContext) -> None:
    recorder = make_recorder()
    work.notes = [("something", "else")]
    finish(recorder, work, status=500)
    assert len(recorder.store.get(work.trace_id)["spans"]) == 1


@pytest.mark.parametrize("ratio", [0.0, 0.1, 1.0])
def test_sampling_is_by_the_id_so_that_services_agree(make_recorder: Any, ratio: float) -> None:
    recorder, other = make_recorder(sample_ratio=ratio), make_recorder(sample_ratio=ratio)
    import random

    ids = [f"{random.Random(n).getrandbits(128):032x}" for n in range(2000)]
    share = sum(recorder.sample(key) for key in ids) / len(ids)
    assert share == pytest.approx(ratio, abs=0.03)
    assert all(recorder.sample(key) == other.sample(key) for key in ids)
    assert recorder.sample(ids[0], True) and not recorder.sample(ids[0], False)


def test_a_job_is_kept_like_a_request(make_recorder: Any, host: Any) -> None:
    recorder = make_recorder(host, sample_ratio=0.0)
    with recorder.start_work(name="digest") as quick:
        with span("step"):
            pass
    with (
        pytest.raises(ValueError),
        recorder.start_work(name="digest", kind="job", attributes={"queue": "mail"}) as failed,
    ):
        with span("step"):
            raise ValueError("broken")
    assert recorder.store.get(quick.trace_id) is None
    trace = recorder.store.get(failed.trace_id)
    assert [(s["name"], s["kind"], s["error"]) for s in trace["spans"]] == [
        ("digest", "job", "ValueError"),
        ("step", "internal", "ValueError"),
    ]
    assert trace["spans"][0]["attributes"] == {"queue": "mail"}
    assert trace["error"] == {"type": "ValueError", "message": "broken"}
    assert current.get() is None


def test_what_is_cancelled_has_not_failed(make_recorder: Any) -> None:
    recorder = make_recorder(sample_ratio=0.0)
    with pytest.raises(asyncio.CancelledError), recorder.start_work(name="loop"):
        raise asyncio.CancelledError
    assert len(recorder.store) == 0


def test_traced_alone_is_a_trace_of_its_own_while_a_recorder_runs(make_recorder: Any, host: Any) -> None:
    recorder = make_recorder(host, sample_ratio=1.0)

    @traced("nightly", slow=60)
    def nightly() -> str:
        with span("step"):
            return "done"

    @traced("rows")
    def rows() -> Any:
        with span("fetch"):
            yield current.get()

    assert nightly() == "done"
    for work in rows():
        assert work is not None and current.get() is None
    assert current.get() is None
    traces = [recorder.store.get(found["trace_id"]) for found in recorder.store.search()]
    assert [[s["name"] for s in trace["spans"]] for trace in traces] == [["rows", "fetch"], ["nightly", "step"]]


async def test_traced_alone_works_for_coroutines_and_keeps_its_own_threshold(make_recorder: Any, host: Any) -> None:
    recorder = make_recorder(host, sample_ratio=0.0)

    @traced("job", slow=0.0)
    async def job() -> None:
        with span("step") as s:
            s.set(n=1)

    await job()
    with span("block", slow=0.0) as s:
        s.set(rows=3)
    found = recorder.store.search()
    assert [(trace["name"], trace["reason"]) for trace in found] == [("block", "slow"), ("job", "slow")]
    assert recorder.store.get(found[0]["trace_id"])["spans"][0]["attributes"] == {"rows": 3}


def test_of_several_services_none_is_taken_for_another(make_recorder: Any, host: Any) -> None:
    first, second = make_recorder(host, sample_ratio=1.0), make_recorder(host, sample_ratio=1.0)
    with span("whose?"):
        assert current.get() is None
    assert (len(first.store), len(second.store)) == (0, 0)
    with second.start_work(name="hers"), span("step"):
        headers: dict[str, str] = {}
        inject(headers)
    assert (len(first.store), len(second.store)) == (0, 1)
    assert headers["traceparent"].endswith("-01")


async def test_code_of_a_component_belongs_to_its_service(host: Any) -> None:
    ours = Traces(TraceSettings(sample_ratio=1.0))
    other = Traces(TraceSettings(sample_ratio=1.0))
    async with other.lifespan(host), ours.lifespan(host):

        async def spawned() -> None:
            with span("refresh"):
                await asyncio.sleep(0)

        await asyncio.create_task(spawned())
    assert [found["name"] for found in ours.store.search()] == ["refresh"]
    assert len(other.store) == 0
    with span("after"):
        assert current.get() is None


def test_without_a_recorder_a_job_still_has_an_identity() -> None:
    with start_work(name="script") as work, span("step") as s:
        assert s.recording and work.recorder is None and not work.sampled
    assert isinstance(work.notes, Notes) and len(work.notes) == 1


def test_one_trace_through_two_services_in_one_process(make_recorder: Any, host: Any) -> None:
    recorder = make_recorder(host, sample_ratio=1.0)
    headers: dict[str, str] = {}
    with recorder.start_work(name="caller"):
        with span("call"):
            inject(headers)
            with recorder.start_work(headers, name="callee"), span("work"):
                pass
    (found,) = recorder.store.search()
    spans = recorder.store.get(found["trace_id"])["spans"]
    assert [(s["name"], s["depth"]) for s in spans] == [("caller", 0), ("call", 1), ("callee", 2), ("work", 3)]
    assert found["name"] == "caller"
