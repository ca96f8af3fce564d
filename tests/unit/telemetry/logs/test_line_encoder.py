"""Records become JSON lines with the fields that are promised, whatever they hold."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.context import WorkContext, current
from bedplate.telemetry.logs.records import FastRecord, LineEncoder, make_record
from bedplate.telemetry.redaction import Redactor

PROMISED = [
    "timestamp", "level", "logger", "message", "request_id", "user_id", "service", "file", "line", "function",
]  # fmt: skip


@pytest.fixture
def encoder() -> LineEncoder:
    return LineEncoder("ledger", Redactor(secrets=["hunter2!"]))


@pytest.fixture
def work() -> Iterator[WorkContext]:
    context = WorkContext("req-1", "a" * 32, "b" * 16)
    token = current.set(context)
    yield context
    current.reset(token)


def record(message: Any = "hello", *args: Any, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("app.reports", level, __file__, 42, message, args, None, "build")
    made.__dict__.update(extra)
    return made


def decoded(encoder: LineEncoder, made: logging.LogRecord) -> dict[str, Any]:
    line = encoder.encode(made)
    assert line is not None
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    result = json.loads(line)
    assert isinstance(result, dict)
    return result


def test_a_plain_record_has_the_promised_fields_in_order_and_no_others(encoder: LineEncoder) -> None:
    line = decoded(encoder, record("read %d rows", 7))
    assert list(line) == PROMISED
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert line.pop("file").endswith("logs/test_line_encoder.py")
    assert line == {
        "level": "INFO", "logger": "app.reports", "message": "read 7 rows", "request_id": None, "user_id": None,
        "service": "ledger", "line": 42, "function": "build",
    }  # fmt: skip


def test_the_work_at_hand_is_named(encoder: LineEncoder, work: WorkContext) -> None:
    work.fields = {"user_id": 7, "command": "/spend"}
    line = decoded(encoder, record())
    assert (line["request_id"], line["trace_id"], line["span_id"]) == ("req-1", "a" * 32, "b" * 16)
    assert (line["user_id"], line["command"]) == (7, "/spend")


def test_extra_becomes_fields(encoder: LineEncoder) -> None:
    line = decoded(encoder, record(organisation=42, password="open sesame"))
    assert line["organisation"] == 42
    assert line["password"] == "[redacted]"


def test_what_formatters_leave_behind_is_no_field(encoder: LineEncoder) -> None:
    line = decoded(encoder, record("on port 8000", color_message="on port \x1b[1m8000", asctime="12:00"))
    assert line["message"] == "on port 8000"
    assert line.keys().isdisjoint({"color_message", "asctime"})


def test_context_goes_before_the_work_at_hand_but_never_replaces_what_identifies_the_record(
    encoder: LineEncoder, work: WorkContext
) -> None:
    made = make_record(
        logging.getLogger("x"),
        20,
        "event",
        {"user_id": 9, "trace_id": "c" * 32, "level": "fake", "service": "x"},
        None,
        0,
    )
    line = decoded(encoder, made)
    assert (line["user_id"], line["trace_id"]) == (9, "c" * 32)
    assert (line["level"], line["level_"], line["service"], line["service_"]) == ("INFO", "fake", "ledger", "x")


def test_secrets_are_redacted_in_messages_arguments_context_and_exceptions(encoder: LineEncoder) -> None:
    try:
        raise ValueError("cannot log in with password=hunter2! at redis://u:hunter2!@h/")
    except ValueError:
        made = record("login %s with hunter2!", "token=abcdefgh", note="hunter2!", card="4111111111111111")
        made.exc_info = sys.exc_info()
    text = json.dumps(decoded(encoder, made))
    for secret in ("hunter2", "abcdefgh", "411111111111"):
        assert secret not in text


def test_an_exception_is_told_with_type_message_and_stack(encoder: LineEncoder) -> None:
    try:
        raise KeyError("missing")
    except KeyError:
        made = record("failed", level=logging.ERROR)
        made.exc_info = sys.exc_info()
    exception = decoded(encoder, made)["exception"]
    assert exception["type"] == "KeyError"
    assert exception["message"] == "'missing'"
    assert 'raise KeyError("missing")' in exception["stack"]
    assert exception["stack"].endswith("KeyError: 'missing'")


def test_injected_lines_stay_one_line(encoder: LineEncoder) -> None:
    message = 'ok\n{"level":"CRITICAL","message":"forged"}\r\n\x1b[31mred\x9b31m'
    line = decoded(encoder, record(message))
    assert line["level"] == "INFO"
    assert line["message"].startswith("ok\n{")
    assert b"\x1b" not in (encoder.encode(record(message)) or b"")


def test_long_messages_are_cut(encoder: LineEncoder) -> None:
    line = decoded(encoder, record("x" * 20_000))
    assert line["message"].endswith("… [3616 characters cut]")


@pytest.mark.parametrize(
    "message", [None, 42, ValueError("odd"), b"bytes", "lone \ud800", "\x00", ["a"]], ids=lambda value: repr(value)[:20]
)
def test_any_message_is_taken(encoder: LineEncoder, message: Any) -> None:
    assert isinstance(decoded(encoder, record(message))["message"], str)
    assert encoder.failures == 0


def test_arguments_that_do_not_fit_cost_the_record_its_message_and_nothing_more(encoder: LineEncoder) -> None:
    line = decoded(encoder, record("two: %d %d", 1))
    assert line["message"] == "two: %d %d"
    assert "TypeError" in line["log_failure"]
    assert list(line)[: len(PROMISED)] == PROMISED
    assert encoder.failures == 1


def test_what_logs_while_it_is_logged_is_dropped_and_counted(encoder: LineEncoder) -> None:
    class Chatty:
        def __str__(self) -> str:
            assert encoder.encode(record("from __str__: %s", self)) is None
            return "chatty"

    assert decoded(encoder, record("see %s", Chatty()))["message"] == "see chatty"
    assert encoder.recursions == 1
    assert decoded(encoder, record("after"))["message"] == "after"


def test_a_fast_record_has_what_any_record_has() -> None:
    made = logging.LogRecord("a.b", 30, "/x/y.py", 1, "m %s", ("z",), None, "f")
    fast = FastRecord("a.b", 30, "/x/y.py", 1, "m %s", ("z",), None, "f")
    assert fast.__dict__.keys() == made.__dict__.keys()
    timing = {"created", "msecs", "relativeCreated"}
    assert {k: v for k, v in fast.__dict__.items() if k not in timing} == {
        k: v for k, v in made.__dict__.items() if k not in timing
    }
    assert FastRecord("a", 30, "/x/y.py", 1, "%(k)s", ({"k": 1},), None).getMessage() == "1"


class Immense:
    def __repr__(self) -> str:
        return "x" * 1_000_000


def test_a_line_is_bounded_whatever_the_context(encoder: LineEncoder) -> None:
    context = {str(number): ["y" * 10_000] * 100 for number in range(100)}
    line = encoder.encode(make_record(logging.getLogger("x"), 20, "event", {**context, "immense": Immense()}, None, 0))
    assert line is not None
    assert len(line) < 200_000


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.dates(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text() | st.integers(), inner, max_size=5),
    max_leaves=20,
)


@given(st.text(), st.dictionaries(st.text(), json_like, max_size=6))
def test_anything_becomes_one_line_of_json(message: str, context: dict[str, Any]) -> None:
    encoder = LineEncoder("s", Redactor())
    line = encoder.encode(make_record(logging.getLogger("x"), 20, message, context, None, 0))
    assert line is not None
    assert line.count(b"\n") == 1
    assert set(PROMISED) <= json.loads(line).keys()
    assert encoder.failures == 0
