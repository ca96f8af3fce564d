"""POST /quality: any table, its report, and what is counted by field."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest

from bedplate.testing import Harness
from synfinance.generator import Generator, GeneratorConfig


def parquet(rows: int = 500) -> bytes:
    buffer = io.BytesIO()
    Generator(GeneratorConfig(customers=40, seed=9)).batch(rows).write_parquet(buffer)
    return buffer.getvalue()


async def test_a_file_is_scored_with_a_reason_for_every_lost_point(harness: Harness) -> None:
    lines = ["day,amount"] + [f"2025-01-{1 + day % 28:02d},{'' if day % 4 == 0 else day}" for day in range(200)]
    answer = (await harness.client.post("/quality", content="\n".join(lines).encode())).json()
    assert 0 < answer["score"] < 100
    assert {column["name"] for column in answer["columns"]} == {"day", "amount"}
    lost = sum(
        finding["overall_points"]
        for finding in [*answer["findings"], *(f for column in answer["columns"] for f in column["findings"])]
    )
    assert lost == pytest.approx(100 - answer["score"], abs=0.05)


async def test_rows_are_assessed_against_a_reference_and_a_schema(harness: Harness) -> None:
    body: dict[str, Any] = {
        "rows": [{"amount": 1_000 + number, "country": "XX"} for number in range(200)],
        "reference": [{"amount": number % 50, "country": "DE"} for number in range(200)],
        "schema": {"amount": {"type": "number", "max": 1_100}, "country": "string"},
    }
    answer = (await harness.client.post("/quality", json=body)).json()
    assert any(drift["drifted"] for drift in answer["drift"] if drift["column"] == "amount")
    amount = next(column for column in answer["columns"] if column["name"] == "amount")
    assert amount["invalid"] == 99


async def test_values_of_mixed_kinds_and_nested_values_are_taken(harness: Harness) -> None:
    rows = [{"a": 1, "b": {"c": 1}}, {"a": "x", "b": [1]}, {"a": True, "b": None}, {"a": None}] * 10
    answer = await harness.client.post("/quality", json=rows)
    assert (answer.status_code, answer.json()["rows"]) == (200, 40)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"rows": [1]}, "Row 0 is not an object"),
        ({"rows": [{}]}, "no columns"),
        ({"rows": []}, "at least one row"),
        ({"rows": [{"a": 1}], "reference": []}, "reference"),
        ({"rows": [{"a": 1}], "schema": {"a": {"type": "colour"}}}, "unknown type 'colour'"),
        ({"rows": [{"a": 1}], "schema": 3}, "schema is not usable"),
        ({"rows": [{"a": 1}], "colour": 3}, "'colour' is not known"),
        ({"rows": [{str(number): 1 for number in range(501)}]}, "500 columns"),
        ([{"a": json.loads("[" * 500 + "]" * 500)}], "nested too deeply"),
    ],
)
async def test_what_cannot_be_assessed_is_a_problem_that_says_why(harness: Harness, body: Any, said: str) -> None:
    answer = await harness.client.post("/quality", json=body)
    assert answer.status_code in (413, 422)
    assert said in answer.json()["detail"]


async def test_findings_are_counted_by_field_and_foreign_columns_together(harness: Harness) -> None:
    rows = [{"amount": None if number % 4 == 0 else number, "mine": None} for number in range(200)]
    schema = {"amount": {"type": "number", "max": 150}, "mine": {"nullable": True}}
    await harness.client.post("/quality", json={"rows": rows, "schema": schema})
    assert await harness.value('synfinance_data_missing_ratio{field="amount"}') == 0.25
    assert await harness.value('synfinance_data_missing_ratio{field="_other"}') == 1.0
    violations = await harness.value('synfinance_data_schema_violations_total{field="amount"}')
    assert violations == sum(number > 150 and number % 4 != 0 for number in range(200))
    assert await harness.value("synfinance_data_assessed_rows_total") == 200


async def test_drift_is_shown_with_its_bound(harness: Harness) -> None:
    body = {
        "rows": [{"amount": 1_000 + number} for number in range(200)],
        "reference": [{"amount": number} for number in range(200)],
    }
    await harness.client.post("/quality", json=body)
    samples = await harness.samples()
    label = '{field="amount",kind="psi"}'
    assert samples[f"synfinance_data_drift{label}"] > samples[f"synfinance_data_drift_bound{label}"]
    assert samples[f"synfinance_data_drift_detections_total{label}"] == 1


async def test_the_score_is_weighted_by_rows_and_leaves_with_the_window(harness: Harness) -> None:
    good = await harness.client.post("/quality", content=parquet(900))
    poor = await harness.client.post("/quality", json=[{"amount": "N/A", "x": None}] * 100)
    weighted = (900 * good.json()["score"] + 100 * poor.json()["score"]) / 1_000
    assert await harness.value("synfinance_data_quality_score") == pytest.approx(weighted, abs=0.01)
    assert (await harness.client.get("/fraud")).json()["quality"]["score"] == pytest.approx(weighted, abs=0.01)
    await harness.clock.advance(400)
    assert math.isnan((await harness.samples())["synfinance_data_quality_score"])


async def test_the_account_can_be_reset(harness: Harness) -> None:
    await harness.client.post("/quality", content=parquet())
    answer = await harness.client.post("/monitoring/components/data_quality/default/actions/reset")
    assert answer.status_code == 200, answer.text
    assert math.isnan((await harness.samples())["synfinance_data_quality_score"])
    assert await harness.value("synfinance_data_assessed_rows_total") == 500


@pytest.mark.parametrize("width", [501, 20_000])
async def test_a_wide_file_is_refused_before_it_is_read(harness: Harness, width: int) -> None:
    csv = ",".join(f"c{number}" for number in range(width)) + "\n" + ",".join("1" * width)
    answer = await harness.client.post("/quality", content=csv.encode())
    assert (answer.status_code, "500 columns" in answer.text) == (413, True)


async def test_of_a_long_file_rows_spread_over_it_are_assessed(harness: Harness) -> None:
    answer = (await harness.client.post("/quality", content=b"a,b\n" + b"1,2\n" * 25_000)).json()
    assert answer["rows"] == 8_334
    assert any("the table has 25,000 rows" in note for note in answer["notes"])
