from __future__ import annotations

import polars as pl
import pytest

from synfinance.fraud.labels import BadLabel, attribute_of, read_labels, repeats_label


def _frame(values: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"label": pl.Series(values, strict=False), "amount": range(len(values))})


@pytest.mark.parametrize(
    ("negative", "positive"),
    [
        (False, True),
        (0, 1),
        (0.0, 1.0),
        ("0", "1"),
        ("no", "yes"),
        ("N", "Y"),
        ("legit", "fraud"),
        ("False", "TRUE"),
        (-1, 1),
    ],
)
def test_the_positive_value_is_evident(negative: object, positive: object) -> None:
    labels = read_labels(_frame([negative] * 30 + [positive] * 10), "label")
    assert labels.positive.tolist() == [False] * 30 + [True] * 10
    assert labels.known.all()


def test_kinds_of_fraud_beside_none_are_all_positive() -> None:
    labels = read_labels(_frame(["none"] * 30 + ["a", "b"] * 8), "label")
    assert labels.positive.sum() == 16
    assert labels.meaning == "label is not none"


def test_a_value_may_be_named_in_any_case() -> None:
    labels = read_labels(_frame(["Fuel"] * 12 + ["Food"] * 20 + ["Books"] * 30), "label", "fuel")
    assert labels.positive.sum() == 12
    assert labels.meaning == "label is fuel"


def test_rows_without_a_label_are_history_only() -> None:
    labels = read_labels(_frame([0] * 20 + [1] * 12 + [None] * 5), "label")
    assert labels.known.tolist() == [True] * 32 + [False] * 5
    assert "5 rows have no label" in labels.notes[0]


@pytest.mark.parametrize(
    ("values", "positive", "told"),
    [
        ([1] * 40, None, "has the value '1' in every row"),
        ([None] * 40, None, "is empty"),
        (["a"] * 20 + ["b"] * 20, None, r"name the one to detect, for example --positive a"),
        (["New Car"] * 30 + ["b", "c"] * 5, None, r'--positive "New Car"'),
        ([f"v{i}" for i in range(1_200)], None, "1,200 different values"),
        (["a"] * 20 + ["b"] * 20, "fuel", r"has no value 'fuel'; its values are"),
        (["fuel"] * 20 + ["b"] * 20, "fule", r"did you mean 'fuel'\?"),
        ([0] * 40 + [1] * 9, None, "only 9 rows are positive"),
        ([1] * 40 + [0] * 9, None, "all but 9 rows are positive"),
    ],
)
def test_a_label_that_teaches_nothing_is_refused(values: list[object], positive: str | None, told: str) -> None:
    with pytest.raises(BadLabel, match=told):
        read_labels(_frame(values), "label", positive)


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(BadLabel, match="did you mean 'label'"):
        read_labels(_frame([0, 1] * 20), "lable")
    with pytest.raises(BadLabel, match="columns are label, amount"):
        read_labels(_frame([0, 1] * 20), "zzz")


@pytest.mark.parametrize("dtype", [pl.Date, pl.List(pl.Int64)])
def test_times_and_lists_are_no_labels(dtype: pl.DataType) -> None:
    with pytest.raises(BadLabel, match="cannot be a label"):
        read_labels(pl.DataFrame({"label": pl.Series([None] * 20, dtype=dtype)}), "label")


def test_columns_known_only_with_the_label_are_found() -> None:
    labels = read_labels(_frame([0] * 30 + [1] * 10), "label")
    kinds = pl.Series(["none"] * 30 + ["skimming", "takeover"] * 5)
    assert repeats_label(kinds, labels)
    assert repeats_label(pl.Series([None] * 30 + ["skimming"] * 10), labels)
    assert not repeats_label(pl.Series(["none"] * 29 + ["x"] + ["skimming"] * 10), labels)
    assert not repeats_label(pl.Series(["none"] * 31 + ["skimming"] * 9), labels)


def test_what_a_column_tells_of_a_fraud() -> None:
    assert attribute_of("fraud_type") == attribute_of("FraudKind") == "type"
    assert attribute_of("severity") == "severity"
    assert attribute_of("amount") is None
