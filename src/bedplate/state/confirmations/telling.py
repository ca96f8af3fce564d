"""Telling of decisions and expiries: to one instance at least once, by an index that outlives every process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from bedplate.component import Host
from bedplate.state.confirmations.confirmation import Confirmation, Expired
from bedplate.state.confirmations.errors import ConfirmationError
from bedplate.state.confirmations.metrics import DECISIONS, EXPIRED, PENDING, TELLING_FAILURES, THINKING
from bedplate.state.confirmations.operations import CLAIM, DUE, FORGET, GET, KEEP, RUSH, TOLD
from bedplate.state.pausing import pause
from bedplate.state.store import Call, StoreError

if TYPE_CHECKING:
    from bedplate.state.confirmations.component import Confirmations

__all__ = ["Telling", "Told"]

T = TypeVar("T")
Told = Callable[[Any], Awaitable[None]]

#: The part of a claim that a handler may take, so that two seldom tell the same at once.
_PATIENCE = 2 / 3
_BATCH = 50
#: Milliseconds for which a decision is kept at least after an attempt to tell of it has failed.
_UNTOLD = 7 * 86_400_000
#: Seconds after which an instance looks for what those who died have left.
_LOOK = 15.0
_AGAIN = 1.0


class Telling(Generic[T]):
    """What is due is claimed by one instance, told, and forgotten when all who wanted to know have heard it."""

    def __init__(self, confirmations: Confirmations[T], host: Host) -> None:
        self._confirmations = confirmations
        self._host = host
        self._expired = host.bind(EXPIRED)
        self._failures = host.bind(TELLING_FAILURES)
        self._pending = host.bind(PENDING)
        self._decisions = {one: host.bind(DECISIONS, outcome=one) for one in ("confirmed", "rejected", "corrected")}
        self._thinking = host.bind(THINKING)
        self._decided: list[Confirmation[T]] = []
        self._wake = asyncio.Event()
        self._next = 0.0

    def decided(self, confirmation: Confirmation[T]) -> None:
        """Tell of a decision now."""
        self._decided.append(confirmation)
        self._wake.set()

    def expects(self, seconds: float) -> None:
        """Look again after so many seconds, if that is sooner than planned."""
        if self._host.clock.monotonic() + seconds < self._next:
            self._wake.set()

    def wake(self) -> None:
        """Look now: the store is back."""
        self._wake.set()

    async def run(self) -> None:
        """Serve, until cancelled."""
        while True:
            self._wake.clear()
            try:
                await self._rush()
                seconds = await self._tell()
            except StoreError:
                seconds = _AGAIN
            await self._rest(seconds)

    async def _rush(self) -> None:
        """Let what was decided here be due now, and leave the user's list."""
        while self._decided:
            batch, own = self._decided[:_BATCH], self._confirmations
            calls = [Call(RUSH, (own.due_key,), ("XX", 0, own.member(one.id, one.user))) for one in batch]
            calls += [Call(FORGET, (own.user_key(one.user),), (one.id,)) for one in batch]
            for reply in await own.store.run_many(calls):
                if isinstance(reply, StoreError):
                    raise reply
            del self._decided[: len(batch)]

    async def _tell(self) -> float:
        """Tell what is due; return the seconds until there is more."""
        own = self._confirmations
        while True:
            reply = await own.store.run(CLAIM, (own.due_key,), (int(own.retell * 1000), _BATCH))
            left, total, members = int(reply[0]), int(reply[1]), reply[2:]
            self._pending.set(float(total))
            if members:
                ids = [member.decode().partition(":")[::2] for member in members]
                documents = await own.store.run_many([Call(GET, (own.key(id),)) for id, _ in ids])
                both = zip(ids, documents, strict=True)
                ended = await asyncio.gather(
                    *(self._one(id, user, document) for (id, user), document in both), return_exceptions=True
                )
                for error in ended:
                    if isinstance(error, BaseException):
                        raise error  # what it was about is told when the claim is over
            if len(members) < _BATCH:
                return _LOOK if left < 0 else left / 1000

    async def _one(self, id: str, user: str, document: Any) -> None:
        own = self._confirmations
        member = own.member(id, user)
        if isinstance(document, StoreError):
            return  # it is claimed, and told when the claim is over
        if document is None:
            expired = Expired(id, user)
            if not await self._heard(own.expiry_handlers, expired):
                return
            message = orjson.dumps({"status": "expired", "id": id, "user": user})
            await own.store.publish(own.channel, message)
            await self._done(id, user, member)
            self._expired.inc()
            return
        try:
            confirmation, _ = own.codec.read(document)
        except ConfirmationError as error:
            self._failed("read", error, id)
            return
        if confirmation.pending:  # somebody's clock was ahead, or an old snapshot is back
            await own.store.run(DUE, (own.due_key,), (int(confirmation.expires.timestamp() * 1000) + 2, member))
        elif await self._heard(own.decision_handlers, confirmation):
            await self._done(id, user, member)
            self._count(confirmation)
        else:
            # If it ended before it is told, it would be taken for one that nobody has decided.
            await own.store.run(KEEP, (own.key(id),), (_UNTOLD, "GT"))

    def _count(self, confirmation: Confirmation[T]) -> None:
        """Count a decision where it is told, since who took it may not have learnt that he did."""
        self._decisions[confirmation.status].inc()
        if confirmation.decided_at is not None:
            self._thinking.observe(max(0.0, (confirmation.decided_at - confirmation.created).total_seconds()))

    async def _done(self, id: str, user: str, member: str) -> None:
        own = self._confirmations
        calls = [Call(FORGET, (own.user_key(user),), (id,)), Call(TOLD, (own.due_key,), (member,))]
        await own.store.run_many(calls)

    async def _heard(self, handlers: list[Told], what: Any) -> bool:
        """Say whether all who wanted to know have heard it."""
        heard = True
        for handler in handlers:
            try:
                async with asyncio.timeout(self._confirmations.retell * _PATIENCE):
                    await handler(what)
            except Exception as error:
                heard = False
                self._failed(getattr(handler, "__qualname__", repr(handler)), error, what.id)
        return heard

    def _failed(self, handler: str, error: Exception, id: str) -> None:
        self._failures.inc()
        self._host.log.error(
            "confirmation_telling_failed", confirmation=id, handler=handler, error=f"{type(error).__name__}: {error}"
        )

    async def _rest(self, seconds: float) -> None:
        seconds = min(seconds, _LOOK * random.uniform(0.7, 1.0))
        self._next = self._host.clock.monotonic() + seconds
        await pause(self._host.clock, seconds, self._wake)
