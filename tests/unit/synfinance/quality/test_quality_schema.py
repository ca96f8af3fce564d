# ruff: noqa: DTZ001  # columns hold times without a zone
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from synfinance.quality import BadSchema, Fault, Kind, Report, Schema, profile

Payments = Callable[..., pl.DataFrame]


def faults(report: Report, column: str) -> dict[Fault, int]:
    return {finding.fault: finding.count for finding in report.column(column).findings if finding.loss}


def test_a_schema_is_read_from_json_and_yaml_alike(tmp_path: Path) -> None:
    rules: dict[str, Any] = {
        "columns": {
            "amount": {"type": "money", "min": 0, "max": 10.5},
            "day": "date",
            "shop": {"values": ["a", 1, True]},
        },
        "strict": True,
    }
    as_json = tmp_path / "schema.json"
    as_json.write_text(json.dumps(rules))
    as_yaml = tmp_path / "schema.yaml"
    as_yaml.write_text(
        "strict: true\n"
        "columns:\n"
        "  amount: {type: money, min: 0, max: 10.5}\n"
        "  day: date\n"
        "  shop: {values: [a, 1, true]}\n"
    )
    schema = Schema.load(as_json)
    assert schema == Schema.load(as_yaml)
    assert schema.columns["amount"].kind is Kind.AMOUNT
    assert schema.columns["shop"].values == {"a", "1", "true"}
    assert schema.strict


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ([], "a schema is a mapping"),
        ({}, "names no column"),
        ({"a": {"type": "colour"}}, "unknown type 'colour'"),
        ({"a": {"typ": "int"}}, "unknown key 'typ'"),
        ({"a": 3}, "give a type or a mapping"),
        ({"a": {"min": "low"}}, "must be a number or an ISO date"),
        ({"a": {"min": 5, "max": 1}}, "'min' is greater than 'max'"),
        ({"a": {"min": 5, "max": "2026-01-01"}}, "both be numbers or both be dates"),
        ({"a": {"pattern": "("}}, "not a usable regular expression"),
        ({"a": {"pattern": "(?=x)"}}, "not a usable regular expression"),
        ({"a": {"values": "x"}}, "'values' must be a list"),
        ({"a": {"unique": "yes"}}, "'unique' must be true or false"),
        ({"columns": {"a": "int"}, "stict": True}, "unknown key 'stict'"),
        ({"columns": {"a": "int"}, "strict": "no"}, "'strict' must be"),
    ],
)
def test_what_is_wrong_with_a_schema_is_said(document: object, reason: str) -> None:
    with pytest.raises(BadSchema, match="(?s)" + reason.replace("(", r"\(")):
        Schema.of(document)


def test_all_faults_of_a_schema_are_told_at_once() -> None:
    with pytest.raises(BadSchema, match=r"'a'.*'b'"):
        Schema.of({"a": {"type": "colour"}, "b": {"unique": 1}})


@pytest.mark.parametrize("content", [b"{", b"a: [", b"\xff\xfe\x00", b"{}", b"'"])
def test_a_broken_schema_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "schema.yaml"
    path.write_bytes(content)
    with pytest.raises(BadSchema, match=r"schema\.yaml: "):
        Schema.load(path)


def test_a_schema_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(BadSchema, match="cannot be read"):
            Schema.load(path)


@pytest.mark.parametrize(
    ("values", "rule", "expected"),
    [
        ([1, 5, 12, -3], {"type": "number", "min": 0, "max": 10}, {Fault.OUT_OF_RANGE: 1}),
        (["a", "b", "c"], {"values": ["a", "b"]}, {Fault.NOT_ALLOWED: 1}),
        ([1, 2, 9], {"type": "code", "values": [1, 2]}, {Fault.NOT_ALLOWED: 1}),
        (["AB-1", "AB-12", "xAB-1"], {"pattern": "AB-[0-9]"}, {Fault.BAD_PATTERN: 2}),
        ([1, 1, 2], {"type": "id", "unique": True}, {Fault.DUPLICATE_ID: 1}),
        (["a", None, "b"], {"nullable": False}, {Fault.REQUIRED_MISSING: 1}),
        (["a", None, "b"], {"nullable": True}, {}),
        (["a", None, "b"], {}, {Fault.MISSING: 1}),
        ([1.5, 2.0], {"type": "integer"}, {Fault.WRONG_TYPE: 1}),
        (["one", "2"], {"type": "number"}, {Fault.WRONG_TYPE: 1, Fault.NUMBER_AS_TEXT: 1}),
        (
            ["2026-01-05", "2025-01-05"],
            {"type": "date", "min": "2026-01-01"},
            {Fault.OUT_OF_RANGE: 1, Fault.DATE_AS_TEXT: 2},
        ),
        ([True, False], {"values": [True]}, {Fault.NOT_ALLOWED: 1}),
        ([True, False], {"type": "amount"}, {Fault.WRONG_TYPE: 2}),
    ],
)
def test_violations_are_counted(values: list[object], rule: dict[str, Any], expected: dict[Fault, int]) -> None:
    report = profile(pl.DataFrame({"x": values}), schema={"x": rule}, now=datetime(2026, 6, 1))
    found = faults(report, "x")
    # A range is two limits, told one by one.
    assert {fault: found.get(fault, 0) for fault in expected} == expected
    assert set(found) == set(expected)


def test_absent_columns_lose_all_and_optional_ones_nothing(payments: Payments) -> None:
    rules = {"amount": "amount", "iban": "id", "note": {"type": "text", "required": False}}
    report = profile(payments(200), schema=rules)
    assert report.column("iban").score == 0
    assert faults(report, "iban") == {Fault.ABSENT_COLUMN: 200}
    assert "note" not in {column.name for column in report.columns}


def test_strict_names_columns_without_a_rule(payments: Payments) -> None:
    rules = {"columns": {"amount": "amount"}, "strict": True}
    (finding,) = [item for item in profile(payments(200), schema=rules).findings if item.fault is Fault.UNKNOWN_COLUMN]
    assert finding.count == 9
    assert "transaction_id" in finding.message


def test_a_reference_shows_what_columns_and_kinds_to_expect(payments: Payments) -> None:
    old, new = payments(500, 1), payments(500, 2)
    new = new.drop("country").with_columns(
        amount=pl.when(pl.col("online")).then(pl.lit("lots")).otherwise(pl.col("amount").cast(pl.String)), extra=1
    )
    report = profile(new, reference=old)
    assert faults(report, "amount")[Fault.WRONG_TYPE] == int(new["online"].sum())
    assert report.column("country").score == 0
    assert any(finding.fault is Fault.UNKNOWN_COLUMN for finding in report.findings)
