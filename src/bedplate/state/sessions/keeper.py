"""Sessions in the store, as this process knows them: read, written, ended, and what holds while the store is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from time import monotonic as system_monotonic
from typing import Any

from bedplate.clock import SystemClock
from bedplate.component import BoundCounter, Host
from bedplate.state.sessions import operations as ops
from bedplate.state.sessions.endings import Endings
from bedplate.state.sessions.errors import SessionsUnavailableError
from bedplate.state.sessions.metrics import LOADS, NEAR, REMEMBERED, WAITING, WRITES
from bedplate.state.sessions.names import Names
from bedplate.state.sessions.near import Near
from bedplate.state.sessions.record import Entry
from bedplate.state.sessions.revoked import ALL, Revoked
from bedplate.state.sessions.settings import SessionsSettings
from bedplate.state.store import Argument, Call, Operation, Reply, Store, StoreError, StoreUnavailableError

__all__ = ["Keeper"]

#: Revocations that are told to the store in one go when it is back.
_BATCH = 200


class Keeper:
    """All that a process knows of sessions. One lives as long as its component runs.

    :param changed: is called when something waits for the store.
    """

    def __init__(
        self, store: Store, name: str, settings: SessionsSettings, names: Names, host: Host, changed: Callable[[], None]
    ) -> None:
        self.names = names
        self.settings = settings
        self.near = Near(settings.near, settings.fresh, settings.known)
        self.revoked = Revoked(settings.remembered, settings.longest)
        self.endings = Endings()
        clock = host.clock
        self.monotonic: Callable[[], float] = system_monotonic if isinstance(clock, SystemClock) else clock.monotonic
        #: Whether the time is known up to which everybody was signed out.
        self.is_told = False
        self._store = store
        self._changed = changed
        self.idle = int(settings.idle * 1000)
        self._longest = int(settings.longest * 1000)
        self._loads = {outcome: host.bind(LOADS, sessions=name, outcome=outcome) for outcome in _values(LOADS, 1)}
        self._writes: dict[tuple[str, str], BoundCounter] = {
            (kind, outcome): host.bind(WRITES, sessions=name, kind=kind, outcome=outcome)
            for kind in _values(WRITES, 1)
            for outcome in _values(WRITES, 2)
        }
        self._near, self._saved = self._loads["near"], self._writes["save", "done"]
        #: By user: what was saved, until the store tells of that change.
        self._own: dict[str, _Saving] = {}
        gauges = (host.bind(metric, sessions=name) for metric in (NEAR, REMEMBERED, WAITING))
        self._held, self._remembered, self._waiting = gauges

    # Reading

    def at_hand(self, tag: str, field: str) -> Entry | None:
        """Return a session that need not be asked for."""
        entry = self.near.get(tag, field, self.monotonic())
        if entry is not None:
            self._near.inc()
        return entry

    async def find(self, tag: str, secret: str, field: str) -> tuple[Entry | None, bool]:
        """Return a session from the store, None when there is none; and whether it is but what was known before.

        :raises SessionsUnavailableError: when the store is away and the session is not known.
        """
        try:
            if not self.is_told:
                await self.hear_of_everyone()
            entry = await self._load(tag, field)
            if entry is None and (before := self.names.previous_field(secret)) is not None:
                # The service's secret has been rotated since: the session gets its new name.
                await self._store.run(ops.TOUCH, (self.names.key(tag),), (before, self.idle, field))
                entry = await self._load(tag, field)
        except StoreError as error:
            return self._known(tag, field, error), True
        self._loads["unknown" if entry is None else "store"].inc()
        return entry, False

    async def _load(self, tag: str, field: str) -> Entry | None:
        if not self.near.is_real(tag):
            # A cookie that somebody made up must not make the server remember a key for us.
            reply = await self._store.run(ops.PROBE, (self.names.key(tag),), (field,))
            if reply[1] is None or not self.settings.near:
                return self.parsed(tag, field, reply)
        reading = _Reading(self, tag, field)
        await self._store.run(ops.LOAD, (self.names.key(tag),), (field,), parsed=reading)
        return reading.entry

    def _known(self, tag: str, field: str, error: StoreError) -> Entry:
        now = self.monotonic()
        self.near.lost(now)
        entry = self.near.known(tag, field, now)
        if entry is None or self.revoked.covers(tag, field, entry.created):
            self._loads["refused"].inc()
            raise SessionsUnavailableError("It cannot be told now whose session this is.") from error
        self._loads["known"].inc()
        return entry

    def parsed(self, tag: str, field: str, reply: Reply) -> Entry | None:
        """Take in what the store says of a session, in the order in which it says it."""
        now, raw = reply
        if raw is None:
            self.near.drop(tag, field)
            return None
        entry = Entry(raw, now, self.monotonic(), self.near.coherent)
        if entry.idle < now or self.revoked.covers(tag, field, entry.created):
            self.near.drop(tag, field)
            return None
        self.near.put(tag, field, entry)
        return entry

    async def list(self, tag: str) -> list[tuple[str, Entry]]:
        """Return the sessions of a user, by name, the last used first.

        :raises SessionsUnavailableError: when the store is away.
        """
        try:
            if not self.is_told:
                await self.hear_of_everyone()
            now, flat = await self._store.run(ops.LIST, (self.names.key(tag),))
        except StoreError as error:
            raise SessionsUnavailableError("Sessions cannot be read now.") from error
        found = []
        for field, raw in zip(flat[::2], flat[1::2], strict=True):
            name = field.decode()
            if name != ALL:
                entry = Entry(raw, now, self.monotonic())
                if entry.idle >= now and not self.revoked.covers(tag, name, entry.created):
                    found.append((name, entry))
        return sorted(found, key=lambda one: one[1].seen, reverse=True)

    async def hear_of_everyone(self) -> None:
        """Read the time up to which everybody was signed out.

        :raises StoreError: when the store is away.
        """
        found = await self._store.run(ops.EPOCH, (self.names.epoch,))
        self.everyone(int(found or 0))
        self.is_told = True

    def everyone(self, at: int) -> None:
        """Take in that everybody was signed out."""
        if at > self.revoked.everyone:
            self.revoked.everyone = at
            self.near.clear()
            self.endings.wake_all()

    def changed(self, tags: Iterable[str] | None) -> None:
        """Be told of users whose sessions changed; None when some may have been missed."""
        if tags is None:
            self._own.clear()
            self.near.lost(self.monotonic())
            return
        for tag in tags:
            self.near.drop(tag)
            own = self._own.pop(tag, None)
            if own is not None:
                own.told()

    # Writing

    async def begin(self, tag: str, field: str, about: bytes, data: bytes, instead_of: str = "") -> Entry:
        """Begin a session. :raises SessionsUnavailableError: when the store is away."""
        most = self.settings.most
        if not self.is_told:
            try:
                await self.hear_of_everyone()
            except StoreError as error:
                raise self._refused("begin", error) from error
        args = (field, instead_of, self.idle, self._longest, most, self.revoked.everyone, about, data)
        now, raw = await self._write("begin", ops.CREATE, tag, args)
        self._writes["begin", "done"].inc()
        return Entry(raw, now, self.monotonic())

    async def save(self, tag: str, field: str, read: Entry, data: bytes) -> tuple[Entry | None, bool]:
        """Replace the data of a session, unless somebody has since it was read.

        Return it as the store has it now, None when it has ended; and whether it was saved.

        :raises SessionsUnavailableError: when the store is away; perhaps it was saved then.
        """
        saving = _Saving(self, tag, field, read, data)
        args = (field, read.version, self.idle, data)
        try:
            now, raw, _ = await self._store.run(ops.SAVE, (self.names.key(tag),), args, parsed=saving)
        except StoreError as error:
            raise self._refused("save", error) from error
        finally:
            saving.awaited = False
            if self._own.get(tag) is saving:
                del self._own[tag]
        if saving.entry is not None:
            self._saved.inc()
            return saving.entry, True
        if raw is None or self.revoked.covers(tag, field, read.created):
            self._writes["save", "gone"].inc()
            return None, False
        return Entry(raw, now, self.monotonic()), False

    def await_own(self, tag: str, saving: _Saving) -> None:
        """Hold what was saved when the store tells of it."""
        self._own[tag] = saving

    def merged(self) -> None:
        """Count a save that had to take in another's change."""
        self._writes["save", "merged"].inc()

    async def touch(self, tag: str, field: str) -> None:
        """Say that a session is in use; while the store is away nothing is said."""
        try:
            _, raw = await self._store.run(ops.TOUCH, (self.names.key(tag),), (field, self.idle, ""))
        except StoreError:
            self._writes["touch", "refused"].inc()
        else:
            self.near.drop(tag)
            self._writes["touch", "done" if raw is not None else "gone"].inc()

    async def rotate(self, tag: str, field: str, new: str) -> Entry | None:
        """Give a session another secret; return it, None when it has ended.

        :raises SessionsUnavailableError: when the store is away; perhaps the old secret is good no more then.
        """
        now, raw = await self._write("rotate", ops.TOUCH, tag, (field, self.idle, new))
        entry = None if raw is None else Entry(raw, now, self.monotonic())
        if entry is None or self.revoked.covers(tag, field, entry.created):
            self._writes["rotate", "gone"].inc()
            return None
        self._writes["rotate", "done"].inc()
        return entry

    async def _write(self, kind: str, operation: Operation, tag: str, args: Sequence[Argument]) -> Reply:
        try:
            reply = await self._store.run(operation, (self.names.key(tag),), args)
        except StoreError as error:
            raise self._refused(kind, error) from error
        self.near.drop(tag)
        return reply

    def _refused(self, kind: str, error: StoreError) -> SessionsUnavailableError:
        # Perhaps it was written; what is held is asked for again, and known as long as nobody can answer.
        self.near.lost(self.monotonic())
        self._writes[kind, "refused"].inc()
        return SessionsUnavailableError("Sessions cannot be changed now.", sent=getattr(error, "sent", False))

    # Ending

    async def revoke(self, tag: str, fields: Sequence[str]) -> int:
        """End sessions of a user; return how many there were.

        :raises SessionsUnavailableError: when the store is away. They end here at once, and everywhere when it is back
            and this process still runs.
        """
        now, found = await self._end("revoke", tag, fields, ops.REVOKE, (self.names.channel, tag, *fields))
        for field in fields:
            self.revoked.add(tag, field, now, self.monotonic())
        self.count()
        return int(found)

    async def revoke_all(self, tag: str, stays: str = "") -> int:
        """End all sessions of a user, but for one; return how many there were.

        :raises SessionsUnavailableError: as :meth:`revoke`.
        """
        args = (self.names.channel, tag, 0, stays, self._longest)
        # Which others there are is not known while the store is away, so those wait for nothing.
        void, ended = await self._end("revoke_all", tag, () if stays else (ALL,), ops.REVOKE_ALL, args)
        for field in [name.decode() for name in ended] if stays else [ALL]:
            self.revoked.add(tag, field, void, self.monotonic())
        self.count()
        return len(ended)

    async def revoke_everyone(self) -> None:
        """End all sessions of everybody. :raises SessionsUnavailableError: when the store is away."""
        try:
            void = await self._store.run(ops.REVOKE_EVERYONE, (self.names.epoch,), (self.names.channel, 0))
        except StoreError as error:
            raise self._refused("revoke_all", error) from error
        self.everyone(int(void))
        self._writes["revoke_all", "done"].inc()

    async def _end(
        self, kind: str, tag: str, fields: Sequence[str], operation: Operation, args: Sequence[Argument]
    ) -> Reply:
        try:
            reply = await self._write(kind, operation, tag, args)
        except SessionsUnavailableError:
            # Whoever asked hears that it is not done. It holds here nevertheless, and is done as soon as can be.
            for field in fields:
                self.revoked.wait(tag, field)
                self.near.drop(tag, None if field == ALL else field)
            self.endings.wake(tag)
            self.count()
            self._changed()
            raise
        for field in fields:
            self.revoked.waiting.pop((tag, field), None)
        self._writes[kind, "done"].inc()
        self.endings.wake(tag)
        return reply

    def heard(self, message: bytes) -> None:
        """Take in what another instance has ended."""
        tag, field, at = message.decode().split(" ")
        if tag == ALL:
            self.everyone(int(at))
            return
        self.near.drop(tag, None if field == ALL else field)
        self.revoked.add(tag, field, int(at), self.monotonic())
        self.endings.wake(tag)

    async def tell_again(self) -> None:
        """Tell a store that is back what it may have missed, or forgotten.

        :raises StoreError: when it is away again; nothing that waits is lost.
        """
        for tag, field in list(self.revoked.waiting):
            if field == ALL:
                await self.revoke_all(tag)
            else:
                await self.revoke(tag, (field,))
        calls = [self._again(*deed) for deed in self.revoked.all()]
        for start in range(0, len(calls), _BATCH):
            for reply in await self._store.run_many(calls[start : start + _BATCH]):
                if isinstance(reply, StoreUnavailableError):
                    raise reply
        if self.revoked.everyone:
            await self._store.run(ops.REVOKE_EVERYONE, (self.names.epoch,), ("", self.revoked.everyone))
        await self.hear_of_everyone()
        self.count()

    def _again(self, tag: str, field: str, at: int) -> Call:
        key = self.names.key(tag)
        if field == ALL:
            return Call(ops.REVOKE_ALL, (key,), ("", tag, at, "", self._longest))
        return Call(ops.REVOKE, (key,), ("", tag, field))

    def count(self) -> None:
        """Set the gauges."""
        self._held.set(float(len(self.near)))
        self._remembered.set(float(len(self.revoked)))
        self._waiting.set(float(len(self.revoked.waiting)))


class _Reading:
    """Takes in a reply when it is parsed."""

    __slots__ = ("_field", "_keeper", "_tag", "entry")

    def __init__(self, keeper: Keeper, tag: str, field: str) -> None:
        self._keeper, self._tag, self._field = keeper, tag, field
        self.entry: Entry | None = None

    def __call__(self, reply: Reply) -> None:
        self.entry = self._keeper.parsed(self._tag, self._field, reply)


class _Saving:
    """Takes in that a session was saved, and holds it as soon as the store has told of that change.

    Then the store tells of every later one, too. It tells right after its reply, before whoever saved goes on; a change
    that is told of afterwards is another's.
    """

    __slots__ = ("_data", "_field", "_keeper", "_read", "_tag", "awaited", "entry")

    def __init__(self, keeper: Keeper, tag: str, field: str, read: Entry, data: bytes) -> None:
        self._keeper, self._tag, self._field, self._read, self._data = keeper, tag, field, read, data
        self.awaited = True
        self.entry: Entry | None = None

    def __call__(self, reply: Reply) -> None:
        keeper, tag = self._keeper, self._tag
        now, _, saved = reply
        keeper.near.drop(tag)
        if saved and not keeper.revoked.covers(tag, self._field, self._read.created):
            self.entry = self._read.saved(self._data, now, keeper.monotonic(), keeper.idle)
            if self.awaited:
                keeper.await_own(tag, self)

    def told(self) -> None:
        """Hold what was saved, unless it has ended meanwhile."""
        keeper, entry = self._keeper, self.entry
        if entry is not None and not keeper.revoked.covers(self._tag, self._field, entry.created):
            entry.coherent = keeper.near.coherent
            keeper.near.put(self._tag, self._field, entry)


def _values(metric: Any, label: int) -> Sequence[str]:
    found: Sequence[str] = metric.labels[label].values
    return found
