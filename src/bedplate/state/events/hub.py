"""What a process hears of a topic, given on to all who subscribe to it there: one subscription at the store for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bedplate.state.store import Listening, Store

__all__ = ["Hearer", "Hub", "Hubs"]


class Hearer(Protocol):
    """Who hears a topic."""

    def heard(self, id: str, payload: bytes) -> None:
        """Take an event as it happens; the id is empty where nothing is kept."""
        ...

    def gap(self) -> None:
        """Events may have been published that were not heard."""
        ...

    def close(self) -> None:
        """Nothing more will be heard."""
        ...


class Hub:
    """One topic."""

    def __init__(self, store: Store, channel: str) -> None:
        self.hearers: dict[Hearer, None] = {}
        self.listening: Listening = store.listen(channel, self._heard, missed=self._missed)

    def _heard(self, message: bytes) -> None:
        id, _, payload = message.partition(b" ")
        text = id.decode()
        for hearer in list(self.hearers):
            hearer.heard(text, payload)

    def _missed(self) -> None:
        for hearer in list(self.hearers):
            hearer.gap()


class Hubs:
    """The topics that somebody in this process hears.

    :param counted: told how many subscriptions there are whenever that changes.
    """

    def __init__(self, store: Store, counted: Callable[[int], None]) -> None:
        self._store = store
        self._counted = counted
        self._hubs: dict[str, Hub] = {}
        self._count = 0

    def join(self, channel: str, hearer: Hearer) -> Listening:
        """Hear a topic; return the subscription at the store, whose end is :meth:`leave`'s business."""
        hub = self._hubs.get(channel)
        if hub is None:
            hub = self._hubs[channel] = Hub(self._store, channel)
        hub.hearers[hearer] = None
        self._count += 1
        self._counted(self._count)
        return hub.listening

    def leave(self, channel: str, hearer: Hearer) -> None:
        """Hear it no more."""
        hub = self._hubs.get(channel)
        if hub is None or hub.hearers.pop(hearer, hearer) is not None:
            return
        self._count -= 1
        self._counted(self._count)
        if not hub.hearers:
            hub.listening.close()
            del self._hubs[channel]

    def gap(self) -> None:
        """Tell all that something may have been missed."""
        for hub in list(self._hubs.values()):
            for hearer in list(hub.hearers):
                hearer.gap()

    def close(self) -> None:
        """End all subscriptions, here and at the store."""
        for hub in self._hubs.values():
            hub.listening.close()
            for hearer in list(hub.hearers):
                hearer.close()
        self._hubs.clear()
        self._count = 0
        self._counted(0)
