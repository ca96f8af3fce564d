"""Indexes, each declared with the question that it answers; and searching by them, in every database alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bedplate.database.indexes.declaration import AccessPath, HasIndexes, Index, declared_for
from bedplate.database.indexes.forms import full_text, json_paths, trigrams

if TYPE_CHECKING:
    from bedplate.database.indexes.extensions import uuid_default
    from bedplate.database.indexes.searching import Found, contains, holds, search

__all__ = [
    "AccessPath",
    "Found",
    "HasIndexes",
    "Index",
    "contains",
    "declared_for",
    "full_text",
    "holds",
    "json_paths",
    "search",
    "trigrams",
    "uuid_default",
]


def __getattr__(name: str) -> Any:
    # What needs SQLAlchemy is imported when it is used: declaring must cost a start nothing.
    if name in ("Found", "contains", "holds", "search"):
        from bedplate.database.indexes import searching

        return getattr(searching, name)
    if name == "uuid_default":
        from bedplate.database.indexes.extensions import uuid_default

        return uuid_default
    raise AttributeError(name)
