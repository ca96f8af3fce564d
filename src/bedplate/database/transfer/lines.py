"""The canonical form of a row: the line that PostgreSQL's COPY writes for it, in its text format.

Both sides of a transfer give it for each row, from their own values, so a row is the same on both exactly when the
lines are. It is also what COPY reads, so nothing is written twice. NULL is ``\\N``; a field has its own escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["NULL", "SPECIAL", "escaped", "joined", "split", "unescaped"]

NULL = "\\N"
#: What a field escapes, and NUL, which PostgreSQL does not keep.
SPECIAL = re.compile("[\x00\x08-\x0d\\\\]")

_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 92: "\\\\"}
_PLAIN = {"b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def escaped(text: str) -> str:
    """Return a text as a field of a line."""
    return text.translate(_ESCAPES) if SPECIAL.search(text) else text


def unescaped(field: str) -> str | None:
    """Return the text of a field; None for NULL."""
    if "\\" not in field:
        return field
    if field == NULL:
        return None
    return _ESCAPED.sub(lambda found: _PLAIN.get(found[1], found[1]), field)


def split(line: bytes) -> list[str]:
    """Return the fields of a line, still escaped."""
    return line.decode().split("\t")


def joined(fields: Sequence[str]) -> bytes:
    """Return the line of fields that are escaped."""
    return "\t".join(fields).encode()
