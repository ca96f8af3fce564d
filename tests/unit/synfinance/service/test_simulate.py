"""POST /simulate: generate, score, assess, and what is counted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from bedplate.testing import Harness, running
from synfinance.components import Generation
from synfinance.service import build

from .conftest import small_settings


async def test_exactly_the_fraud_asked_for_is_injected(harness: Harness) -> None:
    answer = (await harness.client.post("/simulate", json={"rows": 1_000, "fraud": 30, "first": 5})).json()
    fraud = answer["fraud"]
    assert (answer["rows"], fraud["injected"]) == (1_000, 30)
    assert fraud["detected"] + fraud["missed"] == 30
    assert len(answer["transactions"]) == 5
    assert sum(fraud["by_type"].values()) == fraud["detected"] + fraud["false_alarms"]
    injected = await harness.value("synfinance_transactions_generated_total")
    honest = await harness.value('synfinance_transactions_generated_total{fraud_type="none"}')
    assert (injected, honest) == (1_000, 970)


async def test_money_is_exact_and_agrees_with_its_minor_units(harness: Harness) -> None:
    answer = (await harness.client.post("/simulate", json={"rows": 200, "first": 200})).json()
    for row in answer["transactions"]:
        assert isinstance(row["amount"], str)
        assert Decimal(row["amount"]) * 100 == row["amount_minor"]
        assert row["timestamp"].endswith("Z")


async def test_without_a_body_a_thousand_transactions_are_made(harness: Harness) -> None:
    assert (await harness.client.post("/simulate")).json()["rows"] == 1_000


async def test_equal_seeds_give_equal_transactions() -> None:
    answers = []
    for _ in range(2):
        async with running(build(small_settings())) as harness:
            answer = (await harness.client.post("/simulate", json={"rows": 50, "first": 50})).json()
            answers.append(answer["transactions"])
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"rows": 100, "fraud": 51}, "0 to 50"),
        ({"rows": 50_001}, "50,000"),
        ({"rows": 0}, "errors"),
        ({"rows": "many"}, "errors"),
        ({"raws": 5}, "errors"),
    ],
)
async def test_what_cannot_be_generated_is_a_problem_that_says_why(
    harness: Harness, asked: dict[str, object], said: str
) -> None:
    answer = await harness.client.post("/simulate", json=asked)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.text


async def test_the_generation_rate_looks_back_over_the_window(harness: Harness) -> None:
    await harness.client.post("/simulate", json={"rows": 600})
    await harness.clock.advance(60)
    rate = await harness.value("synfinance_generation_rate_per_second")
    assert 5 < rate <= 10
    await harness.clock.advance(400)
    assert await harness.value("synfinance_generation_rate_per_second") == 0
    assert await harness.value("synfinance_transactions_generated_total") == 600


async def test_workers_share_the_world_but_not_its_transactions(tmp_path: Path) -> None:
    services = [build(small_settings()) for _ in range(2)]
    async with services[0].running(directory=tmp_path), services[1].running(directory=tmp_path):
        worlds = [next(c for c in service.components if isinstance(c, Generation)) for service in services]
        assert worlds[0].history.equals(worlds[1].history)
        (one, _), (other, _) = [await world.simulate(200) for world in worlds]
        assert not set(one["transaction_id"]) & set(other["transaction_id"])
        assert not one["amount"].equals(other["amount"])
        assert set(one["card_id"].cast(pl.String)) & set(other["card_id"].cast(pl.String))
