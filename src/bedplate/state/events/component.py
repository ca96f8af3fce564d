"""Events as a component: topics to hear, streams to work on."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import BaseModel, ConfigDict

from bedplate.clock import Clock, SystemClock
from bedplate.component import BoundCounter, Host, Spec
from bedplate.declarations import Action, Runbook
from bedplate.degradation import Degradation
from bedplate.problems import DeclarationError
from bedplate.state.events.actions import actions_of
from bedplate.state.events.consumer import Consumer
from bedplate.state.events.errors import EventsUnavailableError, unavailable
from bedplate.state.events.event import Codec, order_of
from bedplate.state.events.hub import Hubs
from bedplate.state.events.metrics import (
    AVAILABLE,
    BACKLOG,
    DEAD,
    DELIVERED,
    METRICS,
    MISSED,
    OLDEST,
    OUTBOX,
    PUBLISHED,
    SUBSCRIBERS,
    alerts,
    panels,
)
from bedplate.state.events.operations import LAST, PUBLISH, SINCE, TIDY
from bedplate.state.events.outbox import Outbox, Waiting
from bedplate.state.events.stream import Stream
from bedplate.state.events.subscription import Subscription
from bedplate.state.pausing import pause
from bedplate.state.reach import Reach
from bedplate.state.store import Store, StoreError

__all__ = ["Events", "EventsSettings"]

T = TypeVar("T")

_RUNBOOK = Runbook(text=Path(__file__).with_name("runbook.md").read_text(encoding="utf-8"))
_TOPIC = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}\Z")
#: Seconds between two looks at the streams: what can be removed, and how far their groups are.
_TIDIED = 15.0
#: Entries of a group that are counted at most when they are counted one by one.
_COUNTED = 10_000
#: Milliseconds after which a consumer that owes nothing and was not heard of is forgotten.
_FORGOTTEN = 3_600_000
_AGAIN = 1.0


class EventsSettings(BaseModel):
    """How events are kept, for people."""

    model_config = ConfigDict(frozen=True)

    history: int
    """Events of a topic that are kept for those who come back; 0 for none."""

    history_seconds: float
    """Seconds for which a silent topic's history is kept."""

    outbox: Path | None
    """Folder on this host for what cannot be added to a stream at the moment; without one it is refused."""


class Events:
    """Tells others what happened: ``Events(shared)``.

    .. code-block:: python

        await events.publish("portfolio.7", {"value": "1250.00"})

        async with events.subscribe("portfolio.7") as subscription:
            async for event in subscription: ...

        orders = events.stream("orders", Order)

    A *topic* is heard by all who listen now, on all instances; its history lets those go on who were away for a moment.
    A *stream* is worked on by groups, at least once each; see :class:`Stream`.

    :param history: events of a topic that are kept; 0 for none. :param history_seconds: for how long, from the last.
    :param outbox: a folder on this host's disk for events that cannot be added to a stream while the store is away;
        without one they are refused. :param outbox_most: how many may wait there, for each process.
    """

    def __init__(
        self,
        store: Store,
        name: str = "default",
        *,
        history: int = 100,
        history_seconds: float = 3600.0,
        outbox: Path | None = None,
        outbox_most: int = 100_000,
    ) -> None:
        if history < 0 or history_seconds < 1 or outbox_most < 1:
            raise DeclarationError(f"Events {name} cannot keep this.", "Give a history of 0 or more, and a second.")
        self.store = store
        self.name = name
        self.history = history
        self.streams: dict[str, Stream[Any]] = {}
        self.clock: Clock = SystemClock()
        self.outbox: Outbox | None = None
        self._history_ms = int(history_seconds * 1000)
        self._outbox_folder, self._outbox_most = outbox, outbox_most
        self._host: Host | None = None
        self._hubs: Hubs | None = None
        self._kept: BoundCounter
        self._refused: BoundCounter
        self._missed: BoundCounter
        self._delivered: BoundCounter
        self._prefix = ""
        self._consumers: list[Consumer] = []
        self._spec = Spec(
            kind="events",
            name=name,
            summary="Tells others what happened, and lets work be done for each event.",
            needs=(store,),
            settings=EventsSettings(history=history, history_seconds=history_seconds, outbox=outbox),
            scope="cluster",
            degradation=Degradation(
                policy="refuse" if outbox is None else "queue",
                summary="Subscribers wait, and catch up afterwards; what must arrive "
                + ("is refused (503)." if outbox is None else "waits on this host's disk."),
                gauge=AVAILABLE(events=name),
                alert="EventsUnavailable",
            ),
            metrics=tuple(metric(events=name) for metric in METRICS),
            alerts=alerts(name),
            panels=panels(name),
            runbook=_RUNBOOK,
        )

    @property
    def spec(self) -> Spec:
        """The component's declaration."""
        return self._spec

    @property
    def running(self) -> bool:
        """Whether something can be published."""
        return self._host is not None

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Pass events on, and work on the streams that have groups here."""
        self._start(host)
        unwatch = self.store.watch(self._reached)
        self._reached(self.store.available)
        try:
            if self._outbox_folder is not None:
                waiting = host.bind(OUTBOX)
                prefix = f"{host.service}-{self.name}-"
                outbox = Outbox(self._outbox_folder, prefix, self._outbox_most, lambda count: waiting.set(float(count)))
                await outbox.open()
                self.outbox = outbox
                host.spawn("outbox", self._drain)
            if self.streams:
                host.spawn("tidy", self._tidy)
            # Who watches, or only keeps time, is to do no work.
            for stream in self.streams.values() if host.role in ("web", "worker") else ():
                for group in stream.groups:
                    consumer = Consumer(self, stream, group, host)
                    self._consumers.append(consumer)
                    host.spawn(f"{stream.name}-{group.name}", consumer.run)
            yield
        finally:
            self._stop()
            unwatch()

    def _start(self, host: Host) -> None:
        self.clock = host.clock
        self._prefix = f"{host.service}:events:{self.name}:"
        self._kept = host.bind(PUBLISHED, outcome="kept")
        self._refused = host.bind(PUBLISHED, outcome="refused")
        self._delivered, self._missed = host.bind(DELIVERED), host.bind(MISSED)
        subscribers = host.bind(SUBSCRIBERS)
        self._hubs = Hubs(self.store, lambda count: subscribers.set(float(count)))
        self._host = host

    def _stop(self) -> None:
        self._host = None
        self._consumers.clear()
        if self._hubs is not None:
            self._hubs.close()
        if self.outbox is not None:
            self.outbox.close()
            self.outbox = None

    # Topics

    async def publish(self, topic: str, payload: Any) -> str:
        """Tell all who listen to a topic; return the event's id, empty where nothing is kept.

        :param payload: whatever has a JSON form: models, dataclasses, dictionaries, ``Decimal``, times.
        :raises EventsUnavailableError: when the store is away (503): nobody heard it, or with ``sent`` perhaps.
        :raises ValueError: when the topic is no word, or the payload has no JSON.
        """
        key, text = self.key(topic), Codec().dump(payload)
        try:
            if not self.history:
                await self.store.publish(key, b" " + text)
                self.kept()
                return ""
            id, _ = await self.store.run(PUBLISH, (key,), (text, self.history, self._history_ms, key))
        except StoreError as error:
            self.refused()
            raise unavailable(error) from error
        self.kept()
        return str(id.decode())

    @overload
    def subscribe(
        self, topic: str, type: None = None, *, after: str | None = None, buffer: int = 1000
    ) -> AbstractAsyncContextManager[Subscription[Any]]: ...
    @overload
    def subscribe(
        self, topic: str, type: type[T], *, after: str | None = None, buffer: int = 1000
    ) -> AbstractAsyncContextManager[Subscription[T]]: ...
    def subscribe(
        self, topic: str, type: type[Any] | None = None, *, after: str | None = None, buffer: int = 1000
    ) -> AbstractAsyncContextManager[Subscription[Any]]:
        """Hear a topic, inside ``async with``: what is published after it is entered is given, in order.

        :param type: of the payload; plain JSON without it.
        :param after: the id of the last event that is known, to be given what came since.
        :param buffer: events held for a reader that is busy; see :class:`Subscription` for what comes then.
        :raises EventsUnavailableError: when the store is away on entering (503); later outages are waited out.
        :raises ValueError: when the topic is no word, or ``after`` is no id.
        """
        if after is not None:
            order_of(after)
        key = self.key(topic)
        return self._subscribed(
            key, Subscription(self, topic, Codec(type), after=after, buffer=max(1, buffer), missed=self._note_missed)
        )

    @asynccontextmanager
    async def _subscribed(self, key: str, subscription: Subscription[T]) -> AsyncIterator[Subscription[T]]:
        hubs = self._hubs
        assert hubs is not None
        listening = hubs.join(key, subscription)
        try:
            try:
                await listening.ready()
                await subscription.begin()
            except StoreError as error:
                raise unavailable(error) from error
            yield subscription
        finally:
            subscription.close()
            hubs.leave(key, subscription)

    # Streams

    def stream(
        self, name: str, payload: type[T] | None = None, *, most: int = 1_000_000, keep: float = 3600.0
    ) -> Stream[T]:
        """Declare a stream; call it where the service is built, on every instance alike.

        :param payload: the type of its events; plain JSON without it.
        :param most: events that it may hold; more are refused.
        :param keep: seconds for which an event is kept at least, for groups that come later; after it, it goes when
            all groups have done it.
        :raises DeclarationError: when there is one of the name, or the events run already.
        """
        if name in self.streams or not _TOPIC.match(name):
            raise DeclarationError(
                f"A stream of events {self.name} cannot be called {name!r}.", "Give it another name."
            )
        if self._host is not None:
            raise DeclarationError(f"The stream {name} comes too late.", "Declare it before the service starts.")
        stream: Stream[T] = Stream(self, name, payload, most=most, keep=keep)
        self.streams[name] = stream
        return stream

    def actions(self) -> Sequence[Action]:
        """Return what operators may do."""
        return actions_of(self)

    def overview(self) -> Mapping[str, Any]:
        """Return what this process knows."""
        return {
            "available": self.store.available,
            "streams": {name: [group.name for group in stream.groups] for name, stream in self.streams.items()},
            "outboxEntries": self.outbox.waiting if self.outbox is not None else 0,
        }

    # For subscriptions and streams

    def key(self, topic: str) -> str:
        """Return the key, and the channel, of a topic.

        :raises ValueError: when it is no word.
        """
        if not _TOPIC.match(topic):
            raise ValueError(f"{topic!r} is no topic: use letters, digits and . _ - : / @, 200 at most.")
        self._running()
        return f"{self._prefix}{{{topic}}}"

    def kept(self) -> None:
        """Count an event that was passed on."""
        self._kept.inc()

    def refused(self) -> None:
        """Count one that was not."""
        self._refused.inc()

    def took(self) -> None:
        """Count one that a subscriber took."""
        self._delivered.inc()

    def unreadable(self, topic: str, id: str, error: Exception) -> None:
        """Note an event that is not of the type that its subscriber expects."""
        self._running().log.error("event_unreadable", topic=topic, event_id=id, error=str(error)[:500])

    async def last(self, topic: str) -> str:
        """Return the id of a topic's last event.

        :raises StoreUnavailableError: when the store is away.
        """
        last = await self.store.run(LAST, (self.key(topic),))
        return str(last.decode())

    async def since(self, topic: str, after: str, count: int) -> tuple[int, list[tuple[str, bytes]]]:
        """Return whether events after one may be gone, and those that are there.

        It is 1 when they may, and 2 when the one itself is gone and nothing comes after it.

        :raises StoreUnavailableError: when the store is away.
        """
        lost, entries = await self.store.run(SINCE, (self.key(topic),), (after, count, self.history))
        return int(lost), [(id.decode(), fields[1]) for id, fields in entries]

    def _note_missed(self) -> None:
        self._missed.inc()

    def _running(self) -> Host:
        if self._host is None:
            raise EventsUnavailableError("the component does not run.")
        return self._host

    # In the background

    def _reached(self, available: bool) -> None:
        host = self._host
        if host is None:
            return
        Reach(host, self._spec).show(available)
        if available:
            if self.outbox is not None:
                self.outbox.wake.set()
            for consumer in self._consumers:
                consumer.wake()
            if self._hubs is not None:
                self._hubs.gap()

    async def _drain(self) -> None:
        outbox = self.outbox
        assert outbox is not None
        while True:
            outbox.wake.clear()
            try:
                await outbox.drain(self._add)
            except StoreError:
                await pause(self.clock, _AGAIN, asyncio.Event())
                continue
            except Exception as error:
                self._running().log.error("outbox_failed", error=repr(error))
                await pause(self.clock, 10 * _AGAIN, asyncio.Event())
                continue
            await outbox.wake.wait()

    async def _add(self, waiting: list[Waiting]) -> int:
        name = waiting[0][0]
        stream = self.streams.get(name)
        if stream is None:
            # It waits for a version of the service that knows it.
            raise DeclarationError(f"The outbox has events of a stream {name}.", "Declare it, or remove the file.")
        return await stream.put_many([(key, text) for _, key, text in waiting])

    async def _tidy(self) -> None:
        while True:
            for stream in self.streams.values():
                try:
                    keys, kept = (stream.key, stream.dead_key), int(stream.keep * 1000)
                    _, dead, groups = await self.store.run(TIDY, keys, (kept, _COUNTED, _FORGOTTEN))
                except StoreError:
                    continue
                self._note(stream, dead, groups)
            await self.clock.sleep(_TIDIED * random.uniform(0.7, 1.0))

    def _note(self, stream: Stream[Any], dead: int, groups: list[Any]) -> None:
        host = self._running()
        host.bind(DEAD, stream=stream.name).set(float(dead))
        for name, count, waits in groups:
            labels = {"stream": stream.name, "group": name.decode()}
            host.bind(BACKLOG, **labels).set(float(count))
            host.bind(OLDEST, **labels).set(max(waits, 0) / 1000)
