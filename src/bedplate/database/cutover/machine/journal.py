"""The journal of a worker: state, checkpoint and chunk in one transaction, for as long as the cutover is its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.cutover.machine.record import Book
from bedplate.database.cutover.work import State, TakenOver

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["RowJournal"]

#: Which wish is fulfilled by entering a state, from another one or from any; and what is wanted from then on.
_FULFILLED: dict[tuple[str, str], tuple[str, str]] = {
    ("", "switched"): ("switched", "verified"),
    ("switched", "verified"): ("rolled-back", "verified"),
    ("", "none"): ("rolled-back", ""),
    ("", "finalized"): ("finalized", ""),
}


class RowJournal:
    """A :class:`~bedplate.database.cutover.work.Journal` in the rows of one cutover.

    :param connection: the worker's, whose session holds the advisory lock, so that no other worker can write here while
        this session lives. The epoch is checked besides: steps have further connections, which may outlive it.
    :param told: is told of each event, too, once it is true.
    """

    def __init__(
        self,
        connection: Connection[Any],
        name: str,
        epoch: int,
        told: Callable[[str, Mapping[str, Any]], None] = lambda event, detail: None,
    ) -> None:
        self._connection = connection
        self.book = Book(connection, name)
        self.epoch = epoch
        self._told = told
        self._untold: list[tuple[int, str, Mapping[str, Any]]] = []

    @property
    def state(self) -> State:
        """How far it is.

        :raises TakenOver: when the row is gone, or another worker's.
        """
        rows = ask(
            self._connection,
            f"SELECT state FROM {self.book.cutovers} WHERE name = %s AND epoch = %s",
            (self.book.name, self.epoch),
        )
        if not rows:
            raise TakenOver
        found: State = rows[0][0]
        return found

    def enter(self, state: State) -> None:
        """Make this the state, and the wish for it a fulfilled one; ``none`` forgets all parts and the last verdict."""
        forgotten: dict[str, Any] = {"verified_at": None, "verdict": {}, "approved_by": ""} if state == "none" else {}
        before = self.state
        if not self.book.set(epoch=self.epoch, state=state, changed_at="now", **forgotten):
            raise TakenOver
        # Together with the state: a rollback that were still wanted once it is done would be done again, further back.
        wish, then = _FULFILLED.get((before, state), _FULFILLED.get(("", state), ("", "")))
        if wish:
            self.book.set(epoch=self.epoch, still={"wanted": wish}, wanted=then)
        if state == "none":
            ask(self._connection, f"DELETE FROM {self.book.parts} WHERE cutover = %s", (self.book.name,))
        self.note(state, before=before)

    def load(self, part: str) -> Mapping[str, Any]:
        """Return what was saved last for a part; empty before."""
        rows = ask(
            self._connection,
            f"SELECT progress FROM {self.book.parts} WHERE cutover = %s AND part = %s",
            (self.book.name, part),
        )
        return dict(rows[0][0]) if rows else {}

    def save(self, part: str, progress: Mapping[str, Any]) -> None:
        """Keep the progress of a part; empty progress forgets it."""
        if not progress:
            self.state  # noqa: B018 - raises when it is another worker's
            ask(
                self._connection,
                f"DELETE FROM {self.book.parts} WHERE cutover = %s AND part = %s",
                (self.book.name, part),
            )
            return
        rows = ask(
            self._connection,
            f"""INSERT INTO {self.book.parts} AS p (cutover, part, progress, saved_at)
            SELECT name, %s, %s::json, clock_timestamp() FROM {self.book.cutovers} WHERE name = %s AND epoch = %s
            ON CONFLICT (cutover, part) DO UPDATE SET progress = excluded.progress, saved_at = excluded.saved_at
            RETURNING 1""",
            (part, json.dumps(dict(progress), default=str), self.book.name, self.epoch),
        )
        if not rows:
            raise TakenOver

    def note(self, event: str, **detail: Any) -> None:
        """Write an event on the time line."""
        self._untold.append((self.book.happened(event, "worker", detail), event, detail))
        self.tell()

    def tell(self) -> None:
        """Tell the events that are true by now: those of a transaction once it is committed, or never."""
        from psycopg.pq import TransactionStatus

        if not self._untold or self._connection.info.transaction_status != TransactionStatus.IDLE:
            return
        untold, self._untold = self._untold, []
        ids = [number for number, *_ in untold]
        there = {
            row[0] for row in ask(self._connection, f"SELECT id FROM {self.book.events} WHERE id = ANY(%s)", (ids,))
        }
        for number, event, detail in untold:
            if number in there:
                self._told(event, detail)
