# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

from datetime import date, datetime, time, timedelta

import numpy as np
import polars as pl
import pytest

from synfinance.quality import Kind
from synfinance.quality.parsing import dates, epochs, numbers
from synfinance.quality.reading import read_column

N = 400
RNG = np.random.default_rng(0)
START = datetime(2026, 1, 1)

COLUMNS = {
    Kind.ID: [
        ("transaction_id", [f"T{i:06d}" for i in range(N)]),
        ("customerId", RNG.integers(1, 90, N)),
        ("row", range(N)),
        ("token", [f"{i:08x}-0000-4000-8000-{i:012x}" for i in range(N)]),
        ("anything", [f"AB-{i * 7919:07d}" for i in range(N)]),
    ],
    Kind.TIMESTAMP: [
        ("when", [START + timedelta(hours=i) for i in range(N)]),
        ("day", [date(2026, 1, 1) + timedelta(days=i) for i in range(N)]),
        ("posted", [(START + timedelta(hours=i)).isoformat() for i in range(N)]),
        ("booked", [(START + timedelta(days=i)).strftime("%d/%m/%Y") for i in range(N)]),
        ("created_at", [1_700_000_000 + i * 977 for i in range(N)]),
        ("date", [20_260_101 + i % 28 for i in range(N)]),
    ],
    Kind.AMOUNT: [
        ("amount", np.round(RNG.lognormal(3, 1, N), 2)),
        ("total_price", RNG.integers(1, 5_000, N)),
        ("x", np.round(RNG.lognormal(5, 1, N), 2)),
        ("cost", [f"£{value:,.2f}" for value in RNG.lognormal(7, 1, N)]),
    ],
    Kind.NUMBER: [("temperature", RNG.normal(15, 5, N)), ("quantity", RNG.integers(1, 40, N))],
    Kind.CODE: [
        ("mcc", RNG.choice([5411, 5812, 4111], N)),
        ("zip", [f"{i % 40:05d}" for i in range(N)]),
        ("anything", RNG.choice([5411, 7995, 6011], N)),
    ],
    Kind.CATEGORY: [("shop", RNG.choice(["a shop", "b shop", "c shop"], N)), ("kind", RNG.choice(["A1", "B2"], N))],
    Kind.TEXT: [("note", [f"invoice of {chr(97 + i % 26)}{chr(97 + i // 26)} and others" for i in range(N)])],
    Kind.BOOLEAN: [
        ("flag", RNG.random(N) < 0.5),
        ("is_fraud", RNG.choice([0, 1], N)),
        ("active", RNG.choice(["yes", "no"], N)),
    ],
    Kind.CURRENCY: [("ccy", RNG.choice(["EUR", "GBP", "usd"], N)), ("c", RNG.choice(["EUR", "CHF"], N))],
    Kind.COUNTRY: [("country", RNG.choice(["DE", "GB", "NA"], N))],
    Kind.EMAIL: [("contact", [f"user{i}@example.org" for i in range(N)])],
    Kind.PHONE: [("mobile", [f"0171 {i:06d}" for i in range(N)]), ("c", [f"+44 20 7946 {i:04d}" for i in range(N)])],
    Kind.CARD: [("pan", ["4111 1111 1111 1111", "5500000000000004"] * (N // 2))],
    Kind.CONSTANT: [("source", ["import"] * N), ("version", [3.5] * N)],
    Kind.EMPTY: [("nothing", [None] * N), ("blank", [" "] * N), ("nan", [float("nan")] * N)],
    Kind.OTHER: [("parts", [[1, 2]] * N), ("clock", [time(1, 2)] * N)],
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "name", "values"), [(kind, name, values) for kind, pairs in COLUMNS.items() for name, values in pairs]
)
def test_a_column_is_read_as_what_it_means(kind: Kind, name: str, values: object) -> None:
    column = read_column(pl.Series(name, list(values)))  # type: ignore[call-overload]
    assert column.kind is kind
    assert not column.invalid.any()


def test_leading_zeros_make_a_code_and_not_a_number() -> None:
    assert not read_column(pl.Series("branch_no", [f"{i:06d}" for i in range(N)])).kind.numeric


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "b"])])
def test_dictionary_encoded_text_is_text(dtype: pl.DataType) -> None:
    column = read_column(pl.Series("shop", ["a", "b"] * 50).cast(dtype))
    assert (column.kind, column.distinct, column.nulls) == (Kind.CATEGORY, 2, 0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-1.5e3", -1_500),
        ("1,234.56", 1_234.56),
        ("€ 12.50", 12.5),
        ("(12.00)", -12),
        ("12.00 GBP", 12),
        ("abc", None),
        ("", None),
        ("12a", None),
        ("-", None),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: float | None) -> None:
    assert numbers(pl.Series([text])).to_list() == [value]


def test_a_decimal_comma_is_understood_from_the_column() -> None:
    assert numbers(pl.Series(["1.234,50", "0,99", "12,00"])).to_list() == [1_234.5, 0.99, 12.0]


def test_dates_in_two_formats_are_both_read_and_the_rarer_counted() -> None:
    iso = [(START + timedelta(days=i)).strftime("%Y-%m-%d") for i in range(90)]
    other = [(START + timedelta(days=i)).strftime("%d.%m.%Y") for i in range(10)]
    read = dates(pl.Series(iso + other + ["soon", None]))
    assert read is not None
    assert read.minority == 10
    assert read.values.to_list()[90] == START
    assert read.values.null_count() == 2


def test_dates_are_not_made_of_words() -> None:
    assert dates(pl.Series(["one", "two", "three"])) is None
    assert dates(pl.Series([None, None], dtype=pl.String)) is None


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000])
def test_epochs_of_any_unit(unit: int) -> None:
    read = epochs(pl.Series([1_767_225_600 * unit]))
    assert read is not None
    assert read.to_list() == [START]


def test_a_zone_is_taken_into_account() -> None:
    zoned = pl.Series("at", [START] * 30).dt.replace_time_zone("Europe/Berlin")
    assert read_column(zoned).values[0] == START - timedelta(hours=1)


@pytest.mark.parametrize(
    ("name", "values", "wanted", "invalid"),
    [
        ("x", ["1", "two", "3"], Kind.NUMBER, 1),
        ("x", ["2026-01-01", "2026-13-01", "x"], Kind.TIMESTAMP, 2),
        ("x", [20_260_101, 20_260_102], Kind.TIMESTAMP, 0),
        ("x", ["EUR", "XXZ"], Kind.CURRENCY, 1),
        ("x", [1, 0, 7], Kind.BOOLEAN, 1),
        ("x", [1.0, 0.0], Kind.BOOLEAN, 0),
        ("x", [True, False], Kind.AMOUNT, 2),
        ("x", [date(2026, 1, 1)], Kind.AMOUNT, 1),
        ("x", ["a", "b"], Kind.AMOUNT, 2),
        ("x", [1, 2], Kind.CATEGORY, 0),
        ("x", [None, None], Kind.AMOUNT, 0),
        ("x", ["a", "b"], Kind.TIMESTAMP, 2),
    ],
)
def test_a_column_is_held_to_the_kind_that_it_should_have(
    name: str, values: list[object], wanted: Kind, invalid: int
) -> None:
    column = read_column(pl.Series(name, values), wanted)
    assert column.kind is wanted
    assert int(column.invalid.sum()) == invalid


@pytest.mark.parametrize(
    ("values", "disguised"),
    [
        ([12.5, 13.0, 9.0] * 20 + [-999.0], 1),
        ([12.5, 13.0, 9.0] * 20 + [9_999_999.0] * 3, 3),
        ([12.5, -13.0, 9.0] * 20 + [-999_999.0] * 2, 2),
        ([-12.5 - i for i in range(1_200)] + [-999.0] * 8, 8),
        ([12.5, 480.0, 999.0] * 20, 0),
        ([990.0 + i for i in range(30)], 0),
        ([-950.0 - i for i in range(60)], 0),
        ([12.5, 13.0] * 500 + [-1.0] * 6, 6),
        ([12.5, 13.0] * 500 + [-1.0], 0),
    ],
)
def test_codes_for_missing_numbers(values: list[float], disguised: int) -> None:
    assert int(read_column(pl.Series("amount", values)).disguised.sum()) == disguised


def test_default_dates_are_missing_unless_others_are_as_old() -> None:
    recent = [START + timedelta(days=i) for i in range(50)]
    old = [datetime(1899, 6, 1) + timedelta(days=13 * i) for i in range(50)]
    assert int(read_column(pl.Series("when", [*recent, datetime(1900, 1, 1)])).disguised.sum()) == 1
    assert int(read_column(pl.Series("when", [*old, datetime(1900, 1, 1)])).disguised.sum()) == 0


@pytest.mark.parametrize("word", ["N/A", "null", " NaN ", "-", "", "#REF!", "?"])
def test_words_for_missing(word: str) -> None:
    column = read_column(pl.Series("shop", ["baker", "butcher"] * 30 + [word]))
    assert int(column.disguised.sum()) == 1


def test_the_country_na_is_namibia() -> None:
    assert not read_column(pl.Series("country", ["DE", "NA"] * 30)).disguised.any()


def test_a_placeholder_is_a_category_but_no_number() -> None:
    assert not read_column(pl.Series("shop", ["baker", "unknown"] * 30)).disguised.any()
    assert int(read_column(pl.Series("amount", ["12.5", "unknown"] * 30)).disguised.sum()) == 30
