"""What is to be given back: locks and turns of those who do not want them any more, whatever became of their call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bedplate.state.locks.operations import RELEASE
from bedplate.state.store import Call, Store, StoreError

if TYPE_CHECKING:
    from bedplate.state.locks.lock import Place
    from bedplate.state.locks.timers import Timers

__all__ = ["Debt", "Debts"]

#: Seconds until what could not be given back, or may arrive at the store only later, is given back once more.
_AGAIN = 1.0
_LONGEST = 8.0


class Debt:
    """One token that is to have nothing.

    :param until: the monotonic time at which the store has forgotten it by itself.
    :param certain: nothing of it is under way to the store any more.
    """

    __slots__ = ("_debts", "certain", "delay", "moment", "place", "token", "until")

    def __init__(self, debts: Debts, place: Place, token: str, until: float, certain: bool) -> None:
        self._debts = debts
        self.place = place
        self.token = token
        self.until = until
        self.certain = certain
        self.delay = _AGAIN
        self.moment = 0

    def due(self, now: float) -> None:
        """See :class:`~bedplate.state.locks.timers.Timed`."""
        self._debts.settle(self)


class Debts:
    """Gives back in the background, again until the store has confirmed it or the time of what was held is over.

    A call that was cancelled or not answered may reach the store after what gives it back: a server that hangs reads
    its connections in any order when it goes on. So that is done once more until nothing can be under way.

    :param granted: is given the reply of a release, which may name the next holder, and when it was asked for.
    """

    def __init__(
        self,
        store: Store,
        timers: Timers,
        now: Callable[[], float],
        granted: Callable[[Any, float], None],
    ) -> None:
        self._store = store
        self._timers = timers
        self._now = now
        self._granted = granted
        self._open: dict[str, Debt] = {}
        self._ready: dict[str, Debt] = {}
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def owe(self, place: Place, token: str, until: float, *, certain: bool) -> None:
        """Give back whatever a token has."""
        debt = self._open.get(token)
        if debt is None:
            debt = self._open[token] = Debt(self, place, token, until, certain)
        debt.certain = debt.certain or certain
        self.settle(debt)

    def settle(self, debt: Debt) -> None:
        """Try now."""
        self._timers.remove(debt)
        self._ready[debt.token] = debt
        self._some.set()

    def settle_all(self) -> None:
        """Try all of them now: the store is back."""
        for debt in self._open.values():
            self.settle(debt)

    async def run(self) -> None:
        """Serve, until cancelled."""
        while True:
            await self._some.wait()
            await self.flush()

    async def flush(self) -> None:
        """Try what is ready once."""
        self._some.clear()
        ready, self._ready = list(self._ready.values()), {}
        began = self._now()
        due = [debt for debt in ready if debt.until > began]
        for debt in ready:
            if debt.until <= began:
                self._open.pop(debt.token, None)
        if not due:
            return
        calls = [Call(RELEASE, debt.place.keys, (debt.token,)) for debt in due]
        certain = [debt.certain for debt in due]
        try:
            replies = await self._store.run_many(calls)
        except StoreError as error:
            replies = [error] * len(due)
        except BaseException:
            self._later(due)
            raise
        for debt, reply, final in zip(due, replies, certain, strict=True):
            if not isinstance(reply, StoreError):
                self._granted(reply, began)
                if final:
                    self._open.pop(debt.token, None)
                    self._ready.pop(debt.token, None)
                    continue
            if debt.token not in self._ready:
                self._later([debt])

    def _later(self, debts: list[Debt]) -> None:
        for debt in debts:
            self._timers.add(debt, self._now() + debt.delay)
            debt.delay = min(2 * debt.delay, _LONGEST)
