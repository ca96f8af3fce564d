"""Stacks are bounded, relative, and survive exceptions that misbehave."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest

from bedplate.telemetry.redaction import Redactor
from bedplate.telemetry.stacks import chain, frames, in_app, qualified_name, render, short_path

REDACTOR = Redactor()


def rendered(error: BaseException, limit: int = 32_768) -> str:
    return render(error, limit, redactor=REDACTOR)


def raised(function: object) -> BaseException:
    with pytest.raises(BaseException) as caught:
        function()  # type: ignore[operator]
    return caught.value


def recurse(depth: int) -> None:
    if depth:
        recurse(depth - 1)
    raise ValueError("at the bottom")


def test_causes_come_first_and_say_how_they_are_linked() -> None:
    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error

    text = rendered(raised(fail))
    assert text.index("KeyError: 'inner'") < text.index("direct cause") < text.index("ValueError: outer")
    assert 'raise ValueError("outer") from error' in text


def test_a_suppressed_context_is_left_out() -> None:
    def fail() -> None:
        try:
            raise KeyError("inner")
        except KeyError:
            raise ValueError("outer") from None

    assert "inner'" not in rendered(raised(fail)).replace('raise KeyError("inner")', "")


def test_deep_stacks_lose_their_middle() -> None:
    error = raised(lambda: recurse(300))
    kept, cut = frames(error.__traceback__)
    assert len(kept) == 50
    assert cut > 250
    assert f"{cut} frames left out" in rendered(error)


def test_a_runaway_recursion_is_rendered() -> None:
    def forever() -> None:
        forever()

    text = rendered(raised(forever))
    assert text.endswith("maximum recursion depth exceeded") or "RecursionError" in text
    assert len(text) < 20_000


def test_chains_that_bite_their_tail_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert [link for link, _ in chain(first)] == [first, second]


def test_groups_show_their_members_up_to_a_bound() -> None:
    group = ExceptionGroup("several", [ValueError(str(number)) for number in range(9)])
    text = rendered(group)
    assert "+ 1 of 9" in text
    assert "ValueError: 4" in text
    assert "+ 4 more" in text


def test_notes_are_shown() -> None:
    error = ValueError("bad")
    error.add_note("row 17")
    assert rendered(error) == "ValueError: bad\nrow 17"


def test_exceptions_without_text_do_not_break_it() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert "without text" in rendered(Mute())


def test_text_is_cut_in_the_middle_so_that_the_message_stays() -> None:
    text = rendered(raised(lambda: recurse(40)), limit=600)
    assert len(text) < 700
    assert "characters cut" in text
    assert text.endswith("ValueError: at the bottom")


def test_paths_are_relative_to_what_is_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    assert short_path(str(tmp_path / "ledger" / "api.py")) == "ledger/api.py"
    assert short_path("/nowhere/to/be/found/x.py") == "be/found/x.py"
    assert short_path("<string>") == "<string>"


def test_own_code_is_told_from_libraries() -> None:
    assert in_app(__file__)
    assert not in_app(str(Path(sysconfig.get_path("stdlib")) / "json" / "decoder.py"))
    assert not in_app(pytest.__file__)
    assert not in_app(str(Path(frames.__code__.co_filename)))
    assert not in_app("<frozen importlib._bootstrap>")


def test_names_of_types_have_their_module_unless_built_in() -> None:
    assert qualified_name(ValueError) == "ValueError"
    assert qualified_name(json.JSONDecodeError) == "json.decoder.JSONDecodeError"


def test_secrets_are_redacted_in_messages_notes_and_source() -> None:
    def fail() -> None:
        error = ValueError("password=tr0ub4dor")
        error.add_note("token=abcdefgh")
        raise error

    text = rendered(raised(fail))
    assert "tr0ub4dor" not in text
    assert "abcdefgh" not in text
    REDACTOR.add_secret("raise error")
    assert "    [redacted]" in rendered(raised(fail))
