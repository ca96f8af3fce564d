"""POST /score: rows as JSON, CSV and Parquet, and what is wrong with them."""

from __future__ import annotations

import io
import tempfile
from typing import Any

import polars as pl
import pytest

from bedplate.testing import Harness, running
from synfinance.generator import Generator, GeneratorConfig
from synfinance.service import build

from .conftest import small_settings

CSV = b"timestamp,card_id,amount,merchant_id\n2025-02-01T12:00:00Z,K1,12.30,M1\n2025-02-01T12:00:01Z,K1,9000.00,M2\n"


def rows(count: int = 3, **values: Any) -> list[dict[str, Any]]:
    base = {"timestamp": "2025-03-01T12:00:00Z", "card_id": "K000001", "amount": "12.30"}
    return [{**base, "transaction_id": number, **values} for number in range(count)]


def parquet(**columns: list[Any]) -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame(columns).write_parquet(buffer)
    return buffer.getvalue()


def table(count: int) -> pl.DataFrame:
    return Generator(GeneratorConfig(customers=40, seed=9)).batch(count, fraud=count // 20)


async def post(harness: Harness, body: bytes, content_type: str = "text/csv") -> Any:
    return await harness.client.post("/score", content=body, headers={"content-type": content_type})


async def test_transactions_as_json_are_scored_row_by_row(harness: Harness) -> None:
    answer = (await harness.client.post("/score", json={"transactions": rows(3)})).json()
    assert (answer["rows"], [score["row"] for score in answer["scores"]]) == (3, [0, 1, 2])
    assert [score["transaction_id"] for score in answer["scores"]] == [0, 1, 2]
    assert all(0 <= score["anomaly_score"] <= 1 for score in answer["scores"])


async def test_rows_of_a_simulation_can_be_sent_back(harness: Harness) -> None:
    simulated = (await harness.client.post("/simulate", json={"rows": 50, "first": 50})).json()["transactions"]
    sent = [
        {name: value for name, value in row.items() if not name.startswith(("alert", "anomaly", "fraud_probability"))}
        for row in simulated
    ]
    answer = await harness.client.post("/score", json=sent)
    assert answer.status_code == 200, answer.text
    assert answer.json()["cache_hit_rate"] == 1.0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
async def test_files_are_scored_like_rows(harness: Harness, kind: str) -> None:
    buffer, frame = io.BytesIO(), table(400)
    frame.write_csv(buffer) if kind == "csv" else frame.write_parquet(buffer)
    answer = await post(harness, buffer.getvalue(), "application/octet-stream")
    assert answer.json()["rows"] == 400
    matrix = (await harness.client.get("/fraud")).json()["confusion_matrix"]
    assert sum(matrix.values()) == 400
    assert matrix["true_positive"] + matrix["false_negative"] == 20


async def test_columns_that_only_help_may_be_missing_and_the_answer_says_so(harness: Harness) -> None:
    answer = (await post(harness, CSV)).json()
    assert answer["rows"] == 2
    assert any("taken as unknown" in note and "device_id" in note for note in answer["notes"])


async def test_alerts_alone_can_be_asked_for(harness: Harness) -> None:
    buffer = io.BytesIO()
    table(1_000).write_parquet(buffer)
    answer = (await harness.client.post("/score?only=alerts", content=buffer.getvalue())).json()
    assert len(answer["scores"]) == answer["alerts"] > 0
    assert all(score["alert"] for score in answer["scores"])


async def test_a_card_is_known_from_its_second_batch_on(harness: Harness) -> None:
    first = (await harness.client.post("/score", json=rows(card_id="new-card"))).json()
    second = (await harness.client.post("/score", json=rows(card_id="new-card"))).json()
    assert (first["cache_hit_rate"], second["cache_hit_rate"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("row", "pointer"),
    [
        ({"amount": "12.345"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"card_id": 7}, "card_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"transaction_id": 2**63}, "transaction_id"),
        ({"latitude": 91}, "latitude"),
        ({"currency": "euros"}, "currency"),
        ({"card_number": "4111111111111111"}, "card_number"),
        ({"merchnt": "M1"}, "merchnt"),
    ],
)
async def test_a_bad_value_is_named_by_its_place(harness: Harness, row: dict[str, Any], pointer: str) -> None:
    answer = await harness.client.post("/score", json={"transactions": [*rows(2), *rows(1, **row)]})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [f"#/transactions/2/{pointer}"]
    assert "4111111111111111" not in answer.text


async def test_of_many_bad_values_the_first_are_told(harness: Harness) -> None:
    answer = (await harness.client.post("/score", json=rows(500, amount="x"))).json()
    assert len(answer["errors"]) == 20
    assert "500 values are not valid" in answer["detail"]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 422, "empty"),
        (b"  \n", 422, "empty"),
        (b"{", 400, "not JSON"),
        (b"[]", 422, "at least one row"),
        (b'{"rows": [{}]}', 422, "rows stand in 'transactions'"),
        (b"\x00\x01\x02", 422, "neither CSV nor Parquet"),
        (b"PAR1garbage", 422, "damaged"),
        (b"timestamp,amount\n2025-01-01,1\n", 422, "no column 'card_id'"),
        (b"timestamp,card_id,amount\nx,K1,1\n", 422, "'timestamp' cannot be read"),
        (b"timestamp,card_id,amount\n2025-01-01,K1,a lot\n", 422, "'amount' should be numbers"),
        (parquet(timestamp=["2025-01-01"], card_id=[[1, 2]], amount=[1.0]), 422, "'card_id' holds lists"),
        (parquet(timestamp=["2025-01-01"], card_id=["K"], amount=[{"a": 1}]), 422, "'amount' holds lists"),
    ],
)
async def test_a_body_that_cannot_be_scored_is_a_problem(harness: Harness, body: bytes, status: int, said: str) -> None:
    answer = await post(harness, body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert said in answer.json()["detail"]
    assert tempfile.gettempdir() not in answer.text


@pytest.mark.parametrize(
    "columns",
    [
        {"timestamp": ["2025-01-01", "2025-01-02"], "card_id": ["a", "b"], "amount": ["1.5", "€ 2"]},
        {"timestamp": [1_735_689_600, 1_735_689_601], "card_id": [1, 2], "amount": [1, 2]},
        {"timestamp": [None, None], "card_id": [None, None], "amount": [None, None]},
        {"timestamp": ["2025-01-01"] * 2, "card_id": ["a", "b"], "amount": [float("nan"), float("inf")]},
        {"timestamp": ["2025-01-01"] * 2, "card_id": [True, False], "amount": [1.0, -1e300]},
        {"timestamp": ["0001-01-01", "9999-12-31"], "card_id": ["a", "b"], "amount": [1.0, 2.0]},
    ],
)
async def test_whatever_types_callers_use_they_are_served_one_after_the_other(
    harness: Harness, columns: dict[str, list[Any]]
) -> None:
    for body in (CSV, parquet(**columns), CSV, parquet(**columns)):
        answer = await post(harness, body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["rows"] == 2


async def test_forms_and_encodings_are_refused_with_what_to_send_instead(harness: Harness) -> None:
    form = await harness.client.post("/score", files={"file": ("a.csv", CSV)})
    assert (form.status_code, "--data-binary" in form.text) == (415, True)
    zipped = await harness.client.post("/score", content=b"x", headers={"content-encoding": "br"})
    assert zipped.status_code == 415


async def test_too_many_rows_and_bytes_are_refused() -> None:
    async with running(build(small_settings(max_rows=10, max_body_bytes=4_000))) as harness:
        many = await harness.client.post("/score", json=rows(11))
        assert (many.status_code, "at most 10" in many.text) == (413, True)
        csv = b"timestamp,card_id,amount\n" + b"2025-02-01,K1,1.00\n" * 11
        assert (await post(harness, csv)).status_code == 413

        async def stream() -> Any:
            for _ in range(10):
                yield b"x" * 1_000

        declared = await post(harness, b"x" * 5_000)
        undeclared = await harness.client.post("/score", content=stream())
        assert (declared.status_code, undeclared.status_code) == (413, 413)


async def test_the_documentation_describes_every_kind_of_body_without_dangling_references(harness: Harness) -> None:
    document = (await harness.client.get("/openapi.json")).json()
    for path in ("/score", "/quality"):
        content = document["paths"][path]["post"]["requestBody"]["content"]
        assert set(content) == {"application/json", "text/csv", "application/vnd.apache.parquet"}
        assert "$ref" not in str(content)
    rows = document["paths"]["/score"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(rows["properties"]["transactions"]["items"]["required"]) == {"timestamp", "card_id", "amount"}
