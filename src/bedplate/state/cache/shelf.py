"""Where values are: near in this process, and in the store; kept coherent, and served from near while that is away.

**Coherent.** Whatever is kept near was read on the store's tracking connection and filled while the reply was parsed,
so that a change which the store tells of later always finds it. A value that this process itself writes is not kept
near before it was read back: the store tells its own writers, too.

**Away.** One failure is enough: the store counts as away from then on, nobody else waits for it, and a task of its own
tries it. When it is back, what was dropped meanwhile is dropped there, all that is near is let go, and only then is
the store read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from bedplate.clock import SystemClock
from bedplate.state.cache.book import Book
from bedplate.state.cache.entries import Entry, Versions, unpacked
from bedplate.state.cache.keys import matcher
from bedplate.state.cache.learning import Learning
from bedplate.state.cache.names import Names
from bedplate.state.cache.near import Near
from bedplate.state.cache.operations import ADVANCE, DROP, FORGET, GET, OPEN_LOG
from bedplate.state.cache.outage import Recent, Remembered
from bedplate.state.cache.waiting import within
from bedplate.state.store import Call, Operation, Reply, Store, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from bedplate.component import Host
    from bedplate.state.cache.hears import Hears
    from bedplate.state.cache.settings import CacheSettings
    from bedplate.state.cache.stats import PatternStats

__all__ = ["Shelf"]

#: Invalidations told to the store in one go.
_BATCH = 500
#: Keys that are looked at in one go.
_MOST_MATCHED = 10_000
#: Seconds between two attempts at a store that is away, if nobody says earlier that it is back.
_PAUSE = 0.1


class Shelf:
    """The two places of one cache's values, while it runs.

    :param reached: called with None when the store is back, and with the reason when it is away.
    :ivar hears: who is told of keys.
    :ivar online: whether the store is relied upon; else values are near alone.
    :ivar remembered: what must be dropped in the store when it is back.
    """

    hears: Hears

    def __init__(
        self,
        store: Store,
        settings: CacheSettings,
        host: Host,
        name: str,
        *,
        reached: Callable[[str | None], None],
    ) -> None:
        self.store = store
        self.settings = settings
        self.names = Names(host.service, name)
        self.near = Near(settings.near_entries, settings.near_bytes)
        # The machine's own clock without a call in between: every hit asks for the time.
        self.near.now = monotonic if isinstance(host.clock, SystemClock) else host.clock.monotonic
        self.book = Book(settings.longest / 4)
        self.remembered = Remembered(settings.remembered)
        self._recent = Recent(settings.replay, settings.remembered)
        self.online = True
        self._away_since = 0.0
        self.host = host
        self._reached = reached
        #: Milliseconds that versions and the log are kept: longer than what stands on them.
        self.kept = int(settings.longest * 2000)
        self.patience = settings.store_timeout
        self._trouble = asyncio.Event()
        self._back = asyncio.Event()
        self._learning = Learning(self)
        self._complained: dict[str, float] = {}
        self._timed: Callable[[str, float], None] = lambda operation, seconds: None

    def begin(self, timed: Callable[[str, float], None]) -> Callable[[], None]:
        """Listen to the store; return how to end that.

        :param timed: called with ``get``, ``set`` or ``delete`` and the seconds that the store took.
        """
        self._timed = timed
        ends = (self.store.track(self.names.prefix, self._changed), self.store.watch(self._told))

        def end() -> None:
            for one in ends:
                one()
            self._learning.end()

        if not self.store.available:
            self.lost("it has not been reached yet")
        return end

    # Asking

    async def ask(self, kind: str, operation: Operation, keys: Sequence[str], args: Sequence[Any] = ()) -> Reply:
        """Do something in the store, and note how long it took.

        :param kind: ``get``, ``set`` or ``delete``. :raises StoreError: whatever it could not do.
        """
        began = perf_counter()
        try:
            reply = await self.store.run(operation, keys, args, timeout=self.patience)
        except StoreUnavailableError as error:
            self.lost(error.what)
            raise
        self._timed(kind, perf_counter() - began)
        return reply

    async def many(self, kind: str, calls: Sequence[Call]) -> list[Reply | StoreError]:
        """Do several things in one go, and note how long that took."""
        began = perf_counter()
        replies = await self.store.run_many(calls, timeout=self.patience)
        self._timed(kind, perf_counter() - began)
        return replies

    async def look(self, key: str, stats: PatternStats) -> tuple[Entry | None, str, bool]:
        """Look for a value: return it, fresh or not, or None; which writing was seen; and whether it was near.

        What was dropped is not returned, however it is asked for.
        """
        near = self.near
        entry = near.find(key)
        if entry is not None and near.now() >= entry.dead:
            near.pop(key)
            entry = None
        if not self.online:
            return (entry if entry is not None and self._away_valid(key, entry) else None), "", True
        if entry is not None and not entry.local:
            if await self.judge(key, entry):
                return entry, entry.ident, True
            near.pop(key)
            # The store has the same writing, or we would have been told.
            return None, entry.ident, True
        entry = await self._fetch(key, stats)
        if entry is None:
            return None, "", False
        return (entry if await self.judge(key, entry) else None), entry.ident, False

    async def _fetch(self, key: str, stats: PatternStats) -> Entry | None:
        found: list[Entry | None] = []
        asked = self.near.now()

        def fill(reply: Reply) -> None:
            entry = None if reply is None else unpacked(reply, asked, stats)
            found.append(entry)
            if entry is not None:
                self.near.put(key, entry)

        began = perf_counter()
        try:
            await self.store.run(GET, (self.names.entry(key),), timeout=self.patience, parsed=fill)
        except StoreUnavailableError as error:
            self.lost(error.what)
            return None
        except StoreError as error:
            self.complain("cache_read_refused", error)
            return None
        self._timed("get", perf_counter() - began)
        return found[0]

    async def judge(self, key: str, entry: Entry) -> bool:
        """Return whether an entry is valid, after asking the store for what is not known."""
        for _ in range(5):
            if not self.online:
                return self._away_valid(key, entry)
            verdict = self.book.judge(key, entry.born, entry.tags, self.near.now())
            if verdict is None:
                await self.learn(tuple(tag for tag, _ in entry.tags))
                continue
            if verdict:
                entry.generation = self.near.generation
            return verdict
        # It changes faster than it can be read.
        return False

    def _away_valid(self, key: str, entry: Entry) -> bool:
        if not self.book.away_valid(entry.tags):
            return False
        if not entry.local:
            log = self.book.log
            # Without the log it is known that a pattern was dropped, and not which one.
            if log is None or not log.allows(key, entry.born):
                return False
            # A change of others is not heard of any more: it is trusted for a stated time only.
            entry.fresh = min(entry.fresh, self._away_since + self.settings.away_ttl)
        entry.generation = self.near.generation
        return True

    async def learn(self, tags: Sequence[str]) -> None:
        """Ask for what is not known of the log and of tags; afterwards it is, or the store is away."""
        await self._learning.learn(tags)

    async def standing(self, tags: Sequence[str]) -> tuple[int, Versions]:
        """Return what a value that is computed from now on stands on: a number of the log, and versions of its tags."""
        if self.online:
            await self._learning.learn(tags)
        now, book = self.near.now(), self.book
        if not self.online or book.log is None:
            return 0, tuple((tag, book.away_version(tag, now)) for tag in tags)
        return book.log.number, tuple((tag, book.version(tag, now) or 0) for tag in tags)

    async def standing_now(self, tags: Sequence[str]) -> tuple[int, Versions]:
        """Return the same as the store has it at this moment, not as this process has heard of it.

        What others dropped a moment ago must not take a value along that was known, and set, after that.
        """
        found = await self._learning.now(tags) if self.online else None
        return found or await self.standing(tags)

    def stands(self, key: str, born: int, tags: Versions) -> bool:
        """Return whether nothing has happened, as far as is known, to what a value stands on."""
        if not self.online:
            return self.book.away_valid(tags)
        return self.book.judge(key, born, tags, self.near.now()) is True

    # Dropping

    async def drop(self, keys: Sequence[str] = (), tags: Sequence[str] = (), pattern: str = "") -> bool:
        """Drop keys, tags, or all keys of a pattern, here and in the store; return whether the store knows already.

        What it could not be told is remembered and told when it is back.
        """
        done = await self._drop(keys[:_BATCH], tags, pattern)
        # Many are dropped in portions: none of them stalls the event loop.
        for place in range(_BATCH, len(keys), _BATCH):
            done = await self._drop(keys[place : place + _BATCH], (), "") and done
            await asyncio.sleep(0)
        return done

    async def _drop(self, keys: Sequence[str], tags: Sequence[str], pattern: str) -> bool:
        self._drop_near(keys, tags, pattern)
        wanted = [("key", key) for key in keys] + [("tag", tag) for tag in tags]
        wanted += [("all" if pattern == "*" else "pattern", pattern)] if pattern else []
        if not self.online:
            self.remembered.put_back(wanted)
            return False
        done = await self._tell(wanted)
        # Whoever read in the meantime may have seen what was there before.
        self._drop_near(keys, tags, pattern)
        return done

    def _drop_near(self, keys: Sequence[str], tags: Sequence[str], pattern: str) -> None:
        for key in keys:
            self.near.pop(key)
            self.hears.dropped(key)
        for tag in tags:
            if self.online:
                self.book.forget(tag)
            else:
                self.book.away_drop(tag, self.near.now())
        if pattern:
            self.hears.dropped_matching(matcher(pattern))
        if pattern == "*":
            self.near.clear()
            self.book.log = None
        elif pattern:
            self.book.log = None
            if not self.online:
                self._drop_matching(pattern)
        if tags or pattern:
            self.near.generation += 1

    def _drop_matching(self, pattern: str) -> None:
        if len(self.near) > _MOST_MATCHED:
            self.near.clear()  # to look at every key would stall the event loop
            return
        matches = matcher(pattern)
        for key in [key for key in self.near.keys() if matches(key)]:  # noqa: SIM118 - a method
            self.near.pop(key)

    async def _tell(self, wanted: list[tuple[str, str]]) -> bool:
        """Tell the store what to drop; what it could not be told is remembered."""
        done = True
        for place in range(0, len(wanted), _BATCH):
            batch = wanted[place : place + _BATCH]
            began = perf_counter()
            try:
                replies = await self.store.run_many([self._call(*one) for one in batch], timeout=self.patience)
            except StoreError as error:
                replies = [error] * len(batch)
            failed = [one for one, reply in zip(batch, replies, strict=True) if isinstance(reply, StoreError)]
            self._recent.add((one for one in batch if one not in failed), self.near.now())
            if not failed:
                self._timed("delete", perf_counter() - began)
                continue
            done = False
            self.remembered.put_back(failed)
            self.lost(next(reply for reply in replies if isinstance(reply, StoreError)).what)
        return done

    def _call(self, kind: str, name: str) -> Call:
        if kind == "key":
            return Call(FORGET, self.names.both(name))
        if kind == "tag":
            return Call(ADVANCE, (self.names.tag(name),), (self.kept,))
        return Call(DROP, (self.names.log,), (self.kept, name if kind == "pattern" else "", self.settings.patterns))

    # What the store tells

    def _changed(self, names: Sequence[str] | None) -> None:
        if names is None:
            self.near.clear()
            self.book.clear()
            return
        for name in names:
            kind, key = self.names.read(name)
            if kind == "entry":
                self.near.pop(key)
                self.hears.written(key)
            elif kind == "lease":
                self.hears.lease_changed(key)
            elif kind == "tag":
                self.book.forget(key)
                self.near.generation += 1
            else:
                self.book.log = None
                self.near.generation += 1

    def _told(self, there: bool) -> None:
        if there:
            self._back.set()
        else:
            self.lost("its connection is gone")

    # Away and back

    def lost(self, why: str) -> None:
        """Take the store for away, until it was asked and answered."""
        if not self.online:
            return
        self.online = False
        self._away_since = self.near.now()
        self.near.generation += 1
        self.remembered.put_back(self._recent.take(self._away_since))
        self._back.clear()
        self._trouble.set()
        self._reached(why)

    def complain(self, event: str, error: StoreError) -> None:
        """Log what the store refused; once a minute is enough for what may happen with every request."""
        now = self.near.now()
        if now >= self._complained.get(event, now):
            self._complained[event] = now + 60
            self.host.log.warning(event, error=str(error))

    async def keep(self) -> None:
        """Bring the store back whenever it is away; a task for as long as the cache runs."""
        while True:
            await self._trouble.wait()
            while not self.online:
                if self.store.available and await self._reconciled():
                    break
                self._back.clear()
                await within(self.host.clock, _PAUSE, self._back.wait())
            self._trouble.clear()

    async def _reconciled(self) -> bool:
        """Do what was remembered, and rely on the store again; return whether that could be done."""
        try:
            await self.store.run(OPEN_LOG, (self.names.log,), (self.kept,), timeout=self.patience)
        except StoreError:
            return False
        while len(self.remembered):
            if not await self._tell(self.remembered.take(_BATCH)):
                return False
        # From here to the end nothing waits: whatever is dropped from now on, the store is told at once.
        self.near.clear()
        self.book.clear()
        self.online = True
        self._reached(None)
        return True
