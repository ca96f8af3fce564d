"""Declared events: the signature is the declaration."""

from __future__ import annotations

import inspect
import logging
from typing import Any

import pytest

from bedplate.problems import BedplateError, DeclarationError
from bedplate.telemetry.logs import Event, event


@event
def log_bot_request(*, user_id: int, command: str, duration_ms: float | None = None) -> None:
    """A command that a user sent to the bot."""


@event(name="ai_categorization", level="WARNING", logger="midas.ai")
def log_unsure(*, confidence: float, exc_info: BaseException | None = None) -> None:
    """The model was unsure."""


def test_an_event_logs_its_name_and_fields(records: list[Any]) -> None:
    log_bot_request(user_id=7, command="/spend")
    made = records[-1]
    assert (made.msg, made.name, made.levelno) == ("bot_request", __name__, logging.INFO)
    assert made.context == {"user_id": 7, "command": "/spend"}
    assert made.funcName == "test_an_event_logs_its_name_and_fields"


def test_name_level_and_logger_may_be_given_and_an_exception_carried(records: list[Any]) -> None:
    error = ValueError("odd")
    log_unsure(confidence=0.2, exc_info=error)
    made = records[-1]
    assert (made.msg, made.name, made.levelno) == ("ai_categorization", "midas.ai", logging.WARNING)
    assert made.context == {"confidence": 0.2}
    assert made.exc_info is not None
    assert made.exc_info[1] is error


def test_undeclared_fields_do_not_leak_and_missing_ones_are_named(records: list[Any]) -> None:
    log_bot_request("positional", user_id=7, token="t", statement="private")  # type: ignore[call-arg]
    assert records[-1].context == {
        "user_id": 7,
        "undeclared": ["statement", "token", "argument 0"],
        "missing": ["command"],
    }


def test_a_quiet_logger_costs_nothing_and_says_nothing(records: list[Any]) -> None:
    logging.getLogger("midas.ai").setLevel(logging.ERROR)
    try:
        log_unsure(confidence=0.1)
    finally:
        logging.getLogger("midas.ai").setLevel(logging.NOTSET)
    assert records == []


def test_it_documents_itself_as_the_function_does() -> None:
    assert isinstance(log_bot_request, Event)
    assert log_bot_request.__doc__ == log_bot_request.summary == "A command that a user sent to the bot."
    assert list(inspect.signature(log_bot_request).parameters) == ["user_id", "command", "duration_ms"]
    assert log_bot_request.fields == {"user_id", "command", "duration_ms"}
    assert log_bot_request.required == {"user_id", "command"}


def test_only_keywords_can_be_declared() -> None:
    with pytest.raises(DeclarationError, match=r"declares user_id, more as more than a keyword"):

        @event
        def log_loose(user_id: int, **more: int) -> None: ...

    with pytest.raises(BedplateError, match="no log level 'LOUD'"):
        event(level="LOUD")(lambda: None)
