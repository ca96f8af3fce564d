from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

from synfinance.cli import app
from synfinance.fraud import Detector
from synfinance.generator import Generator, GeneratorConfig

CLI = CliRunner()


def _run(*arguments: object) -> Result:
    return CLI.invoke(app, [str(argument) for argument in arguments])


def _json(*arguments: object) -> dict[str, Any]:
    """What a command prints with --json: one document and nothing else on stdout."""
    result = _run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return dict(json.loads(result.stdout))


def _refused(*arguments: object, code: int = 2) -> str:
    """The one line with which a command refuses; there is nothing on stdout."""
    result = _run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    line = result.stderr.strip()
    assert "\n" not in line
    assert "Traceback" not in line
    return line


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled transactions, a model of them, and later ones of the same cards."""
    folder = tmp_path_factory.mktemp("world")
    generator = Generator(GeneratorConfig(customers=150, fraud_rate=0.04, seed=12))
    generator.batch(4_000).write_parquet(folder / "past.parquet")
    generator.batch(800, fraud=40).write_csv(folder / "later.csv")
    result = _run("train", folder / "past.parquet", "--label", "is_fraud", "--out", folder / "model", "--json")
    assert result.exit_code == 0, result.output
    (folder / "training.json").write_text(result.stdout)
    return folder


def test_generate_writes_what_it_says(tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    told = _json("generate", "--rows", 2_000, "--fraud", 30, "--seed", 5, "--out", out)
    frame = pl.read_csv(out)
    assert (told["rows"], told["fraud"], told["format"]) == (2_000, 30, "csv")
    assert (frame.height, frame["is_fraud"].sum()) == (2_000, 30)
    assert told["bytes"] == out.stat().st_size
    assert sum(told["by_type"].values()) == sum(told["by_severity"].values()) == 30
    assert told["rows_per_second"] > 0


def test_generate_is_reproducible_and_told_in_words(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.parquet"):
        result = _run(
            "generate", "-n", 1_500, "--seed", 3, "-o", tmp_path / name, "--types", "card_testing,structuring"
        )
        assert result.exit_code == 0
        assert "1,500 transactions" in result.stdout
    one, other = (pl.read_parquet(tmp_path / name) for name in ("a.parquet", "b.parquet"))
    assert one.equals(other)
    assert set(one["fraud_type"].cast(pl.String)) <= {"none", "card_testing", "structuring"}


def test_generate_prints_csv(tmp_path: Path) -> None:
    result = _run("generate", "--rows", 50, "--out", "-")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 51


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--rows", "0"], "rows must be 1"),
        (["--fraud-rate", "0.9"], "fraud_rate must be"),
        (["--types", "magic"], "unknown fraud types magic"),
        (["--format", "xml"], "unknown format 'xml'"),
        (["--out", "x.dat"], "name a format"),
        (["--out", "/no/such/folder/x.csv"], "there is no directory /no/such/folder"),
        (["--out", "/tmp", "--format", "csv"], "this is a directory"),
        (["--out", "-", "--json"], "--out - prints CSV"),
    ],
)
def test_generate_refuses(arguments: list[str], told: str) -> None:
    assert told in _refused("generate", *arguments)


def test_train_reports_on_later_rows(world: Path) -> None:
    told = json.loads((world / "training.json").read_text())
    report = told["report"]
    assert told["rows"] == 4_000
    assert told["roles"]["entity"] == "card_id"
    assert report["quality"]["positive"] > 0
    assert report["train"]["end"] < report["validation"]["begin"] < report["test"]["begin"]
    assert {part["name"] for part in report["by_severity"]} <= {"low", "medium", "high", "critical"}


def test_train_tells_in_words(world: Path, tmp_path: Path) -> None:
    result = _run("train", world / "past.parquet", "-l", "is_fraud", "-o", tmp_path / "m", "--exclude", "device_id",
                  "--threshold", "precision=0.8", "--max-rows", 3_000)  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "average precision" in result.stdout
    assert "device_id (excluded)" in result.stdout
    assert "the last 3,000 were read" in result.stderr


def test_train_without_a_label_learns_what_is_usual(world: Path, tmp_path: Path) -> None:
    told = _json("train", world / "past.parquet", "--out", tmp_path / "usual")
    assert told["report"] is None
    assert Detector.load(tmp_path / "usual").classifier is None
    scored = _json("score", world / "later.csv", "--model", tmp_path / "usual")
    assert scored["detects"] is None
    assert scored["alerts"] == scored["anomalies"]


def test_train_with_one_of_many_values(world: Path, tmp_path: Path) -> None:
    assert "name the one to detect" in _refused("train", world / "past.parquet", "--label", "category")
    told = _json("train", world / "past.parquet", "--label", "category", "--positive", "fuel", "--out", tmp_path / "m")
    assert told["report"]["positive"] == "category is fuel"
    assert told["report"]["quality"]["average_precision"] > 0.5


def test_train_refuses(world: Path, tmp_path: Path) -> None:
    past = world / "past.parquet"
    assert "did you mean 'is_fraud'" in _refused("train", past, "--label", "isfraud")
    assert "unknown threshold criterion" in _refused("train", past, "--label", "is_fraud", "--threshold", "best")
    assert "--positive needs --label" in _refused("train", past, "--positive", "yes")
    assert "no column 'nope' to exclude" in _refused("train", past, "-l", "is_fraud", "--exclude", "nope")
    constant = tmp_path / "constant.csv"
    pl.DataFrame({"amount": range(50), "y": [0] * 50}).write_csv(constant)
    assert "in every row" in _refused("train", constant, "--label", "y")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "other.txt").write_text("x")
    assert "something else than a model" in _refused("train", past, "--out", tmp_path / "full")


def test_score_finds_fraud_and_writes_it_beside_the_rows(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.csv"
    told = _json("score", world / "later.csv", "-m", world / "model", "--history", world / "past.parquet", "-o", out)
    scored, later = pl.read_csv(out, infer_schema=False), pl.read_csv(world / "later.csv", infer_schema=False)
    assert scored.select(later.columns).equals(later), "the rows are written as they were"
    assert told["rows"] == scored.height == 800
    assert told["alerts"] == (scored["alert"] == "true").sum() > 0
    truth = (later["is_fraud"] == "true").to_numpy()
    probability = scored["fraud_probability"].cast(pl.Float64).to_numpy()
    assert probability[truth].mean() > 3 * probability[~truth].mean()
    assert len(told["top"]) == 10
    assert told["top"][0]["fraud_probability"] == pytest.approx(probability.max())
    assert sum(told["by_type"].values()) == told["alerts"]


def test_score_tells_in_words_and_may_fail_on_alerts(world: Path) -> None:
    result = _run("score", world / "later.csv", "--model", world / "model", "--fail-on-alerts")
    assert result.exit_code == 1
    assert "alerts" in result.stdout
    never = _run("score", world / "later.csv", "--model", world / "model", "--fail-on-alerts", "--threshold", "1")
    assert never.exit_code == 0


def test_score_without_a_model_gives_anomalies(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.parquet"
    told = _json("score", world / "past.parquet", "--out", out, "--top", 3)
    assert told["model"] is None
    assert told["alerts"] == told["anomalies"] == pytest.approx(40, abs=15)
    assert len(told["top"]) == 3
    scored = pl.read_parquet(out)
    assert "fraud_probability" not in scored.columns
    assert scored["anomaly"].sum() == told["anomalies"]


def test_score_streams_a_long_file_in_windows(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _json("score", world / "later.csv", "--model", world / "model", "--out", tmp_path / "whole.csv")
    monkeypatch.setattr(sys.modules["synfinance.cli.score"], "WINDOW_ROWS", 400)
    parts = _json("score", world / "later.csv", "--model", world / "model", "--out", tmp_path / "parts.csv")
    assert parts["rows"] == 800
    assert any("400 at a time" in note for note in parts["notes"])
    assert (tmp_path / "parts.csv").read_text() == (tmp_path / "whole.csv").read_text()
    assert parts["top"] == whole["top"]


def test_score_stops_after_the_rows_asked_for(world: Path) -> None:
    assert _json("score", world / "later.csv", "--model", world / "model", "--rows", 100)["rows"] == 100


def test_columns_that_the_file_has_already_are_kept(tmp_path: Path) -> None:
    pl.DataFrame({"amount": range(100), "alert": ["mine"] * 50 + ["yours"] * 50}).write_csv(tmp_path / "t.csv")
    _json("score", tmp_path / "t.csv", "--out", tmp_path / "s.csv")
    assert set(pl.read_csv(tmp_path / "s.csv")["alert"]) == {"mine", "yours"}
    assert "alert_" in pl.read_csv(tmp_path / "s.csv").columns


def test_score_refuses(world: Path, tmp_path: Path) -> None:
    later = world / "later.csv"
    assert "no such model" in _refused("score", later, "--model", tmp_path / "none")
    assert "not a model" in _refused("score", later, "--model", tmp_path)
    assert "no such file" in _refused("score", tmp_path / "none.csv")
    assert "no such file" in _refused("score", later, "--history", tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("x,y\n1,2\n3,4\n")
    assert "columns that the table does not have" in _refused("score", tmp_path / "other.csv", "-m", world / "model")
    (tmp_path / "names.csv").write_text("name\nann\nbob\n")
    assert "no column can be judged" in _refused("score", tmp_path / "names.csv")
    pl.DataFrame({"a": [1.0, 2.0], "b": [[1], [2]]}).write_parquet(tmp_path / "nested.parquet")
    assert "nested columns" in _refused("score", tmp_path / "nested.parquet", "--out", tmp_path / "n.csv")


@pytest.mark.parametrize("command", [["train", "--label", "y"], ["score"], ["quality"]])
@pytest.mark.parametrize("content", [b"", b"a,b\n", b"\x00\x01\x02", b"PAR1 cut", b'{"a": 1}'])
def test_every_command_refuses_what_is_no_table(tmp_path: Path, command: list[str], content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert str(path) in _refused(command[0], path, *command[1:])
    assert "directory" in _refused(command[0], tmp_path, *command[1:])


def test_the_installed_command_ends_without_a_traceback(tmp_path: Path) -> None:
    """Through the process: a closed pipe, an unknown option, and a fault inside of the program itself."""

    def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = [sys.executable, "-c", f"import synfinance.cli as cli\n{code}\ncli.main()", *arguments]
        return subprocess.run(program, capture_output=True, text=True, timeout=100, check=False)

    broken = run("cli.app.registered_commands[0].callback = lambda: 1 / 0", "generate")
    assert broken.returncode == 1
    assert broken.stderr.startswith("synfinance: ZeroDivisionError")
    assert "Traceback" not in broken.stderr
    assert run("", "generate", "--nonsense").returncode == 2
    piped = f'"{sys.executable}" -c "import synfinance.cli as cli; cli.main()" generate --rows 50000 --out - | head -1'
    ended = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {piped}"], capture_output=True, text=True, timeout=100, check=False
    )
    assert ended.stdout.startswith("transaction_id,")
    assert ended.stderr == ""
