"""Writing a whole run to a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl

from synfinance.generator.generator import Generator
from synfinance.sink import Format, format_of, sink


def write(
    generator: Generator,
    path: str | Path,
    *,
    format: Format | None = None,
    on_frame: Callable[[pl.DataFrame], None] = lambda frame: None,
) -> Format:
    """Write the generator's whole run to a file, and return the format written; see :func:`synfinance.sink.sink`.

    ``on_frame`` is shown each block of rows as it is made, from a thread of its own.

    Raises:
        ValueError: the format is not given and the name does not end in .parquet or .csv.
        OSError: the file cannot be written.
    """
    target = Path(path)
    chosen = format or format_of(target)

    def frames() -> Iterator[pl.DataFrame]:
        for frame in generator.frames():
            on_frame(frame)
            yield frame

    sink(frames, generator.schema, target, chosen)
    return chosen
