from __future__ import annotations

import tracemalloc
from pathlib import Path

import polars as pl
import pytest

from synfinance.generator import BLOCK_ROWS, Generator, GeneratorConfig, write


@pytest.mark.parametrize("name", ["run.parquet", "run.csv", "run.PQ"])
def test_a_written_run_reads_back_the_same(tmp_path: Path, name: str) -> None:
    generator = Generator(GeneratorConfig(rows=3_000, fraud=30, seed=1))
    seen: list[int] = []
    write(generator, tmp_path / name, on_frame=lambda frame: seen.append(frame.height))
    run = pl.concat(generator.frames())
    if name.endswith("csv"):
        back = pl.read_csv(tmp_path / name, schema_overrides={"amount": pl.Decimal(18, 2), "mcc": pl.UInt16})
        assert back["amount"].equals(run["amount"])
        assert back["is_fraud"].equals(run["is_fraud"])
        assert back["timestamp"].str.to_datetime(time_unit="ms").equals(run["timestamp"])
        assert back["device_id"].equals(run["device_id"].cast(pl.String))
    else:
        back = pl.read_parquet(tmp_path / name)
        assert back.equals(run)
    assert sum(seen) == 3_000
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_format_may_be_told_instead_of_named(tmp_path: Path) -> None:
    generator = Generator(GeneratorConfig(rows=10))
    assert write(generator, tmp_path / "run.data", format="parquet") == "parquet"
    assert (tmp_path / "run.data").read_bytes().startswith(b"PAR1")
    with pytest.raises(ValueError, match="name a format"):
        write(generator, tmp_path / "run.data")


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "run.csv"
    target.write_text("precious")

    def fail(frame: pl.DataFrame) -> None:
        raise RuntimeError("no more")

    with pytest.raises(Exception, match="no more"):
        write(Generator(GeneratorConfig(rows=10)), target, on_frame=fail)
    assert target.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]


def test_a_directory_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="directory"):
        write(Generator(GeneratorConfig(rows=10)), tmp_path, format="csv")


def test_memory_does_not_grow_with_the_rows() -> None:
    def peak(blocks: int) -> int:
        generator = Generator(GeneratorConfig(rows=BLOCK_ROWS * blocks, customers=2_000, seed=3))
        tracemalloc.start()
        try:
            for frame in generator.frames():
                del frame
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(6) < 1.1 * peak(2)
