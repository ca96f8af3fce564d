"""What servers say by themselves: messages of channels, and keys that have changed since they were read.

Tracking is ``CLIENT TRACKING ON OPTIN`` on the connection that reads, with ``CLIENT CACHING YES`` before each read of a
key that somebody tracks. The alternatives, and why not:

- a connection of its own for invalidations (``REDIRECT``): a change may overtake the reply that it makes stale.
- the default mode: the server would remember every key that limits, locks and sessions read, too, and send an
  invalidation for each of their changes.
- ``BCAST PREFIX``: nothing to say before reads, but each write of any instance is sent to all, whether they hold the
  key or not, and to one that hangs without bound. A cache that is filled by N instances is written N times as often
  as one of them reads anew.

OPTIN costs 0.5 µs of the server and less than that here for each read that goes to the server, which is a miss of the
near cache; a change is told once to those who read the key.

Where the server refuses tracking (an ACL without ``client``), what was read is called changed as soon as it was parsed:
a near cache then holds nothing, and nothing stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from bedplate.state.redis.replies import away
from bedplate.state.store import Operation, Reply

if TYPE_CHECKING:
    from bedplate.state.redis.connection import Connection
    from bedplate.state.redis.ear import Ear

__all__ = ["Pushes", "Subscription"]

Changed = Callable[[Sequence[str] | None], None]


class Subscription:
    """One who listens to a channel; :class:`bedplate.state.store.Listening`."""

    __slots__ = ("_channel", "_pushes", "heard", "missed")

    def __init__(
        self, pushes: Pushes, channel: Channel, heard: Callable[[bytes], None], missed: Callable[[], None] | None
    ) -> None:
        self._pushes, self._channel = pushes, channel
        self.heard, self.missed = heard, missed

    async def ready(self) -> None:
        """Return once what is published from now on is heard.

        :raises StoreUnavailableError: when Redis is away; it is subscribed by itself when it is back.
        """
        await self._channel.ready(self._pushes.home(self._channel.name))

    def close(self) -> None:
        """Hear no more."""
        self._pushes.leave(self._channel, self)


class Channel:
    """A channel with those who listen to it.

    :ivar subscribed: the confirmation that is awaited or has come; None while there is no connection to ask.
    :ivar gap: whether something may have been missed before it.
    """

    __slots__ = ("_label", "connection", "gap", "listeners", "name", "subscribed")

    def __init__(self, name: str, label: str) -> None:
        self.name, self._label = name, label
        self.listeners: list[Subscription] = []
        self.connection: Connection | None = None
        self.subscribed: asyncio.Future[Any] | None = None
        self.gap = False

    async def ready(self, ear: Ear | None) -> None:
        """Return when the server has confirmed."""
        if ear is not None and self.subscribed is None:
            await ear.ready()
        if self.subscribed is None:
            raise away(self._label, "nothing is heard until it is back")
        await asyncio.shield(self.subscribed)


class Pushes:
    """Who listens to what, and who tracks what; it outlives a run of the store.

    :ivar home: returns where a channel is heard, None while nobody knows. A message that is published anywhere in a
        cluster is heard at all its nodes, so one is enough.
    :ivar prefixes: of the keys that are tracked.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._channels: dict[str, Channel] = {}
        self._trackers: list[tuple[str, Changed]] = []
        self.prefixes: tuple[str, ...] = ()
        self.home: Callable[[str], Ear | None] = lambda channel: None

    # Channels

    def listen(self, channel: str, heard: Callable[[bytes], None], missed: Callable[[], None] | None) -> Subscription:
        """Add one who listens."""
        known = self._channels.get(channel)
        if known is None:
            known = self._channels[channel] = Channel(channel, self._label)
            ear = self.home(channel)
            known.gap = ear is None or not ear.reachable
        listener = Subscription(self, known, heard, missed)
        known.listeners.append(listener)
        if known.subscribed is None:
            self._subscribe(known)
        return listener

    def leave(self, channel: Channel, listener: Subscription) -> None:
        """Remove one; the channel is left with the last."""
        if listener not in channel.listeners:
            return
        channel.listeners = [other for other in channel.listeners if other is not listener]
        if channel.listeners:
            return
        self._channels.pop(channel.name, None)
        connection = channel.connection
        if connection is not None and not connection.closed:
            connection.subscription("UNSUBSCRIBE", channel.name).add_done_callback(_seen)

    def _subscribe(self, channel: Channel) -> None:
        ear = self.home(channel.name)
        if ear is None:
            return
        ear.want()
        connection = ear.connection
        if connection is None or connection.closed:
            return  # it is subscribed when there is one
        channel.connection = connection
        confirmed = channel.subscribed = connection.subscription("SUBSCRIBE", channel.name)
        confirmed.add_done_callback(_seen)
        if channel.gap:
            confirmed.add_done_callback(partial(_missed, channel))

    # What connections tell

    def joined(self, ear: Ear) -> None:
        """A connection is there on which may be listened: subscribe what is heard on it.

        Those who may have missed something are told after the confirmation.
        """
        for channel in list(self._channels.values()):
            if channel.subscribed is None and self.home(channel.name) is ear:
                self._subscribe(channel)

    def left(self, connection: Connection) -> None:
        """A connection on which was listened is gone."""
        for channel in list(self._channels.values()):
            if channel.connection is connection:
                channel.connection = channel.subscribed = None
                channel.gap = True
                self._subscribe(channel)

    def heard(self, message: Sequence[Any]) -> None:
        """Take a push."""
        kind = message[0]
        if kind == b"message" or kind == b"smessage":
            channel = self._channels.get(message[1].decode())
            for listener in channel.listeners if channel is not None else ():
                _call(listener.heard, message[2])
        elif kind == b"invalidate":
            if message[1] is None:
                self.flush()
            else:
                self.changed([key.decode() for key in message[1]])

    # Tracking

    def track(self, prefix: str, changed: Changed) -> Callable[[], None]:
        """Add one who is told of changes; return how to end it."""
        entry = (prefix, changed)
        self._set([*self._trackers, entry])
        return lambda: self._set([other for other in self._trackers if other is not entry])

    def _set(self, trackers: list[tuple[str, Changed]]) -> None:
        self._trackers = trackers
        self.prefixes = tuple(dict.fromkeys(prefix for prefix, _ in trackers))

    def changed(self, keys: Sequence[str]) -> None:
        """Tell of keys that changed."""
        for prefix, changed in self._trackers:
            concerned = [key for key in keys if key.startswith(prefix)]
            if concerned:
                _call(changed, concerned)

    def flush(self) -> None:
        """Tell that changes may have been missed."""
        for _, changed in self._trackers:
            _call(changed, None)

    def forgetting(
        self, operation: Operation, parsed: Callable[[Reply], None] | None, keys: Sequence[str]
    ) -> Callable[[Reply], None] | None:
        """Return what a reply is given to where the server does not track: nothing may be held of it.

        What was written is held once its change is told of, which it is not here.
        """
        if not operation.reads:
            return parsed

        def fill(reply: Reply) -> None:
            if parsed is not None:
                parsed(reply)
            self.changed(keys)

        return fill


def _seen(future: asyncio.Future[Any]) -> None:
    # Whoever waits is told; where nobody does, the connection tells enough.
    if not future.cancelled():
        future.exception()


def _missed(channel: Channel, future: asyncio.Future[Any]) -> None:
    if future.cancelled() or future.exception() is not None:
        return
    channel.gap = False
    for listener in channel.listeners:
        if listener.missed is not None:
            _call(listener.missed)


def _call(told: Callable[..., None], *about: Any) -> None:
    # What one of them does wrong must not keep the others from being told.
    try:
        told(*about)
    except Exception as error:
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "A listener of Redis failed", "exception": error})
