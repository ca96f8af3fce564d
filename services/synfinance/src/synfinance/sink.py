"""Writing tables to files while they are made, so that memory does not grow with the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import polars as pl
from polars.io.plugins import register_io_source

Format = Literal["parquet", "csv"]
FORMATS: Final[tuple[Format, ...]] = ("parquet", "csv")
_ROW_GROUP: Final = 1 << 17


def sink(frames: Callable[[], Iterator[pl.DataFrame]], schema: pl.Schema, path: Path, format: Format) -> None:
    """Write frames of one schema to a file, one after the other, as they come.

    The file appears under its name only when it is whole; what was there before is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; name a file in it")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    lazy = register_io_source(_source(frames), schema=schema)
    try:
        partial.touch()
        if format == "parquet":
            lazy.sink_parquet(partial, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP)
        else:
            lazy.sink_csv(partial, datetime_format="%Y-%m-%dT%H:%M:%S%.3f")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def format_of(path: Path) -> Format:
    """The format that a file's name asks for. Raises ValueError when it asks for none."""
    match path.suffix.lower():
        case ".parquet" | ".pq":
            return "parquet"
        case ".csv":
            return "csv"
    raise ValueError(f"{path.name}: name a format, or end the name in .parquet or .csv")


def _source(
    frames: Callable[[], Iterator[pl.DataFrame]],
) -> Callable[[list[str] | None, pl.Expr | None, int | None, int | None], Iterator[pl.DataFrame]]:
    """The frames in the form in which polars pulls them, one at a time."""

    def pull(
        with_columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        for frame in frames():
            chosen = frame if predicate is None else frame.filter(predicate)
            chosen = chosen if with_columns is None else chosen.select(with_columns)
            if n_rows is not None:
                chosen = chosen.head(n_rows)
                n_rows -= chosen.height
            yield chosen
            if n_rows is not None and n_rows <= 0:
                return

    return pull
