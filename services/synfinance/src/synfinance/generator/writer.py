"""Writing a run to a file while it is made, a block at a time, so that memory does not grow with the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import polars as pl
from polars.io.plugins import register_io_source

from synfinance.generator.generator import BLOCK_ROWS, Generator

Format = Literal["parquet", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("parquet", "csv")


def write(
    generator: Generator,
    path: str | Path,
    *,
    format: Format | None = None,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Format:
    """Write the generator's whole run to a file, and return the format written.

    The file appears under its name only when it is whole; what was there before is replaced. ``on_rows`` is told the
    number of rows of each block as it is made, from a thread of its own.

    Raises:
        ValueError: the format is not given and the name does not end in .parquet or .csv.
        OSError: the file cannot be written.
    """
    target = Path(path)
    chosen = format or format_of(target)
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a directory; name a file in it")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    lazy = _lazy(generator, on_rows)
    try:
        with partial.open("wb"):
            pass
        if chosen == "parquet":
            lazy.sink_parquet(partial, compression="zstd", compression_level=1, row_group_size=BLOCK_ROWS)
        else:
            lazy.sink_csv(partial, datetime_format="%Y-%m-%dT%H:%M:%S%.3f")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return chosen


def format_of(path: Path) -> Format:
    """The format that a file's name asks for. Raises ValueError when it asks for none."""
    match path.suffix.lower():
        case ".parquet" | ".pq":
            return "parquet"
        case ".csv":
            return "csv"
    raise ValueError(f"{path.name}: name a format, or end the name in .parquet or .csv")


def _lazy(generator: Generator, on_rows: Callable[[int], None]) -> pl.LazyFrame:
    """The run as a lazy frame that polars pulls block by block."""

    def source(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for frame in generator.frames():
            chosen = frame if predicate is None else frame.filter(predicate)
            chosen = chosen if with_columns is None else chosen.select(with_columns)
            on_rows(frame.height)
            if n_rows is not None:
                chosen = chosen.head(n_rows)
                n_rows -= chosen.height
            yield chosen
            if n_rows is not None and n_rows <= 0:
                return

    return register_io_source(source, schema=generator.schema)
