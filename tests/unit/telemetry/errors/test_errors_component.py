"""Errors come in by themselves, are counted, and can be dealt with."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bedplate.declarations import Actor
from bedplate.service import Service
from bedplate.telemetry.errors import Errors, ErrorSettings
from bedplate.telemetry.errors.component import ERRORS, EVICTED, GROUPS, MuteError, WhichError
from bedplate.telemetry.logs import get_logger
from bedplate.testing import Harness, running, settings

OPERATOR = Actor("ada", "operator")


@asynccontextmanager
async def service(**values: Any) -> AsyncIterator[tuple[Harness, Errors]]:
    """Run a service with these settings of its errors."""
    made = Service("ledger", None, [], settings=settings(logs={"stream": "off"}, errors=values))
    async with running(made) as harness:
        yield harness, made.builtins.errors


class MarkedError(Exception):
    """Told from whatever else may fail in a test."""


def marked(errors: Errors) -> dict[str, Any]:
    (group,) = errors.store.search(type="MarkedError")
    return group


async def test_logged_exceptions_are_captured_as_handled_with_their_record() -> None:
    async with service() as (harness, errors):
        try:
            raise MarkedError("bad")
        except MarkedError:
            get_logger("app").exception("it failed", card="4111111111111111")
            logging.getLogger("app").warning("only a warning", exc_info=True)
        group = marked(errors)
        assert (group["count"], group["unhandled"]) == (1, 0)
        detail = errors.store.get(group["fingerprint"])
        assert detail is not None
        assert detail["log"] == {"logger": "app", "level": "ERROR", "message": "it failed"}
        assert await harness.value(ERRORS, error_type=group["type"]) == 1


async def test_a_thread_that_dies_is_captured(capsys: pytest.CaptureFixture[str]) -> None:
    def die() -> None:
        raise MarkedError("in a thread")

    before = threading.excepthook
    try:
        threading.excepthook = threading.__excepthook__  # pytest's own would fail the test
        async with service() as (_, errors):
            thread = threading.Thread(target=die, name="doomed")
            thread.start()
            await asyncio.to_thread(thread.join)
            group = marked(errors)
            assert (group["count"], group["unhandled"]) == (1, 1)
            detail = errors.store.get(group["fingerprint"])
            assert detail is not None
            assert "in thread %s" in detail["log"]["message"]
        assert threading.excepthook is threading.__excepthook__
    finally:
        threading.excepthook = before
    assert capsys.readouterr().err == ""


async def test_a_task_that_nobody_awaits_is_captured_once() -> None:
    async def die() -> None:
        raise MarkedError("in a task")

    async with service() as (_, errors):
        task = asyncio.create_task(die(), name="orphan")
        await asyncio.wait([task])
        del task
        gc.collect()
        await asyncio.sleep(0)
        group = marked(errors)
        assert (group["count"], group["unhandled"], group["routes"]) == (1, 1, {"orphan": 1})


async def test_what_ends_the_process_is_captured_and_interrupts_are_not() -> None:
    heard: list[BaseException] = []
    before = sys.excepthook
    sys.excepthook = lambda kind, error, traceback: heard.append(error)
    try:
        async with service() as (_, errors):
            error, interrupt = MarkedError("the end"), KeyboardInterrupt()
            sys.excepthook(MarkedError, error, None)
            sys.excepthook(KeyboardInterrupt, interrupt, None)
            assert marked(errors)["unhandled"] == 1
            assert heard == [error, interrupt]
            assert errors.store.search(type="KeyboardInterrupt") == []
    finally:
        sys.excepthook = before


async def test_hooks_are_given_back() -> None:
    loop = asyncio.get_running_loop()
    before = (sys.excepthook, threading.excepthook, loop.get_exception_handler(), list(logging.getLogger().handlers))
    async with service():
        assert sys.excepthook is not before[0]
        assert loop.get_exception_handler() is not before[2]
    after = (sys.excepthook, threading.excepthook, loop.get_exception_handler(), list(logging.getLogger().handlers))
    assert after == before


async def test_a_handler_of_the_loop_that_was_there_goes_on() -> None:
    loop = asyncio.get_running_loop()
    heard: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: heard.append(context))
    try:
        async with service() as (_, errors):
            error = MarkedError("x")
            loop.call_exception_handler({"message": "odd", "exception": error})
            loop.call_exception_handler({"message": "nothing raised"})
            assert [context["message"] for context in heard] == ["odd", "nothing raised"]
            assert marked(errors)["count"] == 1
    finally:
        loop.set_exception_handler(None)


async def test_groups_are_resolved_muted_and_reopened_by_actions() -> None:
    async with service() as (_, errors):
        fingerprint = errors.capture(MarkedError("x"))
        actions = {action.name: action for action in errors.actions()}
        known = {"fingerprint": fingerprint, "known": True}
        assert await actions["resolve"].run(WhichError(fingerprint=fingerprint), OPERATOR) == known
        assert marked(errors)["status"] == "resolved"
        assert await actions["mute"].run(MuteError(fingerprint=fingerprint, for_seconds=60), OPERATOR) == known
        assert marked(errors)["status"] == "muted"
        assert await actions["reopen"].run(WhichError(fingerprint=fingerprint), OPERATOR) == known
        assert marked(errors)["status"] == "open"
        unknown = await actions["resolve"].run(WhichError(fingerprint="0" * 16), OPERATOR)
        assert unknown == {"fingerprint": "0" * 16, "known": False}


async def test_types_groups_and_evictions_are_counted() -> None:
    async with service(max_groups=2) as (harness, errors):
        for kind in (MarkedError, KeyError, OSError):
            for _ in range(2):
                errors.capture(kind("x"))
        await harness.clock.advance(6)
        assert await harness.value(ERRORS, error_type="KeyError") == 2
        assert await harness.value(ERRORS) == 6
        assert await harness.value(GROUPS) == 2
        assert await harness.value(EVICTED) == 1


async def test_two_services_keep_their_errors_apart() -> None:
    async with service() as (_, one):
        other = Service("other", None, [], settings=settings(logs={"stream": "off"}))
        async with running(other):

            async def work(errors: Errors) -> None:
                errors.mark()
                logging.getLogger("shared").error("failed", exc_info=MarkedError("x"))

            await asyncio.create_task(work(other.builtins.errors))
            assert one.store.search(type="MarkedError") == []
            assert marked(other.builtins.errors)["service"] == "other"


def test_settings_take_the_dsn_of_the_service() -> None:
    dsn = "https://key@sentry.example/1"
    assert ErrorSettings.of(settings()).sentry_dsn is None
    made = ErrorSettings.of(settings(sentry_dsn=dsn))
    assert made.sentry_dsn is not None
    assert made.sentry_dsn.reveal() == dsn
    assert "key@" not in repr(made)


def test_a_malformed_dsn_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="is not a DSN") as caught:
        ErrorSettings.model_validate({"sentry_dsn": "sentry.example/hidden"})
    assert "hidden" not in str(caught.value)


def test_a_dsn_without_the_sdk_refuses_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Service("ledger", None, [], settings=settings(sentry_dsn="https://key@sentry.example/1"))
    assert made.refusals() == []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (refusal,) = made.refusals()
    assert refusal.component == "errors"
    assert "pip install 'bedplate[sentry]'" in refusal.mend
