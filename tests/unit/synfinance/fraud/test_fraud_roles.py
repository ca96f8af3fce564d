from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from synfinance.fraud.roles import Roles, as_milliseconds, as_number, infer_roles

START = datetime(2024, 1, 1)  # noqa: DTZ001
ROWS = 400


def _times(step: timedelta = timedelta(hours=3)) -> list[datetime]:
    return [START + step * row for row in range(ROWS)]


def _cycle(*values: object) -> list[object]:
    return [values[row % len(values)] for row in range(ROWS)]


def _amounts() -> list[float]:
    return np.random.default_rng(0).lognormal(3, 1, ROWS).round(2).tolist()


def test_a_purchase_card_ledger() -> None:
    """Cut names, a department for a card, dates as text, a currency that is always the same."""
    frame = pl.DataFrame(
        {
            "date": [moment.date().isoformat() for moment in _times()],
            "merchant": [f"shop {row % 90} of somewhere" for row in range(ROWS)],
            "category": _cycle("fuel", "food", "books"),
            "unit": [f"Department {row % 17}" for row in range(ROWS)],
            "amount": _amounts(),
            "currency": ["GBP"] * ROWS,
        }
    )
    roles = infer_roles(frame)
    assert (roles.time, roles.amount, roles.entity, roles.merchant) == ("date", "amount", "unit", "merchant")
    assert "category" in roles.categories
    assert roles.left_out == {"currency": "it has one value only"}


def test_card_transactions_with_card_numbers_and_two_positions() -> None:
    random = np.random.default_rng(1)
    frame = pl.DataFrame(
        {
            "": list(range(ROWS)),
            "trans_date_trans_time": [str(moment) for moment in _times()],
            "cc_num": [4_000_000_000_000_000 + row % 40 for row in range(ROWS)],
            "merchant": [f"fraud_Kirlin {row % 60}" for row in range(ROWS)],
            "amt": _amounts(),
            "first": _cycle("Ann", "Bob"),
            "lat": random.uniform(30, 40, ROWS),
            "long": random.uniform(-120, -80, ROWS),
            "merch_lat": random.uniform(30, 40, ROWS),
            "merch_long": random.uniform(-120, -80, ROWS),
            "dob": _cycle("1980-01-02", "1971-11-30", "1999-05-05"),
            "trans_num": [f"{row:032x}" for row in range(ROWS)],
            "unix_time": [1_700_000_000 + row * 10_800 for row in range(ROWS)],
            "is_fraud": _cycle(*[0] * 19, 1),
        }
    )
    roles = infer_roles(frame)
    assert (roles.time, roles.amount, roles.entity) == ("trans_date_trans_time", "amt", "cc_num")
    assert roles.merchant == "merchant"
    assert (roles.latitude, roles.longitude) == ("merch_lat", "merch_long")
    assert "dob" not in roles.used
    assert roles.left_out["is_fraud"] == "its name says that it is a label"
    assert "trans_num" in roles.left_out


def test_anonymous_numbers_with_seconds() -> None:
    random = np.random.default_rng(2)
    frame = pl.DataFrame(
        {"Time": np.sort(random.integers(0, 172_800, ROWS)).astype(float)}
        | {f"V{number}": random.normal(size=ROWS) for number in range(1, 6)}
        | {"Amount": _amounts(), "Class": _cycle(*[0] * 9, 1)}
    )
    roles = infer_roles(frame)
    assert (roles.time, roles.amount, roles.entity) == ("Time", "Amount", None)
    assert roles.numbers == ("V1", "V2", "V3", "V4", "V5")
    assert "Class" in roles.left_out


def test_mobile_money_with_steps() -> None:
    random = np.random.default_rng(3)
    frame = pl.DataFrame(
        {
            "step": [row // 4 + 1 for row in range(ROWS)],
            "type": _cycle("PAYMENT", "TRANSFER", "CASH_OUT"),
            "amount": _amounts(),
            "nameOrig": [f"C{row % 70}" for row in range(ROWS)],
            "oldbalanceOrg": random.uniform(0, 1e5, ROWS),
            "newbalanceOrig": random.uniform(0, 1e5, ROWS),
            "nameDest": [f"M{row % 50}" for row in range(ROWS)],
            "isFraud": _cycle(*[0] * 9, 1),
            "isFlaggedFraud": _cycle(*[0] * 99, 1),
        }
    )
    roles = infer_roles(frame)
    assert (roles.time, roles.amount, roles.entity, roles.merchant) == ("step", "amount", "nameOrig", "nameDest")
    assert set(roles.numbers) == {"oldbalanceOrg", "newbalanceOrig"}
    assert {"isFraud", "isFlaggedFraud"} <= set(roles.left_out)


def test_columns_that_repeat_another_are_used_once() -> None:
    frame = pl.DataFrame(
        {
            "amount": (amounts := [float(row) + 0.25 for row in range(ROWS)]),
            "amount_cents": [int(value * 100) for value in amounts],
            "kind": _cycle("a", "b", "c"),
            "kind_code": _cycle(1, 2, 3),
        }
    )
    roles = infer_roles(frame)
    assert roles.left_out["amount_cents"] == "it says the same as amount"
    assert roles.left_out["kind_code"] == "it says the same as kind"


def test_attributes_of_a_card_are_not_paired_with_it() -> None:
    frame = pl.DataFrame(
        {
            "card_id": [f"k{row % 40}" for row in range(ROWS)],
            "brand": [("red", "blue")[row % 40 % 2] for row in range(ROWS)],
            "channel": _cycle("chip", "online", "atm"),
        }
    )
    roles = infer_roles(frame)
    assert roles.categories == ("brand", "channel")
    assert roles.varying == ("channel",)


def test_roles_survive_json() -> None:
    roles = Roles(time="t", categories=("a", "b"), varying=("b",), left_out={"x": "y"})
    assert Roles.from_dict(roles.as_dict()) == roles
    with pytest.raises(TypeError):
        Roles.from_dict({"nonsense": 1})


def test_leaving_out_a_column_clears_its_role() -> None:
    roles = Roles(time="t", amount="a", categories=("c", "d"), varying=("c",)).without({"a": "no", "c": "no"})
    assert (roles.time, roles.amount, roles.categories, roles.varying) == ("t", None, ("d",), ())
    assert roles.left_out == {"a": "no", "c": "no"}


@pytest.mark.parametrize(
    "values",
    [
        [datetime(2025, 1, 1), datetime(2025, 1, 2)],  # noqa: DTZ001
        ["2025-01-01", "2025-01-02"],
        ["2025-01-01T00:00:00Z", "2025-01-02T01:00:00+01:00"],
        ["01/01/2025", "02/01/2025"],
        [1_735_689_600, 1_735_776_000],
        [1_735_689_600_000, 1_735_776_000_000],
        [1_735_689_600_000_000_000, 1_735_776_000_000_000_000],
    ],
)
def test_times_of_many_forms_are_milliseconds(values: list[object]) -> None:
    assert as_milliseconds(pl.Series("t", values)).to_list() == [1_735_689_600_000, 1_735_776_000_000]


def test_text_that_is_numeric_is_read_as_numbers() -> None:
    assert as_number(pl.Series(["1.5", " 2", "n/a", "£1,234.50"])).to_list() == [1.5, 2.0, None, 1234.5]
