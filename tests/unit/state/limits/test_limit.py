from __future__ import annotations

import pytest

from bedplate.problems import DeclarationError
from bedplate.state.limits import Limit


@pytest.mark.parametrize(
    ("text", "quota", "window"),
    [
        ("100/minute", 100, 60),
        ("5 per hour", 5, 3600),
        ("20/10s", 20, 10),
        ("1/day", 1, 86400),
        ("3 / 2 minutes", 3, 120),
        ("7/s", 7, 1),
        ("10/MIN", 10, 60),
    ],
)
def test_limits_are_read_as_people_write_them(text: str, quota: int, window: float) -> None:
    limit = Limit.parse(text, name="api")
    assert (limit.quota, limit.window, limit.name, limit.burst) == (quota, window, "api", quota)


@pytest.mark.parametrize("text", ["", "100", "minute", "-1/s", "1.5/s", "ten/minute", "1/fortnight", "0/s", "1/0s"])
def test_anything_else_is_refused_with_a_mend(text: str) -> None:
    with pytest.raises(DeclarationError) as raised:
        Limit.parse(text)
    assert raised.value.mend


@pytest.mark.parametrize("fault", [{"quota": 0}, {"window": 0}, {"burst": -1}, {"quota": 10**12}, {"name": 'a"b'}])
def test_limits_that_cannot_be_are_refused(fault: dict[str, float]) -> None:
    with pytest.raises(DeclarationError):
        Limit(**{"quota": 1, "window": 1, **fault})  # type: ignore[arg-type]


def test_the_policy_is_written_as_the_draft_says() -> None:
    assert Limit(100, 60).policy == '"default";q=100;w=60'
    assert Limit(10, 0.5, "fast").policy == '"fast";q=10;w=1'
    assert str(Limit(100, 60)) == "100 in 60 s"
