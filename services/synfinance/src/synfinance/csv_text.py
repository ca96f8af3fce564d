"""What has to be known about a text file before it can be read as CSV: compression, encoding, separator, header."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import re
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

HEAD_BYTES: Final = 1 << 20
"""Bytes at the start of a file from which its dialect is judged; a line longer than this is not a table's."""
MAX_UNPACKED_BYTES: Final = 8 << 30
"""Bytes a gzipped file may unpack to on disk."""

_SEPARATORS: Final = ",;\t|"
_BLOCK: Final = 1 << 20
_YEAR: Final = re.compile(r"^(19|20)\d\d$")
_VALUE: Final = re.compile(r"^[+-]?[\d.,/:\-T ]*\d[\d.,/:\-T Z]*$")


class NotText(ValueError):
    """The content is not text that could be a table; the message says what it is, without the file's name."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV text is written."""

    separator: str
    header: bool
    line_end: str
    agreement: float = 1.0
    """Share of the first lines that the separator cuts into one and the same number of fields, more than one."""

    @classmethod
    def of(cls, head: bytes, *, whole: bool) -> Dialect:
        """Judge the dialect from the first bytes of a UTF-8 text; ``whole`` says that they are all there is.

        Raises:
            NotText: there is no line end within :data:`HEAD_BYTES`, or the text is JSON, HTML or XML.
        """
        text = head.decode("utf-8", errors="ignore").removeprefix("\ufeff")
        line_end = "\r" if "\r" in text and "\n" not in text else "\n"
        if not whole and line_end not in text:
            raise NotText(f"no line ends within the first {HEAD_BYTES:,} bytes; it is not a table")
        start = text.lstrip()[:64].lower()
        if start.startswith(("{", '[{"', "[[", "[\n", "[ {")):
            raise NotText("the file is JSON; convert it to CSV or Parquet")
        if start.startswith(("<!doctype", "<html", "<?xml", "<svg")):
            raise NotText("the file is HTML or XML; convert it to CSV or Parquet")
        lines = [line for line in text.split(line_end)[:101] if line.strip()]
        if not whole and len(lines) > 1:
            lines.pop()
        separator = max(_SEPARATORS, key=lambda mark: _regularity(lines, mark))
        rows = _rows(lines, separator)
        return cls(separator, _has_header(rows), line_end, _regularity(lines, separator)[0])


def encoding_of(file: Path) -> str:
    """The encoding of a text file, judged from all of it: ``utf-8``, ``utf-16`` or, for anything else, ``cp1252``.

    Raises:
        NotText: it has NUL bytes, which no text in these encodings has.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    encoding = "utf-8"
    with file.open("rb") as stream:
        block = stream.read(_BLOCK)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        while block:
            if b"\0" in block:
                raise NotText("the file is binary, neither CSV nor Parquet")
            if encoding == "utf-8":
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    encoding = "cp1252"
            block = stream.read(_BLOCK)
    return encoding


def cut_end(file: Path, columns: int, dialect: Dialect) -> bool:
    """Whether the last line seems cut off: no line end after it, and fewer fields than there are columns."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 65_536))
        tail = stream.read().decode("utf-8", errors="replace")
    if tail.endswith(("\n", "\r")):
        return False
    last = tail.rsplit(dialect.line_end, 1)[-1]
    return len(_rows([last], dialect.separator)[0]) < columns


@contextlib.contextmanager
def transcoded(file: Path, encoding: str) -> Iterator[Path]:
    """A temporary UTF-8 copy of a text file; bytes that its encoding does not have become U+FFFD."""
    with _temporary() as (copy, out), file.open(encoding=encoding, errors="replace", newline="") as text:
        try:
            for block in iter(lambda: text.read(_BLOCK), ""):
                out.write(block.encode())
        except UnicodeError as error:
            raise NotText(f"the file is not valid {encoding.upper()}: {error}") from None
        out.close()
        yield copy


@contextlib.contextmanager
def unpacked(file: Path) -> Iterator[Path]:
    """A temporary copy of a gzipped file, unpacked.

    Raises:
        NotText: the archive is damaged, cut off, or unpacks to more than :data:`MAX_UNPACKED_BYTES`.
    """
    with _temporary() as (copy, out):
        try:
            with gzip.open(file) as packed:
                shutil.copyfileobj(_Limited(packed), out, _BLOCK)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise NotText(f"the gzip archive is damaged or cut off: {error}") from None
        out.close()
        yield copy


class _Limited:
    """A reader that refuses to go past :data:`MAX_UNPACKED_BYTES`."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream = stream
        self._left = MAX_UNPACKED_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise NotText(f"the gzip archive unpacks to more than {MAX_UNPACKED_BYTES >> 30} GiB; unpack and split it")
        return data


@contextlib.contextmanager
def _temporary() -> Iterator[tuple[Path, IO[bytes]]]:
    with tempfile.TemporaryDirectory(prefix="synfinance-") as folder:
        copy = Path(folder) / "table.csv"
        with copy.open("wb") as out:
            yield copy, out


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    """Fields of each line. A quoted field that spans lines is cut, which is good enough to judge a dialect."""
    rows: list[list[str]] = []
    for line in lines:
        try:
            rows.append(next(csv.reader([line.rstrip("\r")], delimiter=separator), []))
        except csv.Error:
            rows.append(line.split(separator))
    return rows


def _regularity(lines: list[str], separator: str) -> tuple[float, int]:
    """How well a separator explains the lines: the share of lines with the commonest field count, then that count."""
    counts = Counter(len(row) for row in _rows(lines, separator))
    if not counts:
        return (0.0, 0)
    fields, lines_with_it = counts.most_common(1)[0]
    return (lines_with_it / len(lines) if fields > 1 else 0.0, fields)


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names columns, that is, holds no value. Years are names, as in pivoted tables."""
    if not rows:
        return True
    return not any(_VALUE.match(field) and not _YEAR.match(field) for field in map(str.strip, rows[0]))
