"""An answer as it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import orjson

__all__ = ["KEPT_HEADERS", "Answer"]

#: Headers that belong to an answer, whoever gets it and when. Cookies are not among them: they are secrets.
KEPT_HEADERS = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "etag",
    "last-modified",
    "link",
    "location",
)

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    :param body: None when it was not kept: it was too large, or broke off.
    :param route: the template of the route that gave it.
    """

    status: int
    headers: Headers
    body: bytes | None
    route: str = ""

    @classmethod
    def of(
        cls,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        kept: frozenset[bytes],
        body: bytes | None,
        route: str = "",
    ) -> Answer:
        """Return an answer with those of its headers that are kept."""
        chosen = tuple((name.lower(), value) for name, value in headers if name.lower() in kept)
        return cls(status, chosen, body, route)

    def packed(self) -> bytes:
        """Return it as bytes: a line of JSON, and the body."""
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in self.headers]
        kept = self.body is not None
        head = orjson.dumps({"status": self.status, "headers": headers, "kept": kept, "route": self.route})
        return head + b"\n" + (self.body or b"")

    @classmethod
    def unpacked(cls, packed: bytes) -> Answer:
        """Return what :meth:`packed` has made bytes of."""
        head, _, body = packed.partition(b"\n")
        found = orjson.loads(head)
        headers = tuple((name.encode("latin-1"), value.encode("latin-1")) for name, value in found["headers"])
        return cls(found["status"], headers, body if found["kept"] else None, found["route"])
