"""Importing twice adds nothing; twins are two."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tradesense.importing import Known, fresh
from tradesense.trades import Trade

AT = datetime(2025, 1, 6, 15, 0, tzinfo=UTC)


def trade(price: int = 1, key: str = "", account: str = "") -> Trade:
    return Trade("buy", AT, "X", price=Decimal(price), broker_id=key, account=account)


def known(*trades: Trade) -> list[Known]:
    return [Known(one.account, one.broker_id, one.fingerprint()) for one in trades]


def test_the_same_id_is_the_same_trade_in_one_file_and_in_the_next() -> None:
    assert fresh([trade(1, "a"), trade(1, "a"), trade(1, "b")], []) == [0, 2]
    assert fresh([trade(1, "a"), trade(1, "b"), trade(1, "c")], known(trade(1, "a"), trade(1, "b"))) == [2]


def test_the_same_id_in_another_account_is_another_trade() -> None:
    assert fresh([trade(1, "a", "two")], known(trade(1, "a", "one"))) == [0]


def test_twins_without_ids_are_counted() -> None:
    twins = [trade(), trade(), trade(2)]
    assert fresh(twins, []) == [0, 1, 2]
    assert fresh(twins, known(*twins)) == []
    assert fresh([trade(), trade(), trade()], known(trade(), trade())) == [2]


def test_another_kind_of_file_that_tells_of_the_same_trades_adds_none() -> None:
    assert fresh([trade(1, "a"), trade(1, "b")], known(trade(), trade())) == []
    assert fresh([trade(), trade()], known(trade(1, "a"), trade(1, "b"))) == []
    assert fresh([trade(1, "a"), trade(1, "b")], known(trade())) == [1]


def test_a_trade_with_an_id_does_not_hide_one_without() -> None:
    assert fresh([trade(1, "a"), trade(1)], known(trade(1, "a"))) == [1]


TRADES = st.lists(st.builds(trade, st.integers(1, 3), st.sampled_from(["", "", "a", "b", "c"])), max_size=12)


@given(TRADES, TRADES)
def test_importing_again_adds_nothing_whatever_was_there(before: list[Trade], file: list[Trade]) -> None:
    there = known(*before)
    added = known(*(file[place] for place in fresh(file, there)))
    assert fresh(file, there + added) == []


@given(TRADES)
def test_the_first_import_keeps_every_trade_without_an_id(file: list[Trade]) -> None:
    kept = [file[place] for place in fresh(file, [])]
    nameless = Counter(one.fingerprint() for one in file if not one.broker_id)
    assert Counter(one.fingerprint() for one in kept if not one.broker_id) >= nameless - Counter(
        one.fingerprint() for one in file if one.broker_id
    )
    assert len({one.broker_id for one in kept if one.broker_id}) == sum(bool(one.broker_id) for one in kept)
