"""What a value is, whichever database keeps it: a kind for each type of PostgreSQL, and what SQLite declares for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Affinity", "Kind", "affinity", "fits", "for_postgresql", "for_sqlite", "kind_of"]

Affinity = Literal["integer", "text", "blob", "real", "numeric"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values.

    :ivar name: ``integer``, ``real``, ``decimal``, ``text``, ``bytes``, ``boolean``, ``date``, ``time``,
        ``timestamp``, ``timestamptz``, ``json``, ``jsonb``, ``uuid``; ``verbatim`` is PostgreSQL's alone.
    :ivar bits: of integers and reals. :ivar length: characters of a text, at most.
    :ivar precision: digits of a decimal, at most, or of a second's fraction; of them ``scale`` after the point.
    :ivar padded: a text that PostgreSQL fills up with blanks.
    """

    name: str
    bits: int = 64
    length: int | None = None
    precision: int | None = None
    scale: int = 0
    padded: bool = False


_TYPE = re.compile(r"([a-z_ \"]+?)\s*(?:\(\s*(\d+)\s*(?:,\s*(-?\d+)\s*)?\))?((?: with(?:out)? time zone)?)")
_PLAIN = {
    "bigint": Kind("integer", 64),
    "integer": Kind("integer", 32),
    "smallint": Kind("integer", 16),
    "double precision": Kind("real", 64),
    "real": Kind("real", 32),
    "boolean": Kind("boolean"),
    "text": Kind("text"),
    "bytea": Kind("bytes"),
    "date": Kind("date"),
    "json": Kind("json"),
    "jsonb": Kind("jsonb"),
    "uuid": Kind("uuid"),
}
#: The short names that people write, as ``format_type`` says them.
_LONG = {
    "int2": "smallint",
    "int4": "integer",
    "int": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "varchar": "character varying",
    "char": "character",
    "decimal": "numeric",
}


def kind_of(type: str) -> Kind:
    """Return the kind of a type of PostgreSQL, as ``format_type`` writes it."""
    text = " ".join(type.lower().split())
    found = _TYPE.fullmatch({"timestamptz": "timestamp with time zone"}.get(text, text))
    if found is None:
        return Kind("verbatim")
    base, first, second, zone = _LONG.get(found[1], found[1]), found[2], found[3], found[4].strip()
    if base in _PLAIN and first is None and not zone:
        return _PLAIN[base]
    size = int(first) if first is not None else None
    if base == "numeric" and not zone:
        scale = int(second) if second else 0
        return Kind("decimal", precision=size, scale=scale) if scale >= 0 else Kind("verbatim")
    if base == "character varying" and not zone:
        return Kind("text", length=size)
    if base == "character" and not zone:
        return Kind("text", length=size or 1, padded=True)
    if base == "timestamp":
        return Kind("timestamptz" if zone == "with time zone" else "timestamp", precision=6 if size is None else size)
    if base == "time" and zone != "with time zone":
        return Kind("time", precision=6 if size is None else size)
    return Kind("verbatim")


def affinity(declared: str) -> Affinity:
    """Return what SQLite makes of a declared type: https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    text = declared.upper()
    if "INT" in text:
        return "integer"
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if "BLOB" in text or not text:
        return "blob"
    return "real" if any(word in text for word in ("REAL", "FLOA", "DOUB")) else "numeric"


_KEPT: dict[str, tuple[Affinity, ...]] = {
    "integer": ("integer", "numeric"),
    "boolean": ("integer", "numeric"),
    "real": ("real", "numeric"),
    "decimal": ("text", "numeric", "real", "integer"),
    "text": ("text",),
    "bytes": ("blob", "numeric"),
    "date": ("text", "numeric"),
    "time": ("text", "numeric"),
    "timestamp": ("text", "numeric"),
    "timestamptz": ("text", "numeric"),
    "json": ("text", "numeric"),
    "jsonb": ("text", "numeric"),
    "uuid": ("text", "blob", "numeric"),
}


def fits(kind: Kind, declared: str) -> bool:
    """Say whether a column that SQLite declares so can keep values of a kind."""
    kept = affinity(declared)
    if kind.name == "bytes" and kept == "numeric":
        return "BINARY" in declared.upper()
    return kept in _KEPT.get(kind.name, ())


_SQLITE = re.compile(r"([A-Z_ 0-9]*?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?")
_TO_POSTGRESQL = {
    **dict.fromkeys(("INTEGER", "INT", "BIGINT", "INT8", "MEDIUMINT", "UNSIGNED BIG INT"), "bigint"),
    **dict.fromkeys(("SMALLINT", "TINYINT", "INT2"), "smallint"),
    "INT4": "integer",
    **dict.fromkeys(("BOOLEAN", "BOOL"), "boolean"),
    **dict.fromkeys(("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT8"), "double precision"),
    "FLOAT4": "real",
    **dict.fromkeys(("TEXT", "CLOB", "VARCHAR", "NVARCHAR", "CHARACTER VARYING", "CHAR", "NCHAR"), "text"),
    **dict.fromkeys(("NUMERIC", "DECIMAL", "DECIMAL_TEXT"), "numeric"),
    **dict.fromkeys(("BLOB", "BINARY", "VARBINARY"), "bytea"),
    **dict.fromkeys(("DATETIME", "TIMESTAMP"), "timestamp without time zone"),
    **dict.fromkeys(("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE"), "timestamp with time zone"),
    "DATE": "date",
    "TIME": "time without time zone",
    "JSON": "json",
    "JSONB": "jsonb",
    **dict.fromkeys(("UUID", "GUID"), "uuid"),
}
_LENGTHS = {"VARCHAR", "NVARCHAR", "CHARACTER VARYING", "CHAR", "NCHAR"}


def for_postgresql(declared: str) -> str | None:
    """Return the type of PostgreSQL for one that SQLite declares; None when there is none that is surely right."""
    found = _SQLITE.fullmatch(" ".join(declared.upper().split()))
    if found is None or found[1] not in _TO_POSTGRESQL:
        return None
    if found[1] in _LENGTHS and found[2]:
        return f"character varying({found[2]})"
    type = _TO_POSTGRESQL[found[1]]
    if type == "numeric" and found[2]:
        return f"numeric({found[2]},{found[3] or 0})"
    return type


def for_sqlite(type: str) -> str | None:
    """Return what SQLite declares for a type of PostgreSQL, so that values keep every digit; None when nothing."""
    kind = kind_of(type)
    if kind.name == "decimal":
        # Not NUMERIC, which SQLite keeps as a float of 15 digits.
        return "DECIMAL_TEXT" if kind.precision is None else f"DECIMAL_TEXT({kind.precision},{kind.scale})"
    if kind.name == "text":
        return "TEXT" if kind.length is None else f"{'CHAR' if kind.padded else 'VARCHAR'}({kind.length})"
    return {
        "integer": {16: "SMALLINT", 32: "INT4", 64: "BIGINT"}.get(kind.bits),
        "real": {32: "FLOAT4", 64: "DOUBLE"}.get(kind.bits),
        "boolean": "BOOLEAN",
        "bytes": "BLOB",
        "date": "DATE",
        "time": "TIME",
        "timestamp": "DATETIME",
        "timestamptz": "TIMESTAMPTZ",
        "json": "JSON",
        "jsonb": "JSONB",
        "uuid": "UUID",
    }.get(kind.name)
