"""Who listens to what is published, and who is told of changes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from bedplate.component import Logger
from bedplate.state.memory.space import Space
from bedplate.state.store import StoreUnavailableError

__all__ = ["Channels"]

Heard = Callable[[bytes], None]
Changed = Callable[[Sequence[str] | None], None]


class Channels:
    """Messages on their way, in order, and changes that are told when the operation that made them is over.

    Both outlive a run of the store: who listens before it starts hears what comes later.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._listening: dict[str, list[Subscription]] = {}
        self._trackers: list[tuple[str, Changed]] = []
        self._messages: deque[tuple[Subscription, bytes]] = deque()
        self._keys: dict[str, None] = {}
        self._space: Space | None = None
        self._log: Logger | None = None

    @property
    def running(self) -> bool:
        """Whether what is published now is heard."""
        return self._space is not None

    def attach(self, space: Space, log: Logger) -> None:
        """Serve a store that starts."""
        self._space, self._log = space, log
        space.told = self.tell
        if self._trackers:
            space.noted = self._note

    def detach(self) -> None:
        """Drop what is on its way; whoever holds data of the store must let go of it."""
        self._space = None
        self._messages.clear()
        self._keys.clear()
        for _, changed in list(self._trackers):
            self._call(changed, None)

    def listen(self, channel: str, heard: Heard) -> Subscription:
        """Hear a channel."""
        subscription = Subscription(self, channel, heard)
        self._listening.setdefault(channel, []).append(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """Hear it no more."""
        listening = self._listening.get(subscription.channel, [])
        if subscription in listening:
            listening.remove(subscription)
            if not listening:
                del self._listening[subscription.channel]

    def tell(self, channel: str, message: bytes) -> int:
        """Send a message to all who listen now; they hear it in a later turn of the loop, as from afar."""
        listening = self._listening.get(channel)
        if not listening:
            return 0
        if not self._messages:
            asyncio.get_running_loop().call_soon(self._deliver)
        self._messages.extend((subscription, message) for subscription in listening)
        return len(listening)

    def track(self, prefix: str, changed: Changed) -> Callable[[], None]:
        """Tell of changes to keys with a prefix."""
        tracker = (prefix, changed)
        self._trackers.append(tracker)
        if self._space is not None:
            self._space.noted = self._note

        def end() -> None:
            if tracker in self._trackers:
                self._trackers.remove(tracker)
            if not self._trackers and self._space is not None:
                self._space.noted = None

        return end

    def tell_changes(self) -> None:
        """Tell of the keys that changed since the last call."""
        if not self._keys:
            return
        keys, self._keys = list(self._keys), {}
        for prefix, changed in list(self._trackers):
            if found := [key for key in keys if key.startswith(prefix)]:
                self._call(changed, found)

    def _note(self, key: str) -> None:
        self._keys[key] = None

    def _deliver(self) -> None:
        # What these messages lead to is delivered in a later turn, so that two who answer each other starve nobody.
        for _ in range(len(self._messages)):
            subscription, message = self._messages.popleft()
            if subscription.open:
                self._call(subscription.heard, message)
        if self._messages:
            asyncio.get_running_loop().call_soon(self._deliver)

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            function(*arguments)
        except Exception:
            if self._log is not None:
                self._log.exception("memory_listener_failed", store=self._name)


class Subscription:
    """Somebody who hears a channel; implements :class:`bedplate.state.store.Listening`."""

    __slots__ = ("_channels", "channel", "heard", "open")

    def __init__(self, channels: Channels, channel: str, heard: Heard) -> None:
        self._channels = channels
        self.channel = channel
        self.heard = heard
        self.open = True

    async def ready(self) -> None:
        """Return at once: what is published from now on is heard.

        :raises StoreUnavailableError: when the store does not run.
        """
        if not self._channels.running:
            raise StoreUnavailableError("The store in the process does not run.", "Use it inside the service.")

    def close(self) -> None:
        """Hear no more, not even what is on its way."""
        self.open = False
        self._channels.leave(self)
