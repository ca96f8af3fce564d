"""Pages by key: each says where the next begins, and none is missed or shown twice while others write."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, Table, and_, or_

from bedplate.problems import BedplateError

__all__ = ["BadCursor", "Page", "page_of"]

T = TypeVar("T")


class BadCursor(BedplateError, ValueError):
    """A cursor that nobody has given out."""


#: What a column of whole numbers holds; a cursor of ours is less.
_MOST: Final = 1 << 63


class Page(NamedTuple, Generic[T]):
    """Some records, the latest first, and the cursor of those after them; empty at the end."""

    items: Sequence[T]
    cursor: str


def narrowed(query: Select[Any], table: Table, cursor: str, limit: int) -> Select[Any]:
    """Return the query for the page after a cursor, and one row more, which says whether there is another.

    :raises BadCursor: when the cursor is none.
    """
    if cursor:
        try:
            at, id = base64.urlsafe_b64decode(cursor.encode() + b"==").decode().split(",")
            key = (int(at), id)
            if "\0" in id or not -_MOST <= key[0] < _MOST:
                raise ValueError
        except (ValueError, binascii.Error):
            raise BadCursor("The cursor is none that was given out.", "Begin without one.") from None
        query = query.where(or_(table.c.at < key[0], and_(table.c.at == key[0], table.c.id < key[1])))
    return query.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit + 1)


def page_of(rows: Sequence[Any], limit: int) -> Page[Any]:
    """Return the page of the rows that such a query gave."""
    items = rows[:limit]
    if len(rows) <= limit:
        return Page(items, "")
    last = items[-1]
    return Page(items, base64.urlsafe_b64encode(f"{last.at},{last.id}".encode()).decode().rstrip("="))
