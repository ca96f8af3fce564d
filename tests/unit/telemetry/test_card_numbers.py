"""Card numbers are found however they are written; other numbers stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bedplate.telemetry.card_numbers import mask_cards, may_hold_card


def luhn_digit(digits: str) -> str:
    total = 0
    for position, char in enumerate(reversed(digits)):
        value = int(char) * (2 if position % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("4111111111111111", "************1111"), ("4111 1111 1111 1111", "**** **** **** 1111"),
        ("5555-5555-5555-4444", "****-****-****-4444"), ("378282246310005", "***********0005"),
        ("3782 822463 10005", "**** ****** *0005"), ("3056 930902 5904", "**** ****** 5904"),
        ("4222222222222", "*********2222"), ("6759 6498 2643 8453", "**** **** **** 8453"),
        ("card=4111111111111111,", "card=************1111,"), ("4111.1111.1111.1111", "****.****.****.1111"),
        ("id 1234 4111 1111 1111 1111", "id 1234 **** **** **** 1111"),
        ("4111111111111111 and 5555555555554444", "************1111 and ************4444"),
    ],
)  # fmt: skip
def test_cards_are_masked_but_for_four_digits(text: str, masked: str) -> None:
    assert mask_cards(text)[0] == masked


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112", "1763808830123456", "0000000000000000", "2026-11-22 10:53:50 2026-11-22 10:53",
        "4111111111111111" * 2, "12 15 18 21 24 27 30 33", "411111111111", "1.4111111111111e15", "",
        "10.0.0.1 10.0.0.2 10.0.0.3",
    ],
)  # fmt: skip
def test_other_numbers_stay(text: str) -> None:
    assert mask_cards(text) == (text, 0)


@given(
    st.from_regex(r"\A[2-9][0-9]{11,17}\Z"),
    st.sampled_from(["", " ", "-", ".", "+"]),
    st.text(alphabet="abc :,", max_size=5),
    st.text(alphabet="abc :,", max_size=5),
)
def test_any_card_number_in_groups_of_four_is_found(body: str, separator: str, before: str, after: str) -> None:
    card = body + luhn_digit(body)
    written = separator.join(card[start : start + 4] for start in range(0, len(card), 4))
    text = f"{before}{written}{after}"
    assert may_hold_card(text.encode())
    masked, count = mask_cards(text)
    assert count == 1
    assert "".join(filter(str.isdigit, masked)) == card[-4:]


@given(st.text())
def test_what_surely_holds_no_card_has_none(text: str) -> None:
    if not may_hold_card(text.encode("utf-8", "replace")):
        assert mask_cards(text) == (text, 0)
