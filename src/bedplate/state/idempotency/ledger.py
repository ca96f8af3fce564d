"""What is under way and what was done, as this process and the store know it."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Mapping
from secrets import token_hex
from typing import Any

from bedplate.component import BoundCounter, Host
from bedplate.state.idempotency import operations as ops
from bedplate.state.idempotency.errors import IdempotencyUnavailableError, KeyInUseError, KeyReusedError
from bedplate.state.idempotency.metrics import INCIDENTS, KINDS, RUNNING, UNSAVED
from bedplate.state.store import Call, Store, StoreError, StoreUnavailableError

__all__ = ["Ledger", "Mark"]

#: Records that wait for a store that is away; nothing new is begun meanwhile, so there are few.
_MOST_UNSAVED = 10_000
#: Seconds after the store is back in which no mark that has lapsed is taken over: its holder may have been unable to
#: renew it, or to say that it is done.
GRACE = 5.0


class Mark:
    """An attempt that is under way.

    :ivar attempt: 1, and one more each time that the one before failed or was given up: a fencing token. The store
        accepts no record of an earlier one, and neither should anything else that is given the number.
    :ivar is_lost: whether another attempt has taken over, as far as is known.
    """

    __slots__ = ("attempt", "is_lost", "key", "owner", "print")

    def __init__(self, key: str, print: str) -> None:
        self.key, self.print = key, print
        self.owner = token_hex(8)
        self.attempt = 0
        self.is_lost = False


class Ledger:
    """Begins, renews and ends attempts.

    :param lease: seconds for which a mark holds unless it is renewed. :param ttl: seconds for which a key is kept.
    """

    def __init__(self, store: Store, name: str, lease: float, ttl: float, host: Host) -> None:
        self._store = store
        self._host = host
        self._lease, self._ttl = int(lease * 1000), int(ttl * 1000)
        self._running: dict[Mark, None] = {}
        self._unsaved: dict[Mark, bytes] = {}
        self._orphans: dict[Mark, None] = {}
        self._back = float("-inf")
        self._incidents: Mapping[str, BoundCounter] = {
            kind: host.bind(INCIDENTS, idempotency=name, kind=kind) for kind in KINDS
        }
        self._running_cell = host.bind(RUNNING, idempotency=name)
        self._unsaved_cell = host.bind(UNSAVED, idempotency=name)

    @property
    def running(self) -> int:
        """Attempts that are under way in this process."""
        return len(self._running)

    @property
    def unsaved(self) -> int:
        """Records that wait for the store."""
        return len(self._unsaved)

    def incident(self, kind: str) -> None:
        """Count something that should be rare."""
        self._incidents[kind].inc()

    async def begin(self, key: str, print: str) -> Mark | bytes:
        """Begin what a key stands for; or return what was recorded when it was done.

        :raises IdempotencyUnavailableError: when the store is away. :raises KeyInUseError: when it is being done.
        :raises KeyReusedError: when the key stands for something else.
        """
        mark = Mark(key, print)
        settled = self._host.clock.monotonic() - self._back >= GRACE
        asked = (print, mark.owner, self._lease, self._ttl, 1 if settled else 0)
        try:
            said, number, rest = await self._store.run(ops.BEGIN, (key,), asked)
        except StoreError as error:
            if getattr(error, "sent", False):
                self._orphaned(mark)
            what = "The store is away: it cannot be told whether this was done before."
            raise IdempotencyUnavailableError(what, "Repeat it with the same key.") from error
        except CancelledError:
            self._orphaned(mark)
            raise
        if said == ops.NEW:
            if rest not in (b"", b"0"):
                self.incident("taken_over")
            mark.attempt = number
            self._running[mark] = None
            return mark
        if said == ops.DONE:
            record: bytes = rest
            return record
        if said == ops.RUNNING:
            raise KeyInUseError(max(1.0, number / 1000))
        raise KeyReusedError

    async def finish(self, mark: Mark, record: bytes) -> bool:
        """Record what came of an attempt; return whether that is done.

        While the store is away the record waits, and the attempt stays under way as long as this process runs.
        """
        try:
            ours = await self._store.run(ops.FINISH, (mark.key,), self._finishing(mark, record))
        except CancelledError:
            # It is done, whether or not this was heard; to say it twice changes nothing.
            self._keep(mark, record)
            raise
        except StoreError as error:
            self._keep(mark, record)
            self._host.log.warning("idempotency_not_recorded", error=str(error))
            return False
        self._running.pop(mark, None)
        return self._recorded(mark, bool(ours))

    async def release(self, mark: Mark) -> None:
        """Let another attempt begin at once; while the store is away, when it is back or the mark lapses."""
        self._running.pop(mark, None)
        try:
            await self._store.run(ops.RELEASE, (mark.key,), (mark.owner,))
        except StoreError:
            self._orphaned(mark)

    def abandon(self, mark: Mark) -> None:
        """Renew a mark no more: nobody knows what came of it. Another attempt may begin when it lapses.

        One that is done and only has to be recorded stays.
        """
        if mark not in self._unsaved and self._running.pop(mark, self) is not self:
            self.incident("abandoned")

    async def forget(self, key: str) -> bool:
        """Forget what was done; return whether there was something.

        :raises IdempotencyUnavailableError: when the store is away.
        """
        try:
            return bool(await self._store.run(ops.FORGET, (key,)))
        except StoreError as error:
            raise IdempotencyUnavailableError("The store is away.") from error

    def reached(self, available: bool) -> None:
        """Be told that the store went away or is back."""
        if available:
            self._back = self._host.clock.monotonic()

    async def renew(self) -> None:
        """Hold what is under way for longer; record and release what could not be.

        :raises StoreError: when the store is away.
        """
        self.count()
        for mark, record in list(self._unsaved.items()):
            ours = await self._store.run(ops.FINISH, (mark.key,), self._finishing(mark, record))
            self._unsaved.pop(mark, None)
            self._running.pop(mark, None)
            self._recorded(mark, bool(ours))
        for mark in list(self._orphans):
            await self._store.run(ops.RELEASE, (mark.key,), (mark.owner,))
            self._orphans.pop(mark, None)
        marks = list(self._running)
        calls = [Call(ops.RENEW, (mark.key,), (mark.owner, self._lease)) for mark in marks]
        replies = await self._store.run_many(calls) if calls else ()
        for mark, reply in zip(marks, replies, strict=True):
            if isinstance(reply, StoreUnavailableError):
                raise reply
            if reply == 0 and mark in self._running:
                mark.is_lost = True
        self.count()

    def count(self) -> None:
        """Set the gauges."""
        self._running_cell.set(float(len(self._running)))
        self._unsaved_cell.set(float(len(self._unsaved)))

    def _keep(self, mark: Mark, record: bytes) -> None:
        """Keep a record until the store has it."""
        if len(self._unsaved) < _MOST_UNSAVED:
            self._unsaved[mark] = record
        else:
            self._running.pop(mark, None)
            self.incident("unkept")

    def _orphaned(self, mark: Mark) -> None:
        """Remember an attempt that the store may believe to be under way, and is not."""
        if len(self._orphans) < _MOST_UNSAVED:
            self._orphans[mark] = None

    def _finishing(self, mark: Mark, record: bytes) -> tuple[Any, ...]:
        return (mark.print, mark.owner, mark.attempt, record, self._ttl)

    def _recorded(self, mark: Mark, ours: bool) -> bool:
        if not ours:
            mark.is_lost = True
            self.incident("fenced_off")
            self._host.log.error(
                "idempotency_fenced_off",
                reference=mark.key.rpartition("{")[2].rstrip("}"),
                attempt=mark.attempt,
                why="another attempt took over while this one was under way; both were executed",
            )
        return ours
