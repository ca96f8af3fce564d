"""What is kept of a value: in the store as a head of JSON and the value's text, and near as an :class:`Entry`.

The head says what the value stands on: when its computation began, in the order of the cache's log (see
:mod:`bedplate.state.cache.book`), and in which version each of its tags was then. Of time it says only a difference:
how much longer the store keeps it than it is fresh. The store tells with every read how long it still keeps it, so no
clock of one node is ever compared with that of another.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from bedplate.state.cache.codec import Codec
    from bedplate.state.cache.stats import PatternStats

__all__ = ["HEAD", "RAW", "Entry", "packed", "unpacked"]

#: Stands for a value that is made anew of its text for everybody who asks.
RAW: Any = type("Raw", (), {"__repr__": lambda self: "RAW"})()

#: Characters that a head begins with, which tell one writing of a key from another.
HEAD = 20
#: Bytes that an entry costs beside its text: itself, a slot of a dictionary, its key.
_OVERHEAD = 400

Versions = tuple[tuple[str, int], ...]


class Entry:
    """A value near at hand.

    :ivar value: the value, or :data:`RAW`. :ivar text: its text.
    :ivar codec: whose value it is. :ivar generation: of the near cache, when it was last found to be valid.
    :ivar fresh: the monotonic time until which it may be served. :ivar dead: until which it may be served as stale.
    :ivar ident: which writing of the key it is. :ivar born: in the log's order. :ivar tags: with their versions.
    :ivar local: it was computed while the store was away, and nobody else knows of it.
    :ivar ends: the monotonic time at which it stops being fresh by itself, however it was served meanwhile.
    """

    __slots__ = (
        "born",
        "codec",
        "dead",
        "ends",
        "fresh",
        "generation",
        "ident",
        "local",
        "size",
        "stats",
        "tags",
        "text",
        "value",
    )

    def __init__(
        self,
        text: bytes,
        *,
        fresh: float,
        dead: float,
        ident: str = "",
        born: int = 0,
        tags: Versions = (),
        stats: PatternStats,
        local: bool = False,
    ) -> None:
        self.text = text
        self.value: Any = RAW
        self.codec: Codec | None = None
        self.generation = -1
        self.fresh = self.ends = fresh
        self.dead = dead
        self.ident = ident
        self.born = born
        self.tags = tags
        self.stats = stats
        self.local = local
        self.size = len(text) + _OVERHEAD

    def read(self, codec: Codec) -> Any:
        """Return the value. :raises ValueError: when the text is none of this type."""
        if self.codec is codec:
            return codec.decode(self.text) if self.value is RAW else self.value
        value = codec.decode(self.text)
        if codec.shared:
            self.value = value
        else:
            self.value = RAW
        self.codec = codec
        return value


def packed(text: bytes, *, grace: int, born: int, tags: Versions) -> bytes:
    """Return what the store keeps.

    :param grace: milliseconds that it is kept longer than it is fresh.
    """
    flat = [item for pair in tags for item in pair]
    # 18 characters, with the bracket and a quotation mark 20: what HEAD says.
    return orjson.dumps([secrets.token_hex(9), grace, born, flat]) + b"\n" + text


def unpacked(reply: Sequence[Any], asked: float, stats: PatternStats) -> Entry | None:
    """Return the entry of a store's ``[text, milliseconds left]``; None when it is none of ours.

    :param asked: the monotonic time before the store was asked: from then on counts what is left.
    """
    whole, left = reply
    head, _, text = whole.partition(b"\n")
    try:
        ident, grace, born, flat = orjson.loads(head)
        tags = tuple(zip(flat[::2], flat[1::2], strict=True))
    except (ValueError, TypeError):
        return None
    dead = asked + left / 1000
    return Entry(text, fresh=dead - grace / 1000, dead=dead, ident=ident, born=born, tags=tags, stats=stats)
