"""Deleting much: asked for, confirmed, then done, on whichever instance and however often it is tried."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from bedplate.component import Host, Spec
from bedplate.state.confirmations import Confirmation, Confirmations
from bedplate.state.sessions import Sessions
from tradesense.components.imports import Imports
from tradesense.components.records import Records
from tradesense.components.signals.deletions import DELETED, METRICS, PANELS
from tradesense.records import imports, trades, users
from tradesense.records.users import User

__all__ = ["Deletion", "Deletions"]


@dataclass(frozen=True, slots=True)
class Deletion:
    """What is to be deleted.

    :ivar trades: how many trades go with it, as it was when it was asked for. :ivar import_id: whose trades, of an
        import.
    """

    what: Literal["account", "trades", "import"]
    trades: int
    import_id: str = ""


class Deletions:
    """Deletes accounts, all trades, or those of an import, once their user has confirmed it.

    The decision is taken once; the deletion itself may be tried again and does the same then.
    """

    def __init__(
        self, *, records: Records, sessions: Sessions, imports: Imports, confirmations: Confirmations[Deletion]
    ) -> None:
        self._records = records
        self._sessions = sessions
        self._imports = imports
        self.confirmations = confirmations
        self._host: Host | None = None
        confirmations.on_decision(self._decided)

    @property
    def spec(self) -> Spec:
        """What it is."""
        return Spec(
            kind="deletions",
            summary="Deletes what users have confirmed to have deleted.",
            needs=(self._records, self._sessions, self._imports, self.confirmations),
            metrics=METRICS,
            panels=PANELS,
        )

    @asynccontextmanager
    async def lifespan(self, host: Host) -> AsyncIterator[None]:
        """Count what is deleted while inside."""
        self._host = host
        for what in ("account", "trades", "import"):
            host.bind(DELETED, what=what)
        yield
        self._host = None

    async def ask(
        self, user: User, what: Literal["account", "trades", "import"], import_id: str = ""
    ) -> Confirmation[Deletion] | None:
        """Ask a user whether that is to be deleted; None when there is no such import.

        :raises ConfirmationUnavailableError: when nobody can be asked now.
        """
        async with self._records.reading() as connection:
            if what == "import":
                found = await imports.by_id(connection, user.id, import_id)
                if found is None:
                    return None
                count = found.added
            else:
                count = await trades.count(connection, user.id)
        return await self.confirmations.create(user.id, Deletion(what, count, import_id))

    async def _decided(self, confirmation: Confirmation[Deletion]) -> None:
        if confirmation.status != "confirmed":
            return
        user_id, asked = confirmation.user, confirmation.payload
        if asked.what == "account":
            # Nobody can sign in again between the two.
            async with self._records.writing() as connection:
                await users.delete(connection, user_id)
            await self._records.changed(user_id)
            await self._sessions.revoke_all(user_id)
        else:
            await self._imports.undo(user_id, asked.import_id)
        if self._host is not None:
            self._host.log.info("deleted", what=asked.what, user_id=user_id, confirmation=confirmation.id)
            self._host.bind(DELETED, what=asked.what).inc()
