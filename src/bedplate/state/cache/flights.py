"""Computing values: once, however many ask for one, in this process and in all others.

In this process those who ask for a key join one *flight*. Among processes a lease in the store says whose flight it is;
the others hear through tracking when the value is there. A lease is short and renewed while the computation runs, so
that one whose process died is free again soon. Whoever drops the key or one of its tags takes the lease, or the
versions that the value stands on, away: what was computed from older data is then not written, and whoever asks after
the drop does not join the old flight.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bedplate.state.cache.entries import HEAD, Entry, Versions, packed, unpacked
from bedplate.state.cache.errors import CacheTypeError
from bedplate.state.cache.operations import CLAIM, FILL, LEASE, PUT, RELEASE, RENEW
from bedplate.state.cache.waiting import within
from bedplate.state.store import Call, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.state.cache.plan import Plan
    from bedplate.state.cache.shelf import Shelf
    from bedplate.state.cache.stats import PatternStats

__all__ = ["Flight", "Flights"]

#: Values that are made text, and written, in one go: about two milliseconds.
_PORTION = 250
#: Seconds between two looks at a value that somebody else computes, should what is told of it get lost.
_FIRST_LOOK, _LAST_LOOK = 0.05, 0.5

#: What the work at hand computes already: to wait for that would be to wait for itself.
_UNDER_WAY: ContextVar[frozenset[tuple[int, str]]] = ContextVar("bedplate_cache_under_way", default=frozenset())

Make = Callable[[], Awaitable[Any]]
#: A value and its text, None when it has none.
Result = tuple[Any, bytes | None]


class Flight:
    """A computation under way.

    :ivar token: of its lease, empty without one. :ivar writing: its value is on its way to the store.
    :ivar doomed: what it computes is not to be kept here, since it may be of before a drop.
    :ivar born: what it stands on, None until that is known. :ivar started: the monotonic time when the computation
        itself began, None before.
    """

    __slots__ = ("born", "doomed", "generation", "key", "started", "tags", "task", "token", "writing")

    def __init__(self, key: str) -> None:
        self.key = key
        self.token = ""
        self.writing = self.doomed = False
        self.born: int | None = None
        self.tags: Versions = ()
        self.generation = -1
        self.started: float | None = None
        self.task: asyncio.Task[Result] | None = None


class Flights:
    """All computations of one cache.

    :param counted: called with what became of a computation or a write: ``computed``, ``failed``, ``given_up``,
        ``unstorable``, ``too_large``, ``outdated``, ``refused``.
    """

    def __init__(self, shelf: Shelf, host: Host, counted: Callable[[str], None]) -> None:
        self._shelf = shelf
        self._host = host
        self._counted = counted
        self._flights: dict[str, Flight] = {}
        self._all: set[Flight] = set()
        self._waiting: dict[str, asyncio.Event] = {}
        self._told_types: set[str] = set()
        shelf.hears = self

    def __len__(self) -> int:
        return len(self._all)

    def joinable(self, key: str) -> Flight | None:
        """Return the flight of a key, if whoever asks now may have its value."""
        flight = self._flights.get(key)
        if flight is None or flight.born is None:
            return flight
        shelf = self._shelf
        if flight.generation != shelf.near.generation:
            if not shelf.stands(key, flight.born, flight.tags):
                self._doom(flight)
                return None
            flight.generation = shelf.near.generation
        return flight

    def is_own(self, key: str) -> bool:
        """Return whether who asks for a key is at work to compute it."""
        return (id(self), key) in _UNDER_WAY.get()

    def start(
        self, key: str, plan: Plan, make: Make, tags: Sequence[str], ident: str, stats: PatternStats
    ) -> asyncio.Task[Result]:
        """Begin a flight. :param ident: the writing of the key that was found wanting."""
        flight = Flight(key)
        flight.task = asyncio.create_task(self._fly(flight, plan, make, tags, ident, stats), name=f"cache {key[:80]}")
        self._flights[key] = flight
        self._all.add(flight)
        flight.task.add_done_callback(lambda task: self._landed(flight, task))
        return flight.task

    def written(self, key: str) -> None:
        """Hear that a key was written: who waits for it looks again."""
        event = self._waiting.get(key)
        if event is not None:
            event.set()

    def dropped(self, key: str) -> None:
        """Hear that a key was dropped: who asks from now on asks anew."""
        flight = self._flights.get(key)
        if flight is not None and flight.started is not None:
            self._doom(flight)
        self.written(key)

    def dropped_matching(self, matches: Callable[[str], object]) -> None:
        """Hear that all keys of a pattern were dropped."""
        for key in [key for key in self._flights if matches(key)]:
            self.dropped(key)

    def lease_changed(self, key: str) -> None:
        """Hear that the lease of a key was taken, prolonged, given back or taken away."""
        flight = self._flights.get(key)
        if flight is not None and flight.token and not flight.writing:
            self._follow(flight)
        self.written(key)

    async def tend(self) -> None:
        """Keep leases while their flights last, and end what takes far too long; a task of the whole run."""
        shelf, clock = self._shelf, self._host.clock
        lease = int(shelf.settings.lease * 1000)
        while True:
            await clock.sleep(shelf.settings.lease / 3)
            held = [flight for flight in self._all if flight.token]
            if held and shelf.online:
                calls = [Call(RENEW, (shelf.names.lease(one.key),), (one.token, lease)) for one in held]
                # Whoever loses a lease finds out when it writes; whoever loses the store finds out elsewhere.
                with suppress(StoreError):
                    await shelf.store.run_many(calls, timeout=shelf.settings.store_timeout)
            late = clock.monotonic() - shelf.settings.give_up
            for flight in list(self._all):
                if flight.started is not None and flight.started < late and flight.task is not None:
                    flight.task.cancel()

    async def end(self) -> None:
        """Cancel all, and wait until they have ended."""
        tasks = [flight.task for flight in self._all if flight.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _doom(self, flight: Flight) -> None:
        flight.doomed = True
        del self._flights[flight.key]

    def _landed(self, flight: Flight, task: asyncio.Task[Result]) -> None:
        self._all.discard(flight)
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if task.cancelled():
            self._counted("given_up")
        elif (error := task.exception()) is not None:
            self._counted("failed")
            self._host.log.debug("cache_computation_failed", key=flight.key, error=f"{type(error).__name__}: {error}")

    async def _fly(
        self, flight: Flight, plan: Plan, make: Make, tags: Sequence[str], ident: str, stats: PatternStats
    ) -> Result:
        shelf = self._shelf
        if shelf.online:
            found = await self._claimed(flight, tags, ident, plan, stats)
            if found is not None:
                return found
        stored = False
        try:
            flight.born, flight.tags = await shelf.standing(tags)
            flight.generation = shelf.near.generation
            flight.started = self._host.clock.monotonic()
            _UNDER_WAY.set(_UNDER_WAY.get() | {(id(self), flight.key)})
            value = await make()
            self._counted("computed")
            text = self._text(value, plan)
            if text is not None:
                stored = await self._keep(flight, plan, value, text, stats)
            return value, text
        finally:
            if flight.token and not stored:
                await self._release(flight)

    async def _claimed(
        self, flight: Flight, tags: Sequence[str], ident: str, plan: Plan, stats: PatternStats
    ) -> Result | None:
        """Take the lease, or wait for the value of who has it; None when it is to be computed here."""
        shelf, key = self._shelf, flight.key
        names, token = shelf.names.both(key), secrets.token_hex(8)
        lease, pause = int(shelf.settings.lease * 1000), _FIRST_LOOK
        seen = f'["{ident}'.encode()
        while True:
            asked = shelf.near.now()
            try:
                kind, *rest = await shelf.ask("get", CLAIM, names, (token, lease, seen))
            except StoreError:
                return None
            if kind == 1:
                flight.token = token
                self._follow(flight)
                return None
            if kind == 0:
                entry = unpacked(rest, asked, stats)
                if entry is not None and await shelf.judge(key, entry) and shelf.near.now() < entry.fresh:
                    with suppress(ValueError):
                        return entry.read(plan.codec), entry.text
                seen = rest[0][:HEAD]
                continue
            await self._wait(key, min(pause, rest[0] / 1000 + 0.001))
            pause = min(pause * 2, _LAST_LOOK)
            if not shelf.online:
                return None

    def _follow(self, flight: Flight) -> None:
        """Have the store tell when the lease is taken away: the key was dropped, by whomever."""

        def seen(reply: Any) -> None:
            if reply is None or reply != flight.token.encode():
                self.dropped(flight.key)

        shelf = self._shelf
        asked = shelf.store.run(LEASE, (shelf.names.lease(flight.key),), timeout=1.0, parsed=seen)
        # It needs nobody's patience: without an answer the lease is found out to be gone when the value is written.
        task = asyncio.ensure_future(asked)
        task.add_done_callback(lambda one: one.cancelled() or one.exception())

    async def _wait(self, key: str, seconds: float) -> None:
        """Wait until a key was written or its lease given back, at most so long."""
        shelf = self._shelf
        event = self._waiting.setdefault(key, asyncio.Event())
        event.clear()
        try:
            if await shelf.ask("get", LEASE, (shelf.names.lease(key),)) is None:
                return
            await within(self._host.clock, seconds, event.wait())
        except StoreError:
            return
        finally:
            self._waiting.pop(key, None)

    def _text(self, value: Any, plan: Plan) -> bytes | None:
        if value is None and plan.negative == 0:
            return None
        try:
            text = plan.codec.encode(value)
        except CacheTypeError as error:
            self._counted("unstorable")
            if plan.codec.name not in self._told_types and len(self._told_types) < 100:
                self._told_types.add(plan.codec.name)
                self._host.log.warning("cache_value_not_kept", type=plan.codec.name, error=str(error))
            return None
        if len(text) > self._shelf.settings.value_bytes:
            self._counted("too_large")
            return None
        return text

    async def _keep(self, flight: Flight, plan: Plan, value: Any, text: bytes, stats: PatternStats) -> bool:
        """Write a value; return whether that ended the lease."""
        shelf = self._shelf
        assert flight.born is not None
        ttl, kept = plan.lifetime(value)
        if shelf.online and not flight.token:
            # It began while the store was away, so nobody knows what was dropped meanwhile.
            return False
        whole = packed(text, grace=int((kept - ttl) * 1000), born=flight.born, tags=flight.tags)
        args = (flight.token, whole, max(1, int(kept * 1000)))
        if shelf.online:
            flight.writing = True
            try:
                if await shelf.ask("set", FILL, shelf.names.both(flight.key), args):
                    return True
                self._counted("outdated")
            except StoreUnavailableError:
                pass
            except StoreError as error:
                self._counted("refused")
                shelf.complain("cache_write_refused", error)
        if not shelf.online and not flight.doomed and shelf.stands(flight.key, flight.born, flight.tags):
            self.keep_here(flight.key, text, ttl, kept, flight.tags, stats)
        return False

    def keep_here(self, key: str, text: bytes, ttl: float, kept: float, tags: Versions, stats: PatternStats) -> None:
        """Keep a value in this process alone, while the store is away."""
        shelf = self._shelf
        now = shelf.near.now()
        fresh = now + min(ttl, shelf.settings.away_ttl)
        entry = Entry(text, fresh=fresh, dead=now + kept, tags=tags, stats=stats, local=True)
        entry.generation = shelf.near.generation
        shelf.near.put(key, entry)

    async def put(
        self, items: Sequence[tuple[str, Any]], plan: Plan, tags: Sequence[str], stats: Callable[[str], PatternStats]
    ) -> None:
        """Write values that are known.

        :raises CacheTypeError: when one cannot be kept.
        """
        texts: list[tuple[str, Any, bytes]] = []
        for place in range(0, len(items), _PORTION):
            texts += [(key, value, plan.codec.encode(value)) for key, value in items[place : place + _PORTION]]
            await asyncio.sleep(0)
        standing = await self._shelf.standing_now(tags)
        for place in range(0, len(texts), _PORTION):
            await self._put(texts[place : place + _PORTION], plan, standing, stats)

    async def _put(
        self,
        texts: Sequence[tuple[str, Any, bytes]],
        plan: Plan,
        standing: tuple[int, Versions],
        stats: Callable[[str], PatternStats],
    ) -> None:
        shelf = self._shelf
        born, versions = standing
        calls: list[Call] = []
        large: list[str] = []
        for key, value, text in texts:
            ttl, kept = plan.lifetime(value)
            shelf.near.pop(key)
            self.dropped(key)
            if len(text) > shelf.settings.value_bytes:
                self._counted("too_large")
                large.append(key)
                continue
            if not shelf.online:
                self.keep_here(key, text, ttl, kept, versions, stats(key))
                shelf.remembered.key(key)
                continue
            whole = packed(text, grace=int((kept - ttl) * 1000), born=born, tags=versions)
            calls.append(Call(PUT, shelf.names.both(key), (whole, max(1, int(kept * 1000)))))
        if calls:
            await self._write(calls)
        if large:
            # What cannot be kept must not leave an older value in its place.
            await shelf.drop(large)

    async def _write(self, calls: Sequence[Call]) -> None:
        shelf = self._shelf
        try:
            replies = await shelf.many("set", calls)
        except StoreError as error:
            replies = [error] * len(calls)
        refused: list[str] = []
        for call, reply in zip(calls, replies, strict=True):
            key = shelf.names.read(call.keys[0])[1]
            # Somebody may have read in the meantime what was there before.
            shelf.near.pop(key)
            if not isinstance(reply, StoreError):
                continue
            # What was there before is no longer right, whether or not the new value has come to be.
            if isinstance(reply, StoreUnavailableError):
                shelf.remembered.key(key)
                shelf.lost(reply.what)
            else:
                refused.append(key)
                self._counted("refused")
                shelf.complain("cache_write_refused", reply)
        if refused:
            await shelf.drop(refused)

    async def _release(self, flight: Flight) -> None:
        if not self._shelf.online:
            return
        asked = self._shelf.store.run(RELEASE, (self._shelf.names.lease(flight.key),), (flight.token,), timeout=1.0)
        task = asyncio.ensure_future(asked)
        task.add_done_callback(lambda one: one.cancelled() or one.exception())
