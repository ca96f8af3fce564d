"""An event as a value, and as bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import orjson
from pydantic import TypeAdapter
from pydantic_core import to_json

__all__ = ["NOTHING_YET", "Codec", "Event", "order_of"]

T = TypeVar("T")

#: An id before all others: of a topic whose whole history is wanted.
NOTHING_YET = "0-0"
#: What stores take for an id.
_ID = re.compile(r"([0-9]{1,20})(?:-([0-9]{1,20}))?\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event(Generic[T]):
    """Something that happened.

    :param id: its place among the events of its topic or stream, greater than all before; empty where nothing is kept.
    :param topic: of which topic, or stream. :param payload: what happened.
    :param missed: before this one some may have been missed, since they are no longer kept.
    :param key: what its sender calls it, the same when it comes twice. :param tries: how often it was given out.
    """

    id: str
    topic: str
    payload: T
    missed: bool = False
    key: str = ""
    tries: int = 1

    @property
    def at(self) -> datetime | None:
        """When it happened, by the store's clock, to the millisecond; None where nothing is kept."""
        return datetime.fromtimestamp(order_of(self.id)[0] / 1000, UTC) if self.id else None


class Codec(Generic[T]):
    """Payloads of one type, to JSON and back.

    :param payload: anything that pydantic knows; None for plain JSON.
    """

    __slots__ = ("_adapter",)

    def __init__(self, payload: type[T] | None = None) -> None:
        self._adapter: TypeAdapter[T] | None = None if payload is None else TypeAdapter(payload)

    def dump(self, payload: Any) -> bytes:
        """Return the JSON of a payload.

        :raises ValueError: when it has none.
        """
        return to_json(payload) if self._adapter is None else self._adapter.dump_json(payload)

    def load(self, text: bytes) -> T:
        """Return the payload.

        :raises ValueError: when it is not of the type.
        """
        if self._adapter is None:
            plain: T = orjson.loads(text)
            return plain
        return self._adapter.validate_json(text)


def order_of(id: str) -> tuple[int, int]:
    """Return what ids are compared by: milliseconds, and a number within them.

    :raises ValueError: when it is no id.
    """
    if (found := _ID.match(id)) is None:
        raise ValueError(f"{id[:50]!r} is no id of an event.")
    order = int(found[1]), int(found[2] or 0)
    if max(order) >= 1 << 63:
        raise ValueError(f"{id[:50]!r} is greater than any id of an event.")
    return order
