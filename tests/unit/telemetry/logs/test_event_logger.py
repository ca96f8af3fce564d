"""The logger to call: keywords become context, and it works with or without a service."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from bedplate.component import Logger
from bedplate.telemetry.logs import EventLogger, get_logger
from bedplate.telemetry.logs.records import EventRecord


def test_it_is_what_components_are_promised() -> None:
    log: Logger = get_logger("app")
    assert isinstance(log.bind(a=1), EventLogger)


def test_keywords_are_context_and_the_place_is_the_callers(records: list[Any]) -> None:
    get_logger("app.x", component="cache").bind(tenant=7).info("built", rows=3)
    made = records[-1]
    assert isinstance(made, EventRecord)
    assert (made.name, made.levelno, made.msg) == ("app.x", logging.INFO, "built")
    assert made.context == {"component": "cache", "tenant": 7, "rows": 3}
    assert (made.filename, made.funcName) == (
        "test_event_logger.py",
        "test_keywords_are_context_and_the_place_is_the_callers",
    )


def test_binding_leaves_the_logger_as_it_was(records: list[Any]) -> None:
    log = get_logger("app")
    log.bind(a=1)
    log.info("event")
    assert records[-1].context == {}


@pytest.mark.parametrize("method", ["debug", "info", "warning", "error", "critical"])
def test_every_level_has_its_method(records: list[Any], method: str) -> None:
    getattr(get_logger("app"), method)("event")
    assert records[-1].levelname == method.upper()


def test_levels_of_logging_are_obeyed(records: list[Any]) -> None:
    log = get_logger("app.quiet")
    logging.getLogger("app.quiet").setLevel(logging.ERROR)
    try:
        log.info("not heard")
        log.log(logging.ERROR, "heard")
    finally:
        logging.getLogger("app.quiet").setLevel(logging.NOTSET)
    assert [made.getMessage() for made in records] == ["heard"]


def test_exceptions_are_carried_in_every_form(records: list[Any]) -> None:
    log = get_logger("app")
    error = ValueError("bad")
    try:
        raise error
    except ValueError:
        log.exception("handled")
        log.warning("noted", exc_info=True)
    log.error("given", exc_info=error)
    log.error("tuple", exc_info=(ValueError, error, None))
    assert [made.exc_info[1] for made in records if made.exc_info] == [error] * 4
    log.exception("nothing is being handled")  # noqa: LOG004 — on purpose
    assert records[-1].exc_info is None


def test_other_handlers_see_the_context_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("app").error("login", user="ada", password="open sesame")
    assert "login user='ada' password='[redacted]'" in caplog.text
    assert "sesame" not in caplog.text


def test_keywords_may_be_named_like_the_parameters(records: list[Any]) -> None:
    get_logger("app").info("event", event="other", self=1, level=3)
    assert records[-1].context == {"event": "other", "self": 1, "level": 3}
