"""The latest records, searched, drained and followed, within their bounds."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bedplate.problems import BedplateError
from bedplate.telemetry.logs.levels import LEVELS
from bedplate.telemetry.logs.tail import LogTail


def line(message: str, level: str = "INFO", **fields: Any) -> tuple[int, bytes]:
    record = {"timestamp": "2026-01-01T00:00:00.000000Z", "level": level, "logger": "app", "message": message, **fields}
    return LEVELS[level], json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def messages(records: list[dict[str, Any]]) -> list[str]:
    return [record["message"] for record in records]


@pytest.fixture
def tail() -> LogTail:
    tail = LogTail()
    tail.add([line("one", logger="app.a", request_id="r1", trace_id="t1")])
    tail.add(
        [
            line("two", "WARNING", logger="app.a.b", request_id="r2"),
            line('Zwei "Ä"', "ERROR", logger="apple", trace_id="t1", timestamp="2026-01-02T00:00:00.000000Z"),
        ]
    )
    return tail


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ['Zwei "Ä"', "two", "one"]),
        ({"limit": 1}, ['Zwei "Ä"']),
        ({"level": "warning"}, ['Zwei "Ä"', "two"]),
        ({"logger": "app.a"}, ["two", "one"]),
        ({"request_id": "r1"}, ["one"]),
        ({"trace_id": "t1"}, ['Zwei "Ä"', "one"]),
        ({"text": 'ZWEI "ä'}, ['Zwei "Ä"']),
        ({"since": "2026-01-01T12:00:00"}, ['Zwei "Ä"']),
        ({"text": "t1", "request_id": "t1"}, []),
    ],
)
def test_search(tail: LogTail, filters: dict[str, Any], found: list[str]) -> None:
    assert messages(tail.search(**filters)) == found


def test_an_unknown_level_is_refused(tail: LogTail) -> None:
    with pytest.raises(BedplateError, match="no log level"):
        tail.search(level="LOUD")


def test_it_is_bounded_by_number_and_by_bytes() -> None:
    by_number = LogTail(max_records=3)
    by_number.add([line(str(number)) for number in range(5)])
    by_number.add([line("last")])
    assert messages(by_number.search()) == ["last", "4", "3"]

    by_bytes = LogTail(max_bytes=1_000)
    for number in range(100):
        by_bytes.add([line(str(number))])
    assert by_bytes.size <= 1_000
    assert 5 < len(by_bytes) < 12
    by_bytes.add([line("x" * 2_000)])
    assert len(by_bytes) == 0


def test_drain_returns_each_record_once_and_keeps_it(tail: LogTail) -> None:
    assert messages(tail.drain()) == ["one", "two", 'Zwei "Ä"']
    assert tail.drain() == []
    tail.add([line("new")])
    assert messages(tail.drain()) == ["new"]
    assert len(tail) == 4


def test_records_that_went_before_they_were_drained_are_counted() -> None:
    tail = LogTail(max_records=2)
    tail.add([line(str(number)) for number in range(5)])
    assert tail.missed == 0
    assert messages(tail.drain()) == ["3", "4"]
    assert tail.missed == 3


def test_drained_records_extend_another_tail(tail: LogTail) -> None:
    other = LogTail()
    other.extend(tail.drain())
    assert other.search() == tail.search()
    assert messages(other.search(level="ERROR")) == ['Zwei "Ä"']
    assert other.drain() == []


def test_what_is_under_way_is_caught_up_with_before_reading() -> None:
    tail = LogTail()
    tail.catch_up = lambda: tail.add([line("late")])
    assert messages(tail.search()) == ["late"]


async def test_following_yields_matching_records_as_they_come(tail: LogTail) -> None:
    with tail.subscribe(level="ERROR") as records:
        await asyncio.to_thread(tail.add, [line("info"), line("boom", "ERROR")])
        assert (await anext(records))["message"] == "boom"
        coming = asyncio.ensure_future(anext(records))
        await asyncio.to_thread(tail.add, [line("again", "CRITICAL")])
        assert (await coming)["message"] == "again"
    await asyncio.to_thread(tail.add, [line("unheard", "ERROR")])


async def test_a_slow_follower_loses_the_oldest_and_it_is_counted() -> None:
    tail = LogTail()
    with tail.subscribe(buffer=3) as records:
        for number in range(10):
            tail.add([line(str(number))])
        await asyncio.sleep(0.01)
        assert [(await anext(records))["message"] for _ in range(3)] == ["7", "8", "9"]
    assert tail.missed == 7
