"""Reading CSV and Parquet files that nobody here made: bounded in memory, and clear about what is wrong with them.

A table is recognised by its content; its name counts only where the content could as well be prose. CSV may be comma,
semicolon, tab or pipe separated, UTF-8, UTF-16 or Windows-1252, plain or gzipped; its columns are typed from **all**
values read, so that a late stray value makes a column text instead of failing the read. Whatever had to be assumed or
left out is said in :attr:`Table.notes`.
"""

from __future__ import annotations

import contextlib
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import polars as pl
import polars.selectors as cs

from synfinance import csv_text
from synfinance.text_types import typed

MAX_ROWS: Final = 1_000_000
"""Rows held in memory unless the caller asks for another number."""
MAX_CELLS: Final = 48_000_000
"""Rows times columns held in memory; a wide table is sampled to fewer rows than :data:`MAX_ROWS`."""

Sample = Literal["spread", "tail"]

_FOREIGN: Final = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"%PDF": "a PDF document",
    b"SQLite format 3": "an SQLite database",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x7fELF": "a program",
    b"ARROW1": "an Arrow IPC file",
    b"Obj\x01": "an Avro file",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
}

_TABULAR: Final = 0.5
"""Share of lines with the same number of fields below which a text is no table, unless its name says so."""
_TABLE_NAME: Final = re.compile(r"\.(csv|tsv|tab|txt|dat)(\.gz)?$")


class BadFile(ValueError):
    """A file that cannot be used as a table; the message names the file, what is wrong and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table read from a file: what was kept, how much there was, and what had to be assumed."""

    frame: pl.DataFrame
    rows: int
    """Rows in the file; more than ``frame.height`` when it was sampled."""
    notes: tuple[str, ...] = ()
    """What the reader assumed or left out, one clause each."""

    @property
    def sampled(self) -> bool:
        """Whether the file holds more rows than :attr:`frame`."""
        return self.rows > self.frame.height


def load_table(path: str | Path, *, max_rows: int = MAX_ROWS) -> pl.DataFrame:
    """Read a CSV or Parquet file, at most ``max_rows`` rows spread evenly over it; see :func:`read_table`."""
    return read_table(path, max_rows=max_rows).frame


def read_table(path: str | Path, *, max_rows: int = MAX_ROWS, sample: Sample = "spread") -> Table:
    """Read a CSV or Parquet file into memory.

    A file with more than ``max_rows`` rows (or :data:`MAX_CELLS` cells) is sampled while it is streamed: ``"spread"``
    takes every k-th row, which suits statistics of columns; ``"tail"`` takes the last rows in file order, which keeps
    the histories of cards whole. Categorical columns become text and decimals become floats.

    Raises:
        BadFile: the file is missing, unreadable, empty, damaged, or not a table.
        ValueError: ``max_rows`` is not positive.
    """
    if max_rows < 1:
        raise ValueError(f"max_rows must be at least 1, not {max_rows}")
    with open_table(path) as source:
        limit = min(max_rows, max(1, MAX_CELLS // len(source.columns)))
        notes = list(source.notes)
        if source.rows <= limit:
            frame = source.between(0, source.rows)
        elif sample == "tail":
            frame = source.between(source.rows - limit, source.rows)
            notes.append(f"the file has {source.rows:,} rows; the last {frame.height:,} were read")
        else:
            frame = source.every(-(-source.rows // limit))
            notes.append(f"the file has {source.rows:,} rows; {frame.height:,} spread evenly over it were read")
        return Table(frame, source.rows, tuple(notes))


class TableSource:
    """An opened table file from which ranges of rows are read; made by :func:`open_table`."""

    def __init__(self, name: str, scan: pl.LazyFrame, *, text: bool, notes: Sequence[str] = ()) -> None:
        self._name = name
        self._scan = scan
        self._text = text
        self.notes = tuple(notes)
        with _polars_errors(name):
            self.columns: tuple[str, ...] = tuple(scan.collect_schema().names())
            self.rows = int(scan.select(pl.len()).collect(engine="streaming").item()) if self.columns else 0
        if not self.columns:
            raise BadFile(f"{name}: the file has no columns")
        if not self.rows:
            raise BadFile(f"{name}: the file has column names but no rows")

    def between(self, start: int, stop: int) -> pl.DataFrame:
        """Rows ``start`` to ``stop`` (exclusive), typed. Raises :class:`BadFile` when the data are damaged."""
        return self.narrow(self.raw_between(start, stop))

    def raw_between(self, start: int, stop: int) -> pl.DataFrame:
        """The same rows as the file has them: the columns of a CSV file are all text."""
        with _polars_errors(self._name):
            return self._scan.slice(start, stop - start).collect(engine="streaming")

    def every(self, step: int) -> pl.DataFrame:
        """Every ``step``-th row, typed. Raises :class:`BadFile` when the data are damaged."""
        index = "row"
        while index in self.columns:
            index += "_"
        with _polars_errors(self._name):
            chosen = self._scan.with_row_index(index).filter(pl.col(index) % step == 0).drop(index)
            return self.narrow(chosen.collect(engine="streaming"))

    def narrow(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Raw rows with the types that their values have: text as numbers and times, categories and decimals plain."""
        if self._text:
            return raw.with_columns(typed(column) for column in raw.iter_columns())
        return raw.with_columns(cs.by_dtype(pl.Categorical, pl.Enum).cast(pl.String), cs.decimal().cast(pl.Float64))


@contextlib.contextmanager
def open_table(path: str | Path) -> Iterator[TableSource]:
    """Open a CSV or Parquet file for reading ranges of rows, so that a file larger than memory can be streamed.

    Raises:
        BadFile: the file is missing, unreadable, empty, damaged, or not a table.
    """
    name = str(path)
    file = Path(path)
    head = _head(file)
    with contextlib.ExitStack() as stack, _not_text(name):
        if head.startswith(b"PAR1"):
            yield _parquet(file, name)
            return
        if head.startswith(b"\x1f\x8b"):
            file = stack.enter_context(csv_text.unpacked(file))
            head = _head(file)
        for magic, what in _FOREIGN.items():
            if head.startswith(magic):
                raise BadFile(f"{name}: this is {what}, neither CSV nor Parquet; convert it first")
        notes = []
        encoding = csv_text.encoding_of(file)
        if encoding != "utf-8":
            notes.append(f"the text is not UTF-8 and was read as {encoding}")
            file = stack.enter_context(csv_text.transcoded(file, encoding))
            head = _head(file)
        dialect = csv_text.Dialect.of(head, whole=len(head) < csv_text.HEAD_BYTES)
        # Prose and source code have commas too, but no two lines with as many; a list of values is named .csv.
        if dialect.agreement < _TABULAR and not _TABLE_NAME.search(name.lower()):
            raise BadFile(
                f"{name}: this does not look like a table: no comma, semicolon, tab or | cuts its lines alike; "
                "if it is one, name it .csv"
            )
        yield _csv(file, name, dialect, notes)


def _parquet(file: Path, name: str) -> TableSource:
    with _polars_errors(name):
        scan = pl.scan_parquet(file, glob=False, hive_partitioning=False)
    return TableSource(name, scan, text=False)


def _csv(file: Path, name: str, dialect: csv_text.Dialect, notes: list[str]) -> TableSource:
    """Open a CSV file, giving up strictness step by step: over-long lines, then quoting."""
    if not dialect.header:
        notes.append("the first line holds values, not names; columns are named column_0, column_1 …")
    attempts: tuple[tuple[str | None, str | None, str], ...] = (
        (None, '"', ""),
        ("ignore", '"', "some lines have more fields than the header; what is beyond it was ignored"),
        ("ignore", None, "quotes are unbalanced and were read as plain characters"),
    )
    for extra, quote, note in attempts:
        scan = pl.scan_csv(
            file,
            separator=dialect.separator,
            has_header=dialect.header,
            eol_char=dialect.line_end,
            quote_char=quote,
            infer_schema=False,
            extra_columns="ignore" if extra else None,
            glob=False,
        )
        try:
            with _polars_errors(name):
                # Reading one pass over the whole file now tells whether every line can be read in this way.
                scan.select(pl.all().null_count()).collect(engine="streaming")
        except BadFile:
            if quote is None:
                raise
            continue
        source = TableSource(name, scan, text=True, notes=[*notes, *([note] if note else [])])
        if csv_text.cut_end(file, len(source.columns), dialect):
            source.notes += ("the last line is shorter than the others and not ended; the file may be cut off",)
        return source
    raise AssertionError("unreachable: the last attempt returns or raises")


def _head(file: Path) -> bytes:
    """The first bytes of a regular, readable, non-empty file. Raises :class:`BadFile`."""
    try:
        status = file.stat()
        if stat.S_ISDIR(status.st_mode):
            raise BadFile(f"{file}: this is a directory; name one CSV or Parquet file in it")
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(f"{file}: this is not a regular file; save its content to a file first")
        with file.open("rb") as stream:
            head = stream.read(csv_text.HEAD_BYTES)
    except FileNotFoundError:
        raise BadFile(f"{file}: no such file") from None
    except PermissionError:
        raise BadFile(f"{file}: no permission to read it") from None
    except (OSError, ValueError) as error:
        if isinstance(error, BadFile):
            raise
        raise BadFile(f"{file}: it cannot be read ({error})") from None
    if not head.strip():
        raise BadFile(f"{file}: the file is empty")
    return head


@contextlib.contextmanager
def _not_text(name: str) -> Iterator[None]:
    try:
        yield
    except csv_text.NotText as error:
        raise BadFile(f"{name}: {error}") from None


@contextlib.contextmanager
def _polars_errors(name: str) -> Iterator[None]:
    """Turn what polars raises on damaged data into :class:`BadFile` with the first line of its message."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError, MemoryError) as error:
        if isinstance(error, BadFile):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadFile(f"{name}: the file is damaged or cut off ({reason})") from None
