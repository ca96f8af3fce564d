from __future__ import annotations

import pytest

from synfinance.quality.found import percent
from synfinance.quality.masking import examples_of, luhn, masked


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("4111 1111 1111 1111", "•••• 1111"),
        ("paid 5500-0000-0000-0004 ok", "paid •••• 0004 ok"),
        ("jane.doe+x@mail.example.org", "j•••@m•••.example.org"),
        ("+44 20 7946 0958", "+44 20 7946 0958"),
        ("a\x1b[31mb\u202ec", "a\\x1b[31mb\\x202ec"),
        ("x" * 80, "x" * 59 + "…"),
        (12.5, "12.5"),
        (1e300, "1e+300"),
        (None, "None"),
    ],
)
def test_what_is_shown_gives_nothing_away(value: object, shown: str) -> None:
    assert masked(value) == shown


def test_examples_are_few_and_different() -> None:
    assert examples_of(["a", "a", None, "b", "c", "d", "e", "f"]) == ("a", "b", "c", "d", "e")


def test_luhn() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.5, "50 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.99997, "99.997 %"),
        (0.00004, "0.004 %"),
        (0.023, "2.3 %"),
        (1e-9, "<0.0001 %"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(share: float, words: str) -> None:
    assert percent(share) == words
