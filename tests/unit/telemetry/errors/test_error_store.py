"""Errors in groups: counted once, kept within bounds, merged from workers."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.errors.groups import ErrorGroup
from bedplate.telemetry.errors.store import ErrorStore
from bedplate.telemetry.redaction import Redactor
from bedplate.testing import ManualClock

WORK = WorkContext("req-1", "a" * 32, "b" * 16)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start=60_000_000.0)


@pytest.fixture
def store(clock: ManualClock) -> ErrorStore:
    return ErrorStore(redactor=Redactor(), clock=clock, service="ledger")


def raised(message: str = "bad", kind: Callable[[str], BaseException] = ValueError) -> BaseException:
    try:
        raise kind(message)
    except BaseException as error:
        return error


def test_occurrences_of_one_fault_are_one_group(store: ErrorStore, clock: ManualClock) -> None:
    first = store.capture(raised("row 1 is bad"))
    clock.jump(90)
    second = store.capture(raised("row 2 is bad"), WORK, route="/rows")
    assert first == second
    (group,) = store.search()
    assert group["count"] == group["unhandled"] == 2
    assert (group["first_seen"], group["last_seen"]) == (60_000_000.0, 60_000_090.0)
    assert (group["type"], group["message"], group["service"]) == ("ValueError", "row 2 is bad", "ledger")
    assert (group["trace_id"], group["request_id"], group["route"]) == ("a" * 32, "req-1", "/rows")
    assert group["trend"][-2:] == [1, 1]
    assert len(group["trend"]) == 60
    detail = store.get(first)
    assert detail is not None
    assert "raise kind(message)" in detail["stack"]
    assert detail["frames"][-1]["function"] == "raised"
    assert json.dumps(detail)


def test_the_work_at_hand_is_taken_when_none_is_given(store: ErrorStore) -> None:
    work = WorkContext("req-2", "c" * 32, "d" * 16)
    work.fields = {"user_id": 7, "password": "open sesame"}
    token = current.set(work)
    fingerprint = store.capture(raised())
    current.reset(token)
    detail = store.get(fingerprint)
    assert detail is not None
    assert detail["request_id"] == "req-2"
    assert detail["context"] == {"user_id": 7, "password": "[redacted]"}


def test_secrets_do_not_reach_messages_or_stacks(store: ErrorStore) -> None:
    password = "tr0ub4dor"
    fingerprint = store.capture(raised(f"cannot connect to redis://:{password}@cache with card 4111111111111111"))
    text = json.dumps(store.get(fingerprint))
    assert "tr0ub4dor" not in text
    assert "411111111111" not in text


def test_an_exception_is_counted_once_on_its_way_through_the_layers(store: ErrorStore) -> None:
    error = raised()
    fingerprint = store.capture(error, handled=True, log={"logger": "app", "level": "ERROR", "message": "it failed"})
    assert store.capture(error, WORK, route="/rows") == fingerprint
    assert store.capture(error, WORK, route="task") == fingerprint
    (group,) = store.search()
    assert (group["count"], group["unhandled"], group["routes"]) == (1, 1, {"/rows": 1})
    detail = store.get(fingerprint)
    assert detail is not None
    assert detail["log"] == {"logger": "app", "level": "ERROR", "message": "it failed"}


def test_an_exception_object_that_is_raised_again_elsewhere_is_counted_again(store: ErrorStore) -> None:
    error = raised()
    store.capture(error, WORK)
    store.capture(error, WorkContext("req-2", "c" * 32, "d" * 16))
    assert store.search()[0]["count"] == 2


def test_each_service_counts_for_itself(store: ErrorStore) -> None:
    other = ErrorStore()
    error = raised()
    store.capture(error)
    other.capture(error)
    assert len(other) == 1


def test_exceptions_that_misbehave_are_captured(store: ErrorStore) -> None:
    class Frozen(Exception):
        def __setattr__(self, name: str, value: Any) -> None:
            raise AttributeError("frozen")

        def __str__(self) -> str:
            raise RuntimeError("no text")

    def forever() -> None:
        forever()

    try:
        forever()
    except RecursionError as error:
        assert store.capture(error)
    assert store.capture(raised("x", Frozen))
    assert store.capture(
        raised("x", lambda _: ExceptionGroup("many", [ValueError("1"), ExceptionGroup("in", [KeyError()])]))
    )
    assert len(store) == 3


def test_messages_with_user_input_do_not_flood_the_store(store: ErrorStore) -> None:
    words = [f"{first}{second}" for first in "abcdefghij" for second in "klmnopqrst"]
    for word in words:
        store.capture(raised(f"cannot parse {word}"))
    assert len(store) == 11
    assert sum(group["count"] for group in store.search()) == 100


def test_it_is_bounded_by_number_and_the_oldest_goes(clock: ManualClock) -> None:
    store = ErrorStore(max_groups=3, clock=clock)
    kinds = [type(f"Error{number}", (Exception,), {}) for number in range(5)]
    for kind in (*kinds[:3], kinds[0], *kinds[3:]):
        clock.jump(1)
        store.capture(raised("x", kind))
    assert [group["type"].rpartition(".")[2] for group in store.search()] == ["Error4", "Error3", "Error0"]
    assert store.evicted == 2


def test_it_is_bounded_by_bytes(clock: ManualClock) -> None:
    store = ErrorStore(max_groups=1_000, max_bytes=20_000, clock=clock)
    for number in range(50):
        store.capture(raised("x" * 1_500, type(f"Error{number}", (Exception,), {})))
    assert 2 < len(store) < 15
    assert store.evicted == 50 - len(store)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["KeyError", "ValueError"]),
        ({"type": "ValueError"}, ["ValueError"]),
        ({"route": "/rows"}, ["ValueError"]),
        ({"service": "other"}, []),
        ({"text": "MISSING"}, ["KeyError"]),
        ({"since": 60_000_005.0}, ["KeyError"]),
        ({"status": "resolved"}, []),
        ({"limit": 1}, ["KeyError"]),
    ],
)
def test_search(store: ErrorStore, clock: ManualClock, filters: dict[str, Any], found: list[str]) -> None:
    store.capture(raised("bad"), route="/rows")
    clock.jump(10)
    store.capture(raised("missing", KeyError))
    assert [group["type"] for group in store.search(**filters)] == found


def test_the_trend_covers_the_last_hour(store: ErrorStore, clock: ManualClock) -> None:
    store.capture(raised())
    clock.jump(59 * 60)
    store.capture(raised())
    assert store.search()[0]["trend"] == [1, *[0] * 58, 1]
    clock.jump(2 * 3600)
    assert sum(store.search()[0]["trend"]) == 0


def test_a_resolved_group_that_comes_back_has_regressed(store: ErrorStore) -> None:
    fingerprint = store.capture(raised())
    assert store.resolve(fingerprint)
    assert store.search()[0]["status"] == "resolved"
    store.capture(raised())
    assert (store.search()[0]["status"], store.search()[0]["regressed"]) == ("open", True)
    assert not store.resolve("0" * 16)


def test_a_muted_group_counts_on_until_its_time_is_up(store: ErrorStore, clock: ManualClock) -> None:
    fingerprint = store.capture(raised())
    store.mute(fingerprint, for_seconds=60)
    store.capture(raised())
    assert (store.search()[0]["status"], store.search()[0]["count"]) == ("muted", 2)
    clock.jump(61)
    store.capture(raised())
    assert store.search()[0]["status"] == "open"
    store.mute(fingerprint)
    store.reopen(fingerprint)
    assert store.search()[0]["status"] == "open"


def test_listeners_hear_of_each_error_once(store: ErrorStore) -> None:
    heard: list[tuple[str, bool]] = []

    def listen(group: ErrorGroup, error: BaseException, handled: bool) -> None:
        heard.append((group.fingerprint, handled))

    store.listeners = (listen,)
    error = raised()
    fingerprint = store.capture(error, handled=True)
    store.capture(error)
    assert heard == [(fingerprint, True)]


def test_workers_tell_what_is_new_and_it_adds_up(clock: ManualClock) -> None:
    ops = ErrorStore(clock=clock, service="ledger")
    workers = [ErrorStore(clock=clock, service="ledger") for _ in range(2)]
    for round_ in range(3):
        for worker in workers:
            worker.capture(raised(), route="/rows")
            worker.capture(raised("other", KeyError), handled=True)
        clock.jump(60)
        for worker in workers:
            ops.extend(json.loads(json.dumps(worker.drain())))
            assert worker.drain() == []
        assert {group["type"]: group["count"] for group in ops.search()} == {
            "ValueError": 2 * (round_ + 1),
            "KeyError": 2 * (round_ + 1),
        }
    group = next(group for group in ops.search() if group["type"] == "ValueError")
    assert (group["unhandled"], group["routes"], group["trend"][-4:]) == (6, {"/rows": 6}, [2, 2, 2, 0])
    assert (group["first_seen"], group["last_seen"]) == (60_000_000.0, 60_000_120.0)
    detail = ops.get(group["fingerprint"])
    assert detail is not None
    assert "raise kind(message)" in detail["stack"]


def test_threads_may_capture_at_once(store: ErrorStore) -> None:
    def capture() -> None:
        for _ in range(200):
            store.capture(raised())

    threads = [threading.Thread(target=capture) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.search()[0]["count"] == 800


def test_nothing_of_the_exception_is_kept_alive(store: ErrorStore) -> None:
    class Canary:
        def __del__(self) -> None:
            gone.append(True)

    gone: list[bool] = []

    def fail() -> None:
        canary = Canary()
        raise ValueError(canary)

    try:
        fail()
    except ValueError as error:
        store.capture(error)
    logging.getLogger().debug("the exception has left its block")
    assert gone == [True]
