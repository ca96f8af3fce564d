"""Calls to the store, with its absence as an error of ours, and what is counted on them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from bedplate.component import Host
from bedplate.state.confirmations.errors import ConfirmationUnavailableError
from bedplate.state.confirmations.metrics import CONFLICTS, CREATED, UNAVAILABLE
from bedplate.state.store import Argument, Call, Operation, Store, StoreError

__all__ = ["Calls"]


class Calls:
    """Asks the store on behalf of confirmations."""

    def __init__(self, store: Store, host: Host) -> None:
        self._store = store
        self.log = host.log
        self.created = host.bind(CREATED)
        self.conflicts = host.bind(CONFLICTS)
        self._unavailable = host.bind(UNAVAILABLE)

    async def run(
        self, operation: Operation, keys: Sequence[str], args: Sequence[Argument] = (), *, again: bool = False
    ) -> Any:
        """Do one operation.

        :param again: it gives the same answer when it is done again, so a lost answer is asked for once more.
        :raises ConfirmationUnavailableError: when the store is away, or has no room.
        """
        try:
            return await self._store.run(operation, keys, args)
        except StoreError as error:
            if not (again and getattr(error, "sent", False) and self._store.available):
                raise self._away(error) from error
        try:
            return await self._store.run(operation, keys, args)
        except StoreError as error:
            # Whatever became of the second, the first may have been done.
            raise self._away(error, sent=True) from error

    async def run_many(self, calls: Sequence[Call]) -> list[Any]:
        """Do several operations.

        :raises ConfirmationUnavailableError: when the store refused any of them.
        """
        if not calls:
            return []
        try:
            replies = await self._store.run_many(calls)
        except StoreError as error:
            raise self._away(error) from error
        for reply in replies:
            if isinstance(reply, StoreError):
                raise self._away(reply) from reply
        return replies

    async def try_many(self, calls: Sequence[Call]) -> None:
        """Do several operations that somebody else does later if they fail."""
        with suppress(StoreError):
            await self._store.run_many(calls)

    def _away(self, error: StoreError, *, sent: bool = False) -> ConfirmationUnavailableError:
        self._unavailable.inc()
        return ConfirmationUnavailableError(str(error), sent=sent or getattr(error, "sent", False))
