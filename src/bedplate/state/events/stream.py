"""Streams: events that must be worked on, each by every group, at least once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from uuid_utils import uuid4

from bedplate.problems import DeclarationError
from bedplate.state.events.errors import EventsUnavailableError, StreamFullError, unavailable
from bedplate.state.events.event import Codec, Event
from bedplate.state.events.operations import ADD, DROP, REVIVE
from bedplate.state.store import Call, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.state.events.component import Events

__all__ = ["Group", "Stream"]

T = TypeVar("T")
Handler = Callable[[Event[Any]], Awaitable[None]]
H = TypeVar("H", bound=Handler)

#: Milliseconds for which a stream remembers keys: who adds the same again within it adds it once.
REMEMBERED = 3_600_000
#: Dead events revived in one go.
_REVIVED = 500


@dataclass(frozen=True, slots=True)
class Group:
    """Who works on a stream: one of its consumers is given each event.

    :param concurrency: events that one process works on at once; 1 keeps their order, but for those that fail.
    :param tries: times that an event is tried before it is given up. :param timeout: seconds for one try.
    :param idle: seconds after which what a silent consumer has taken is given to another.
    :param start: ``first`` to begin with what the stream holds when the group is made, ``now`` with what comes after.
    """

    name: str
    handler: Handler
    concurrency: int
    tries: int
    timeout: float
    idle: float
    start: Literal["first", "now"]


class Stream(Generic[T]):
    """A stream; made by :meth:`Events.stream`.

    .. code-block:: python

        orders = events.stream("orders", Order)

        @orders.group("ledger")
        async def post(event: Event[Order]) -> None: ...

        await orders.add(Order(...))
    """

    def __init__(self, events: Events, name: str, payload: type[T] | None, *, most: int, keep: float) -> None:
        self._events = events
        self.name = name
        self.codec: Codec[T] = Codec(payload)
        self.most = most
        self.keep = keep
        self.groups: list[Group] = []

    @property
    def key(self) -> str:
        """Its key in the store."""
        return self._events.key(f"{self.name}:stream")

    @property
    def dead_key(self) -> str:
        """The key of those that were given up."""
        return f"{self.key}:dead"

    async def add(self, payload: T, *, key: str | None = None) -> str | None:
        """Add an event; return its id, or None when it waits in the outbox.

        When it returns, the event is as durable as the store is (a state store writes to its disk every second), or is
        on this host's disk.

        :param key: what the event is called by its sender, for one who may have to add it again: within an hour the
            same key is added once. One is made up by default.
        :raises StreamFullError: when the stream holds as many as it may (503).
        :raises EventsUnavailableError: when the store is away and there is no outbox (503); nothing is lost: the caller
            knows.
        :raises ValueError: when the payload is not of the stream's type.
        """
        key, text = key or uuid4().hex, self.codec.dump(payload)
        outbox = self._events.outbox
        if outbox is not None and outbox.holds(self.name):
            # What came before it still waits.
            await outbox.put(self.name, key, text)
            return None
        try:
            return await self.put(key, text)
        except EventsUnavailableError:
            if outbox is None:
                self._events.refused()
                raise
            await outbox.put(self.name, key, text)
            return None
        except StreamFullError:
            self._events.refused()
            raise

    async def put(self, key: str, text: bytes) -> str:
        """Add an event's JSON; as often as it is done with one key, it is there once."""
        keys = (self.key, f"{self.key}:k:{key}")
        args = (text, key, self.most, REMEMBERED, self.key)
        try:
            try:
                id = await self._events.store.run(ADD, keys, args)
            except StoreUnavailableError as error:
                if not (error.sent and self._events.store.available):
                    raise
                # The key makes it safe to ask once more.
                id = await self._events.store.run(ADD, keys, args)
        except StoreError as error:
            raise unavailable(error) from error
        if id is None:
            raise StreamFullError(self.name, self.most)
        self._events.kept()
        return str(id.decode())

    async def put_many(self, events: Sequence[tuple[str, bytes]]) -> int:
        """Add keys and JSON in their order; return how many of them, from the first on, were added.

        Raises what was wrong with the first when it was not added; any of them may be added again.
        """
        calls = [
            Call(ADD, (self.key, f"{self.key}:k:{key}"), (text, key, self.most, REMEMBERED, self.key))
            for key, text in events
        ]
        for count, reply in enumerate(await self._events.store.run_many(calls)):
            if reply is None or isinstance(reply, StoreError):
                if count:
                    return count
                raise StreamFullError(self.name, self.most) if reply is None else unavailable(reply)
            self._events.kept()
        return len(calls)

    def group(
        self,
        name: str,
        *,
        concurrency: int = 4,
        tries: int = 5,
        timeout: float = 30.0,
        idle: float = 60.0,
        start: Literal["first", "now"] = "first",
    ) -> Callable[[H], H]:
        """Let an async function work on the stream, as one of a group; register it before the service starts.

        Every event is given to one consumer of each group. It is done when the function returns; when it raises, or
        takes too long, the event is tried again after 1, 2, 4 … seconds, and given up after ``tries``. A consumer that
        dies leaves its events to others after ``idle`` seconds. So the same event can come twice, and the function must
        be able to do the same twice; ``event.key`` tells that it is the same.

        :raises DeclarationError: for a second group of the name, or a number that cannot be.
        """
        if any(group.name == name for group in self.groups):
            raise DeclarationError(f"The stream {self.name} has two groups {name}.", "Name one of them otherwise.")
        if concurrency < 1 or tries < 1 or timeout <= 0 or idle <= 0:
            raise DeclarationError(f"The group {name} of {self.name} cannot work.", "Give positive numbers.")

        def register(handler: H) -> H:
            self.groups.append(Group(name, handler, concurrency, tries, timeout, idle, start))
            return handler

        return register

    async def revive(self) -> int:
        """Add those that were given up to the stream again, for all groups; return how many.

        :raises StoreUnavailableError: when the store is away.
        """
        count = 0
        while True:
            revived: int = await self._events.store.run(REVIVE, (self.key, self.dead_key), (_REVIVED, self.key))
            count += revived
            if revived < _REVIVED:
                return count

    async def forget_dead(self) -> None:
        """Throw away those that were given up.

        :raises StoreUnavailableError: when the store is away.
        """
        await self._events.store.run(DROP, (self.dead_key,))
