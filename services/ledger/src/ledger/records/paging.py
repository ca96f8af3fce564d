"""Pages by key: each says where the next begins, and none is missed or shown twice while others write."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from datetime import date
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Select, and_, or_

from bedplate.problems import BedplateError

__all__ = ["BadCursor", "Page", "after", "page_of"]

T = TypeVar("T")
_MOST: Final = 1 << 63


class BadCursor(BedplateError, ValueError):
    """A cursor that nobody has given out."""


class Page(NamedTuple, Generic[T]):
    """Some records, the latest first, and the cursor of those after them; empty at the end."""

    items: Sequence[T]
    cursor: str


def after(query: Select[Any], day: Any, id: Any, cursor: str, limit: int) -> Select[Any]:
    """Return the query for the page after a cursor, and one row more, which says whether there is another.

    :param day: the column of the day; None where rows are in the order of their numbers alone. :param id: their number.
    :raises BadCursor: when the cursor is none.
    """
    if cursor:
        try:
            kept, _, number = base64.urlsafe_b64decode(cursor.encode() + b"==").decode().partition(",")
            last = int(number)
            if not 0 <= last < _MOST:
                raise ValueError
            on = date.fromisoformat(kept) if day is not None else None
        except (ValueError, binascii.Error):
            raise BadCursor("The cursor is none that was given out.", "Begin without one.") from None
        query = query.where(id < last if day is None else or_(day < on, and_(day == on, id < last)))
        if day is not None:
            # The planner takes a bound of the index's column, not an OR, as where to begin.
            query = query.where(day <= on)
    order = [id.desc()] if day is None else [day.desc(), id.desc()]
    return query.order_by(*order).limit(limit + 1)


def page_of(rows: Sequence[Any], limit: int, *, days: bool = True) -> Page[Any]:
    """Return the page of the rows that such a query gave; they have ``id``, and ``day`` where it orders them."""
    items = rows[:limit]
    if len(rows) <= limit:
        return Page(items, "")
    last = items[-1]
    key = f"{last.day.isoformat() if days else ''},{last.id}"
    return Page(items, base64.urlsafe_b64encode(key.encode()).decode().rstrip("="))
