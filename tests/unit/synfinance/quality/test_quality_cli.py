from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from synfinance.cli.quality import quality

Payments = Callable[..., pl.DataFrame]


@pytest.fixture
def run() -> Callable[..., Result]:
    app = typer.Typer()
    app.command()(quality)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def clean(tmp_path: Path, payments: Payments) -> Path:
    path = tmp_path / "clean.csv"
    payments(600).write_csv(path)
    return path


@pytest.fixture
def broken(tmp_path: Path, payments: Payments) -> Path:
    path = tmp_path / "broken.parquet"
    low = pl.col("amount") < 20
    payments(600, 1).with_columns(
        amount=pl.when(low).then(None).otherwise(pl.col("amount") * 3),
        category=pl.when(low).then(pl.col("category").str.to_uppercase()).otherwise(pl.col("category")),
    ).write_parquet(path)
    return path


def test_json_is_one_document_and_nothing_else(run: Callable[..., Result], broken: Path) -> None:
    result = run(broken, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["score"] < 95
    names = [column["name"] for column in document["columns"]]
    assert names[:2] == ["transaction_id", "timestamp"]
    (amount,) = [column for column in document["columns"] if column["name"] == "amount"]
    assert amount["score"] < 60
    assert "missing" in {finding["kind"] for finding in amount["findings"]}


def test_the_table_tells_score_kinds_and_findings_in_words(run: Callable[..., Result], broken: Path) -> None:
    result = run(broken)
    assert result.exit_code == 0
    for words in ("of 100", "600 rows × 10 columns", "completeness", "timestamp", "are missing", "--verbose shows"):
        assert words in result.stdout
    verbose = run(broken, "--verbose").stdout
    for words in ("e.g. ", "→ map the", "alarm above", "wasserstein"):
        assert words in verbose


def test_a_narrow_terminal_loses_no_number(run: Callable[..., Result], broken: Path) -> None:
    result = run(broken)
    assert "consistency" in result.stdout
    for dimension in ("completeness", "validity", "consistency", "uniqueness", "outliers", "drift"):
        assert re.search(rf"{dimension} +━+ +\d+\.\d\b", result.stdout), dimension


@pytest.mark.parametrize(("limit", "code"), [(100, 1), (1, 0)])
def test_fail_under(run: Callable[..., Result], broken: Path, limit: int, code: int) -> None:
    result = run(broken, "--json", "--fail-under", limit)
    assert result.exit_code == code
    json.loads(result.stdout)
    assert ("is under 100" in result.stderr) is bool(code)


def test_a_reference_and_a_schema_are_used(
    run: Callable[..., Result], clean: Path, broken: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.yaml"
    schema.write_text("balance: {type: amount, max: 1000}\n")
    document = json.loads(run(broken, "--json", "--reference", clean, "--schema", schema).stdout)
    kinds = {finding["kind"] for column in document["columns"] for finding in column["findings"]}
    assert {"drift", "out_of_range"} <= kinds
    assert document["compared"] == "this file and the reference"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("header.csv", b"a,b\n"),
        ("noise.csv", bytes(range(256)) * 40),
        ("page.csv", b"<!doctype html><html></html>"),
        ("cut.parquet", b"PAR1" + b"\x00" * 100),
        ("rules.json", b'{"a": 1}'),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    run: Callable[..., Result], tmp_path: Path, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    for arguments in ([path], [path, "--json"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert result.stderr.startswith(f"synfinance quality: {path}: ")
        assert result.stderr.count("\n") == 1


def test_a_bad_schema_a_bad_reference_and_no_file_are_refused(
    run: Callable[..., Result], clean: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"amount": {"type": "colour"}}')
    for arguments, reason in (
        ([clean, "--schema", schema], "unknown type 'colour'"),
        ([clean, "--reference", tmp_path / "none.csv"], "no such file"),
        ([tmp_path / "none.csv"], "no such file"),
        ([tmp_path], "directory"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert reason in result.stderr


def test_names_and_values_cannot_mark_up_the_screen(run: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "[red]x.csv"
    path.write_text("[bold]a[/bold],b\x1b[31m\n" + "[/], \x1b[2J x\nn/a,y\n" * 40)
    result = run(path, "--verbose")
    assert result.exit_code == 0
    assert "[bold]a[/bold]" in result.stdout
    assert "\x1b[2J" not in result.stdout
    assert "b\x1b[31m" not in result.stdout
