"""Everything that logs in the process arrives, once, and all is as before when the service has gone."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog

from bedplate.telemetry.logs.bridge import Bridge, attached
from bedplate.telemetry.logs.records import EventRecord, FastRecord


class Taker:
    def __init__(self) -> None:
        self.records: list[logging.LogRecord] = []

    def take(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def taker() -> Iterator[Taker]:
    bridge, taker = Bridge(), Taker()
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    bridge.attach(taker)
    yield taker
    bridge.detach(taker)
    root.setLevel(level)


def test_records_of_logging_arrive(taker: Taker) -> None:
    logging.getLogger("any.library").info("hello %s", "there", extra={"n": 1})
    (record,) = taker.records
    assert record.getMessage() == "hello there"
    assert record.__dict__["n"] == 1
    assert type(record) is FastRecord


def test_warnings_arrive(taker: Taker) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert [record.name for record in taker.records] == ["py.warnings"]
    assert "old way" in taker.records[0].getMessage()


def test_structlog_arrives_with_its_context_and_place(taker: Taker) -> None:
    log = structlog.get_logger("their.module").bind(tenant=7)
    with structlog.contextvars.bound_contextvars(request="r"):
        log.info("event", rows=3)
    log.debug("fine")
    try:
        raise ValueError("bad")
    except ValueError:
        log.exception("failed")
    first, second, third = taker.records
    assert isinstance(first, EventRecord)
    assert (first.name, first.levelno, first.msg) == ("their.module", logging.INFO, "event")
    assert first.context == {"tenant": 7, "request": "r", "rows": 3}
    assert (first.filename, first.funcName) == (
        "test_log_bridge.py",
        "test_structlog_arrives_with_its_context_and_place",
    )
    assert second.levelno == logging.DEBUG
    assert third.levelno == logging.ERROR
    assert third.exc_info is not None


def test_a_service_with_a_structlog_of_its_own_keeps_it() -> None:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])
    bridge, taker = Bridge(), Taker()
    try:
        bridge.attach(taker)
        bridge.detach(taker)
        assert len(structlog.get_config()["processors"]) == 1
    finally:
        structlog.reset_defaults()


def test_console_handlers_of_others_are_taken_over_and_given_back() -> None:
    uvicorn = logging.getLogger("uvicorn.test")
    console, own = logging.StreamHandler(sys.stderr), logging.NullHandler()
    uvicorn.handlers = [console, own]
    uvicorn.propagate = False
    bridge, taker = Bridge(), Taker()
    bridge.attach(taker)
    try:
        assert uvicorn.handlers == [own]
        uvicorn.error("Started")
        assert [record.msg for record in taker.records] == ["Started"]
    finally:
        bridge.detach(taker)
    assert set(uvicorn.handlers) == {console, own}
    assert uvicorn.propagate is False
    uvicorn.handlers = []


def test_all_is_as_before_afterwards() -> None:
    root = logging.getLogger()
    before = (list(root.handlers), logging.getLogRecordFactory(), warnings.showwarning, structlog.is_configured())
    bridge, taker = Bridge(), Taker()
    bridge.attach(taker)
    assert logging.getLogRecordFactory() is FastRecord
    bridge.detach(taker)
    after = (list(root.handlers), logging.getLogRecordFactory(), warnings.showwarning, structlog.is_configured())
    assert after == before


def test_of_two_services_each_gets_its_own_and_the_bridge_stands_until_the_last_goes() -> None:
    bridge, one, two = Bridge(), Taker(), Taker()
    bridge.attach(one)
    bridge.attach(two)
    log = logging.getLogger("shared.library")
    log.warning("of the first")
    attached.mark(two)
    log.warning("of the second")
    bridge.detach(one)
    log.warning("still of the second")
    bridge.detach(two)
    log.warning("of nobody")
    assert [record.msg for record in one.records] == ["of the first"]
    assert [record.msg for record in two.records] == ["of the second", "still of the second"]
