"""The same fault has the same fingerprint, another one another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.errors.fingerprint import Origin, normalise


def raised(function: Callable[..., Any], *args: Any) -> BaseException:
    try:
        function(*args)
    except BaseException as error:
        return error
    raise AssertionError("it did not raise")


def fail(message: str) -> None:
    raise ValueError(message)


def fail_elsewhere(message: str) -> None:
    raise ValueError(message)


def recurse(depth: int) -> None:
    if depth == 0:
        fail("at the bottom")
    recurse(depth - 1)


def wrap(inner: type[Exception], *, explicitly: bool = True) -> None:
    try:
        raise inner("inner")
    except inner as error:
        if explicitly:
            raise RuntimeError("outer") from error
        raise RuntimeError("outer")  # noqa: B904 — the context is what is tested


def fingerprint(function: Callable[..., Any], *args: Any) -> str:
    return Origin(raised(function, *args)).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user 17 not found", "user 4 not found"),
        ("no merchant 'ACME GmbH'", "no merchant 'Globex'"),
        ('key "a b"', 'key "c"'),
        ("order 0193d7a1-6f3c-7c2e-8a51-0242ac120002 lost", "order 0193d7a1-ffff-7c2e-8a51-0242ac120003 lost"),
        ("no file /srv/app/a.csv", "no file /srv/other/b.csv"),
        ("at 0x7f3a2c1b4d5e", "at 0x7f3a2c1b0000"),
        ("bad line\ndetails of 1", "bad line\nother details"),
        ("took 1.5 s", "took 22.75 s"),
    ],
)
def test_what_differs_between_occurrences_does_not_count(one: str, other: str) -> None:
    assert fingerprint(fail, one) == fingerprint(fail, other)


def test_other_messages_places_and_types_count() -> None:
    def fail_otherwise(message: str) -> None:
        raise TypeError(message)

    prints = {
        fingerprint(fail, "no balance"),
        fingerprint(fail, "no account"),
        fingerprint(fail_elsewhere, "no balance"),
        fingerprint(fail_otherwise, "no balance"),
    }
    assert len(prints) == 4


def test_line_numbers_do_not_count() -> None:
    prints = set()
    for lines_above in (0, 7):
        namespace: dict[str, Any] = {"__name__": "app.module"}
        exec(compile("\n" * lines_above + "def f():\n  raise KeyError('x')", "app.py", "exec"), namespace)
        prints.add(fingerprint(namespace["f"]))
    assert len(prints) == 1


def test_the_depth_of_a_recursion_does_not_count() -> None:
    assert fingerprint(recurse, 3) == fingerprint(recurse, 200)


def test_causes_and_contexts_count_and_so_does_which_of_them_it_is() -> None:
    prints = {fingerprint(wrap, KeyError), fingerprint(wrap, OSError)}
    prints.add(Origin(raised(lambda: wrap(KeyError, explicitly=False))).fingerprint)
    assert len(prints) == 3


def test_members_of_a_group_count_as_a_set() -> None:
    async def gather(*delays: float) -> None:
        async def later(delay: float, kind: type[Exception]) -> None:
            await asyncio.sleep(delay)
            raise kind("bad")

        async with asyncio.TaskGroup() as group:
            group.create_task(later(delays[0], ValueError))
            group.create_task(later(delays[1], KeyError))

    errors = [
        ExceptionGroup("several", members)
        for members in ([ValueError("1"), KeyError("2")], [KeyError("3"), ValueError("4")])
    ]
    assert Origin(errors[0]).fingerprint == Origin(errors[1]).fingerprint
    assert Origin(errors[0]).fingerprint != Origin(ExceptionGroup("several", [ValueError("1")])).fingerprint
    assert Origin(raised(asyncio.run, gather(0, 0))).type == "ExceptionGroup"


def test_the_culprit_is_the_services_own_code_nearest_to_the_fault() -> None:
    origin = Origin(raised(json.loads, "{"))
    assert origin.type == "json.decoder.JSONDecodeError"
    assert origin.culprit == f"{__name__}.raised"


def test_an_error_without_a_stack_has_a_fingerprint_too() -> None:
    assert Origin(ValueError("x")).fingerprint == Origin(ValueError("x")).fingerprint
    assert Origin(ValueError("x")).culprit == ""


@given(st.text())
def test_any_message_is_normalised_to_one_bounded_line(message: str) -> None:
    line = normalise(message)
    assert "\n" not in line
    assert len(line) <= 400
    assert normalise(line) == normalise(line)


@pytest.mark.timeout(10)
@pytest.mark.parametrize("message", ["'" * 9_999, "0x" * 5_000, "-" * 9_999, "/a" * 5_000, " " * 9_999 + "x"])
def test_hostile_messages_take_linear_time(message: str) -> None:
    assert len(normalise(message)) <= 400
