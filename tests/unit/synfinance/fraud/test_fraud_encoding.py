from __future__ import annotations

import numpy as np
import polars as pl

from synfinance.fraud import Roles
from synfinance.fraud.encoding import Encoder

DAY = 86_400_000


def _fit(
    frame: pl.DataFrame, roles: Roles, labels: list[int], days: list[int], delay: int = 0
) -> tuple[Encoder, dict[str, list[float]]]:
    encoder, values = Encoder.fit(frame, roles, np.array(labels, bool), np.array(days) * DAY, delay * DAY)
    return encoder, {name: values[:, place].tolist() for place, name in enumerate(encoder.feature_names)}


def test_records_see_labels_only_once_they_are_known() -> None:
    frame = pl.DataFrame({"shop": ["x"] * 6})
    roles = Roles(texts=("shop",))
    early = _fit(frame, roles, [1, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5], delay=3)[1]["shop_record"]
    assert early[:4] == [0, 0, 0, 0], (
        "the first label is known after three days, and then everybody's rate is the shop's"
    )
    changed = _fit(frame, roles, [1, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], delay=3)[1]["shop_record"]
    assert changed == early, "later labels change nothing before they are known"


def test_a_shop_with_frauds_stands_out_from_the_others() -> None:
    rows = 200
    frame = pl.DataFrame({"shop": ["bad" if row % 4 == 0 else f"good {row % 7}" for row in range(rows)]})
    labels = [int(row % 8 == 0) for row in range(rows)]
    encoder, values = _fit(frame, Roles(texts=("shop",)), labels, list(range(rows)))
    assert values["shop_record"][-4] > 0.5 > 0 > values["shop_record"][-1]
    fresh = encoder.transform(pl.DataFrame({"shop": ["BAD ", "good 1", "never seen", None]}))
    record = fresh[:, encoder.feature_names.index("shop_record")]
    assert record[0] > 1
    assert record[1] < 0
    assert record[2] == record[3] == 0


def test_words_tell_of_names_never_seen() -> None:
    rows = 300
    frame = pl.DataFrame(
        {
            "memo": [
                f"{'lucky casino' if row % 3 == 0 else 'corner bakery'} {chr(97 + row % 26)}x branch"
                for row in range(rows)
            ]
        }
    )
    encoder, _ = _fit(frame, Roles(texts=("memo",)), [int(row % 3 == 0) for row in range(rows)], list(range(rows)))
    fresh = encoder.transform(pl.DataFrame({"memo": ["casino of nowhere", "bakery of nowhere", "12345"]}))
    most = fresh[:, encoder.feature_names.index("memo_words_most")]
    assert most[0] > 1 > 0 >= most[1]
    assert most[2] == 0


def test_categories_have_codes_and_new_values_have_none() -> None:
    frame = pl.DataFrame({"kind": ["b", "a", "b", None]})
    encoder, values = _fit(frame, Roles(categories=("kind",)), [0, 1, 0, 1], [0, 1, 2, 3])
    assert np.array_equal(values["kind_code"], [1, 0, 1, np.nan], equal_nan=True)
    fresh = encoder.transform(pl.DataFrame({"kind": ["A", "c"]}))
    assert np.array_equal(fresh[:, 0], [0, np.nan], equal_nan=True)


def test_an_encoder_survives_json() -> None:
    frame = pl.DataFrame({"kind": ["b", "a"] * 20, "memo": ["one two", "three four"] * 20})
    encoder, _ = _fit(frame, Roles(categories=("kind",), texts=("memo",)), [0, 1] * 20, list(range(40)))
    again = Encoder.from_dict(encoder.as_dict())
    assert again == encoder
    assert np.array_equal(again.transform(frame), encoder.transform(frame))


def test_nothing_to_encode_has_no_columns() -> None:
    encoder, _ = Encoder.fit(pl.DataFrame({"x": [1, 2]}), Roles(), np.array([True, False]), np.arange(2), 0)
    assert encoder.feature_names == ()
    assert encoder.transform(pl.DataFrame({"x": [1]})).shape == (1, 0)
