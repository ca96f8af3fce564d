"""The past of cards at hand: bounded, least recently seen first out, whatever types callers send."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
import pytest

from bedplate.testing import running
from synfinance.components import CardHistory, CardHistorySettings
from synfinance.fraud import Roles

ROLES = Roles(time="at", amount="amount", entity="card", merchant="shop")


def batch(cards: Sequence[str], amount: float = 1.0, shop: str = "S") -> pl.DataFrame:
    rows = len(cards)
    return pl.DataFrame({"card": list(cards), "amount": [amount] * rows, "at": range(rows), "shop": [shop] * rows})


def history(cards: int = 3, rows: int = 2) -> CardHistory:
    return CardHistory(CardHistorySettings(cards=cards, rows_per_card=rows))


def test_a_batch_has_one_lookup_a_card() -> None:
    cards = history()
    cards.remember(batch("a"), ROLES)
    recall = cards.recall(batch(["a", "a", "b", "a"]), ROLES)
    assert (recall.hits, recall.misses, recall.hit_rate) == (1, 1, 0.5)


def test_the_past_holds_the_latest_rows_of_each_card_in_order() -> None:
    cards = history(rows=2)
    for amount in (1.0, 2.0, 3.0):
        cards.remember(batch("ab", amount), ROLES)
    rows = cards.recall(batch("b"), ROLES).rows
    assert rows is not None
    assert rows.filter(card="b")["amount"].to_list() == [2.0, 3.0]


def test_the_card_not_seen_for_longest_makes_room() -> None:
    cards = history(cards=2)
    cards.remember(batch("ab"), ROLES)
    cards.remember(batch("a"), ROLES)
    cards.remember(batch("c"), ROLES)
    assert [cards.recall(batch(card), ROLES).hits for card in "abc"] == [1, 0, 1]


def test_within_a_batch_the_last_row_of_a_card_says_when_it_was_seen() -> None:
    cards = history(cards=2)
    cards.remember(batch(["a", "b", "c", "a"]), ROLES)
    assert [cards.recall(batch(card), ROLES).hits for card in "abc"] == [1, 0, 1]


def test_other_cards_of_the_same_merchant_are_part_of_the_past() -> None:
    cards = history()
    cards.remember(batch("a", shop="S"), ROLES)
    cards.remember(batch("b", shop="T"), ROLES)
    rows = cards.recall(batch("c", shop="S"), ROLES).rows
    assert rows is not None
    assert rows["card"].to_list() == ["a"]


def test_types_may_differ_from_caller_to_caller() -> None:
    cards = history()
    cards.remember(batch("a"), ROLES)
    cards.remember(batch("a").with_columns(pl.lit("2").alias("amount")), ROLES)
    cards.remember(batch("a").with_columns(pl.lit("much").alias("amount")), ROLES)
    rows = cards.recall(batch("a"), ROLES).rows
    assert rows is not None
    assert rows["amount"].to_list() == [2.0, None]


def test_another_models_columns_start_another_past() -> None:
    cards = history()
    cards.remember(batch("a"), ROLES)
    other = Roles(amount="amount", entity="card")
    assert cards.recall(batch("a"), other).rows is not None
    cards.remember(batch("a").drop("at", "shop"), other)
    assert cards.recall(batch("a"), ROLES).rows is None


@pytest.mark.parametrize("roles", [Roles(amount="amount"), Roles(amount="amount", entity="nobody")])
def test_a_table_in_which_nobody_is_followed_has_no_lookups(roles: Roles) -> None:
    cards = history()
    cards.remember(batch("a"), roles)
    recall = cards.recall(batch("a"), roles)
    assert (recall.rows, recall.hits, recall.misses, recall.hit_rate) == (None, 0, 0, None)


async def test_lookups_are_counted_and_the_rate_looks_back_over_the_window() -> None:
    cards = history()
    async with running(cards) as harness:
        cards.remember(batch("ab"), ROLES)
        for _ in range(3):
            cards.count(cards.recall(batch("abc"), ROLES))
        label = '{cache_type="card_history"}'
        samples = await harness.samples()
        assert samples[f"synfinance_cache_hits_total{label}"] == 6
        assert samples[f"synfinance_cache_misses_total{label}"] == 3
        assert samples[f"synfinance_cache_hit_rate_ratio{label}"] == pytest.approx(2 / 3)
        assert samples["synfinance_cache_cards"] == 2
        await harness.client.post("/monitoring/components/card_history/default/actions/reset")
        assert cards.summary() == {"cards": 2, "rows": 2, "lookups": 0, "hit_rate": None}
