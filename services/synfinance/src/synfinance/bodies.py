"""Request bodies as tables: JSON rows, CSV or Parquet, told apart by content, bounded in bytes, rows and columns.

Everything here but :func:`read` runs in a thread; rows are validated in small portions, between which the interpreter
lets the event loop go on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import orjson
import polars as pl
from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request

from bedplate.problems import Problem
from synfinance.files import BadFile, Table, open_table
from synfinance.schemas import Transaction
from synfinance.transactions import SCHEMA

__all__ = ["BadBody", "Document", "documents", "json_of", "read", "rows_table", "table_of", "transactions_table"]

MAX_COLUMNS: Final = 500
"""Columns that a table may have; each takes its time to assess, however few rows there are."""
_PACKED: Final = (b"PAR1", b"\x1f\x8b")
_SEPARATORS: Final = (b",", b";", b"\t", b"|")
_PORTION: Final = 200
_TOLD: Final = 20
_TRANSACTIONS: Final = TypeAdapter(list[Transaction])

Document = dict[str, Any] | list[Any]


class BadBody(ValueError):
    """A body that cannot be used.

    :param status: the status that answers it. :param errors: faults of single values, as the API tells them.
    """

    def __init__(self, detail: str, status: int = 422, errors: Sequence[Mapping[str, str]] = ()) -> None:
        super().__init__(detail)
        self.problem = Problem(status=status, detail=detail, extra={"errors": list(errors)} if errors else {})


async def read(request: Request, limit: int) -> bytes:
    """Return the whole body.

    :raises BadBody: when it is empty, larger than ``limit`` bytes, or a form.
    """
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type.startswith("multipart/"):
        raise BadBody("Send the file as the body itself: curl --data-binary @file.csv", 415)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadBody("Send the body without a Content-Encoding; a gzipped CSV file is read as it is.", 415)
    body = bytearray()
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    if not body.strip():
        raise BadBody("The body is empty. Send rows as JSON, or a CSV or Parquet file.")
    return bytes(body)


def documents(body: bytes) -> bool:
    """Whether a body is meant to be JSON."""
    return body.lstrip()[:1] in (b"{", b"[")


def json_of(body: bytes) -> Document:
    """Parse a JSON body.

    :raises BadBody: when it is not JSON.
    """
    try:
        document: Document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadBody(f"The body is not JSON: {error}.", 400) from None
    return document


def listed(document: Document, key: str, limit: int) -> list[Any]:
    """Return the rows of a document: the list under ``key``, or the document when it is a list itself.

    :raises BadBody: when there are none, or more than ``limit``.
    """
    rows = document.get(key) if isinstance(document, dict) else document
    if not isinstance(rows, list) or not rows:
        raise BadBody(f'Send a JSON object {{"{key}": [{{…}}, …]}} with at least one row, or the list alone.')
    if len(rows) > limit:
        raise _too_long(len(rows), limit)
    return rows


def transactions_table(document: Document, limit: int) -> pl.DataFrame:
    """Return the transactions of a JSON document as a table of the columns that any of them has.

    :raises BadBody: with the first faults, by JSON pointer, when some are not valid.
    """
    if isinstance(document, dict) and (unknown := sorted(set(document) - {"transactions"})):
        raise BadBody(f"The member {unknown[0]!r} is not known; rows stand in 'transactions'.")
    frames, errors, faults = [], list[Mapping[str, str]](), 0
    rows = iter(listed(document, "transactions", limit))
    prefix = "#/transactions" if isinstance(document, dict) else "#"
    for start, portion in _portions(rows):
        try:
            frames.append(_frame(_TRANSACTIONS.validate_python(portion)))
        except ValidationError as error:
            for item in error.errors(include_url=False, include_context=False, include_input=False):
                faults += 1
                place, *path = item["loc"]
                pointer = "/".join(map(str, (prefix, start + int(place), *path)))
                errors.append({"in": "body", "pointer": pointer, "detail": item["msg"], "type": item["type"]})
    if errors:
        more = f"; the first {_TOLD} are in errors" if faults > _TOLD else "; see errors"
        raise BadBody(f"{faults:,} {'value is' if faults == 1 else 'values are'} not valid{more}.", 422, errors[:_TOLD])
    return pl.concat(frames, how="diagonal")


def rows_table(rows: Sequence[Any]) -> pl.DataFrame:
    """Return JSON objects as a table; a column that mixes texts and numbers becomes text, nested values become JSON.

    :raises BadBody: when a row is not an object, or there are too many columns.
    """
    columns: dict[str, list[Any]] = {}
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise BadBody(f"Row {number} is not an object. Write each row as {{column: value, …}}.")
        for name in row:
            if name not in columns:
                if len(columns) == MAX_COLUMNS:
                    raise _too_wide()
                columns[name] = []
    for row in rows:
        for name, values in columns.items():
            values.append(row.get(name))
    if not columns:
        raise BadBody("The rows have no columns.")
    return pl.DataFrame([_series(name, values) for name, values in columns.items()])


def table_of(body: bytes, limit: int, *, whole: bool) -> Table:
    """Read a CSV or Parquet body; of more than ``limit`` rows that many spread over it.

    :param whole: refuse a larger table instead.
    :raises BadBody: when it is neither, or too large.
    """
    head = body[:1_000_000].partition(b"\n")[0]
    if not head.startswith(_PACKED) and max(map(head.count, _SEPARATORS)) > 10 * MAX_COLUMNS:
        # Reading a line of so many fields takes seconds.
        raise _too_wide()
    with tempfile.NamedTemporaryFile(prefix="synfinance-") as file:
        file.write(body)
        file.flush()
        try:
            with open_table(file.name) as source:
                if len(source.columns) > MAX_COLUMNS:
                    raise _too_wide()
                step = -(-source.rows // limit)
                if whole and step > 1:
                    raise _too_long(source.rows, limit)
                frame = source.every(step) if step > 1 else source.between(0, source.rows)
        except BadFile as error:
            raise BadBody(f"The body cannot be read as a table: {str(error).removeprefix(f'{file.name}: ')}.") from None
    notes = list(source.notes)
    if step > 1:
        notes.append(f"the table has {source.rows:,} rows; {frame.height:,} spread evenly over it were read")
    return Table(frame, source.rows, tuple(notes))


def _too_long(rows: int, limit: int) -> BadBody:
    return BadBody(f"The table has {rows:,} rows; at most {limit:,} are taken. Send it in parts.", 413)


def _too_wide() -> BadBody:
    return BadBody(f"The table has more than {MAX_COLUMNS:,} columns. Send it in parts.", 413)


def _too_large(limit: int) -> BadBody:
    return BadBody(f"The body is larger than {limit / 2**20:,.0f} MiB. Send it in parts, or as Parquet.", 413)


def _portions(rows: Iterator[Any]) -> Iterator[tuple[int, list[Any]]]:
    start = 0
    while portion := list(islice(rows, _PORTION)):
        yield start, portion
        start += len(portion)


def _frame(rows: Sequence[Transaction]) -> pl.DataFrame:
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA if any(name in row for row in rows)}
    for row in rows:
        values: Mapping[str, Any] = row
        for name, column in columns.items():
            column.append(values.get(name))
    return pl.DataFrame(columns, schema={name: SCHEMA[name] for name in columns})


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds & {dict, list}:
        values = [_text(value) if isinstance(value, dict | list) else value for value in values]
        kinds = kinds - {dict, list} | {str}
    if len(kinds) > 1 and kinds & {str, bool}:
        values = [value if value is None or isinstance(value, str) else _text(value) for value in values]
    elif kinds == {int, float}:
        values = [value if value is None else float(value) for value in values]
    return pl.Series(name, values, strict=False)


def _text(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise BadBody("A value is nested too deeply. Write it as text.") from None
