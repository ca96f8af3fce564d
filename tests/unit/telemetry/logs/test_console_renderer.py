"""Lines for people, which cannot lie to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bedplate.telemetry.logs.console import ConsoleRenderer, wants_colour


def rendered(colour: bool = False, **fields: Any) -> str:
    record = {
        "timestamp": "2026-01-01T12:34:56.789012Z",
        "level": "INFO",
        "logger": "app",
        "message": "hello",
        **fields,
    }
    return ConsoleRenderer(colour=colour)(json.dumps(record).encode() + b"\n").decode()


def test_a_record_is_one_line_with_its_context() -> None:
    text = rendered(service="s", file="a.py", request_id=None, user_id=7, note="two words", rows=[1, 2])
    assert text == '12:34:56.789 INFO     app hello                            user_id=7 note="two words" rows=[1,2]\n'


def test_a_record_without_context_has_no_trailing_spaces() -> None:
    assert rendered() == "12:34:56.789 INFO     app hello\n"


def test_levels_have_colours_where_they_are_wanted() -> None:
    assert "\x1b[31mERROR   \x1b[0m" in rendered(colour=True, level="ERROR")
    assert "\x1b" not in rendered(level="ERROR")


def test_an_exception_follows_indented() -> None:
    text = rendered(exception={"type": "E", "message": "m", "stack": "Traceback\n  File\nE: m"})
    assert text.endswith("hello\n    Traceback\n      File\n    E: m\n")


def test_control_characters_are_shown_and_not_sent() -> None:
    text = rendered(message="a\nforged\x1b[2J\x9b", note="b\x07", exception={"stack": "c\x1b[2J"})
    assert "a\\nforged\\x1b[2J\\x9b" in text
    assert not set(text) & {"\x1b", "\x9b", "\x07"}


@pytest.mark.parametrize("line", [b"plain text\n", b"[1,2]\n", b"{broken\n", b"\xff\n"])
def test_what_is_no_record_stays_as_it_is(line: bytes) -> None:
    assert ConsoleRenderer()(line) == line


def test_colours_are_for_terminals_that_want_them() -> None:
    assert wants_colour({"TERM": "xterm"})
    assert not wants_colour({"NO_COLOR": "1"})
    assert not wants_colour({"TERM": "dumb"})
