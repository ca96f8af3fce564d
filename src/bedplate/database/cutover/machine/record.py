"""The row of a cutover, and the statements by which it is read and changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from bedplate.database.cutover.asking import CutoverError, ask, quoted
from bedplate.database.cutover.plan import Plan
from bedplate.database.cutover.work import State

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Book", "Event", "Record", "Task", "Trouble", "Wanted"]

#: Where people want a cutover to be; empty until somebody wants something.
Wanted = Literal["", "verified", "switched", "rolled-back", "finalized"]
#: What a worker is to do once, besides.
Task = Literal["", "verify", "repair"]
#: Whether the last error is waiting for somebody (``waits``), tried again (``retries``), or only told (``told``).
Trouble = Literal["", "waits", "retries", "told"]

_FIELDS = (
    "state, plan, wanted, paused, throttle, task, epoch, runner, trouble, error, mend, asked_by, approved_by, verdict, "
    "created_at, changed_at, verified_at"
)


_HOLDER = """SELECT a.pid, a.application_name FROM pg_catalog.pg_locks l
JOIN pg_catalog.pg_database d ON d.oid = l.database JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() AND l.objsubid = 1
  AND ((l.classid::bigint << 32) | l.objid::bigint) = %s"""


@dataclass(frozen=True, slots=True)
class Record:
    """How a cutover is, as its row says.

    :ivar throttle: percent of full speed. :ivar epoch: how many workers have had it. :ivar runner: the last of them.
    :ivar verdict: of the last comparison: ``rows`` and ``differing`` by table, and when.
    :ivar verified_at: when both sides were last proven to be equal, by the database's clock.
    """

    name: str
    state: State
    plan: Plan
    wanted: Wanted
    paused: bool
    throttle: int
    task: Task
    epoch: int
    runner: str
    trouble: Trouble
    error: str
    mend: str
    asked_by: str
    approved_by: str
    verdict: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime
    verified_at: datetime | None

    @property
    def active(self) -> bool:
        """Whether its tables are in its hands: something is wanted, or has been done that is not at its end."""
        return self.state != "finalized" and (bool(self.wanted) or self.state != "none")

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{name: getattr(self, name) for name in ("name", "state", "wanted", "paused", "throttle", "task")},
            "plan": {**asdict(self.plan), "tables": list(self.plan.tables)},
            **{name: getattr(self, name) for name in ("epoch", "runner", "trouble", "error", "mend")},
            "askedBy": self.asked_by,
            "approvedBy": self.approved_by,
            "verdict": dict(self.verdict),
            "createdAt": self.created_at.isoformat(),
            "changedAt": self.changed_at.isoformat(),
            "verifiedAt": None if self.verified_at is None else self.verified_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a cutover, and when by the database's clock."""

    id: int
    at: datetime
    event: str
    actor: str
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "id": self.id,
            "at": self.at.isoformat(),
            "event": self.event,
            "actor": self.actor,
            "detail": dict(self.detail),
        }


class Book:
    """The rows of one cutover, through one connection; names are in full, as steps see the system's alone.

    :raises CutoverError: when the tables are not there.
    """

    def __init__(self, connection: Connection[Any], name: str) -> None:
        self._connection = connection
        self.name = name
        found = ask(
            connection,
            """SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            WHERE c.oid = to_regclass('bedplate_cutovers')""",
        )
        if not found:
            what = "The tables in which cutovers are kept are not there."
            raise CutoverError(what, "Start the service once, or `bedplate cutover start`, which makes them.")
        schema = found[0][0]
        self.cutovers = quoted(schema, "bedplate_cutovers")
        self.parts = quoted(schema, "bedplate_cutover_parts")
        self.events = quoted(schema, "bedplate_cutover_events")

    @property
    def key(self) -> int:
        """The key of the advisory lock that the worker's session holds, in this database."""
        return _key(f"bedplate cutover {self.name}")

    def read(self, *, locked: bool = False) -> Record | None:
        """Return the row, None before anybody wanted anything; :param locked: until the transaction ends."""
        lock = " FOR UPDATE" if locked else ""
        rows = ask(self._connection, f"SELECT {_FIELDS} FROM {self.cutovers} WHERE name = %s{lock}", (self.name,))
        if not rows:
            return None
        state, plan, *rest = rows[0]
        return Record(self.name, state, Plan(**plan), *rest)

    def alone(self) -> None:
        """Let nobody else begin a cutover in this database until the transaction ends."""
        ask(self._connection, "SELECT pg_advisory_xact_lock(%s)", (_key("bedplate cutover start"),))

    def claim(self, plan: Plan) -> None:
        """Let no other session move the tables of a plan while this one lives, whatever its cutover is called.

        Two of them would take each other's copies for their own.

        :raises CutoverError: when another one does.
        """
        for table in plan.tables:
            key = self._claimed(table)
            if key is None or ask(self._connection, "SELECT pg_try_advisory_lock(%s)", (key,))[0][0]:
                continue
            holder = ask(self._connection, _HOLDER, (key,))
            who = f"process {holder[0][0]} ({holder[0][1]})" if holder else "a process that ends just now"
            what = f"{table} is moved by another worker already, {who}, for a cutover of another name or schema."
            self.release(plan)
            raise CutoverError(what, "Move each table by one cutover only: end the other one, or roll this one back.")

    def release(self, plan: Plan) -> None:
        """Leave the tables of a plan to others, where nothing is wanted any more."""
        for table in plan.tables:
            # Of what is not held this only warns.
            ask(self._connection, "SELECT pg_advisory_unlock(%s)", (self._claimed(table) or 0,))

    def _claimed(self, table: str) -> int | None:
        # By its name, which stays with what is live, and not by the schema that its row is in.
        rows = ask(
            self._connection,
            """SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)""",
            (table,),
        )
        return _key(f"bedplate cutover of {rows[0][0]}") if rows else None

    def others(self, plan: Plan, *, begun: bool = True) -> list[tuple[str, str]]:
        """Return the tables of a plan, as it calls them, that another cutover under way moves, with that one's name.

        :param begun: only those that have done something; else also those that are only wanted.
        """
        return [
            (table, name)
            for table, name in ask(
                self._connection,
                f"""SELECT mine, name FROM unnest(%s::text[]) mine, {self.cutovers} c,
                  json_array_elements_text(c.plan -> 'tables') its
                WHERE c.name <> %s AND (c.state NOT IN ('none', 'finalized') OR NOT %s AND c.wanted <> '')
                  AND to_regclass(mine) = to_regclass(its) ORDER BY 1, 2""",
                (list(plan.tables), self.name, begun),
            )
        ]

    def make(self, plan: Plan) -> None:
        """Make the row, if there is none."""
        ask(
            self._connection,
            f"""INSERT INTO {self.cutovers} (name, state, plan, wanted, paused, throttle, task, epoch, runner, trouble,
              error, mend, asked_by, approved_by, verdict, created_at, changed_at)
            VALUES (%s, 'none', %s, '', false, 100, '', 0, '', '', '', '', '', '', '{{}}', clock_timestamp(),
              clock_timestamp()) ON CONFLICT DO NOTHING""",
            (self.name, plan_json(plan)),
        )

    def set(self, *, epoch: int | None = None, still: Mapping[str, Any] | None = None, **values: Any) -> bool:
        """Change fields of the row; return whether it was there, and as it was thought to be.

        :param epoch: only while the row has this one. :param still: only while fields are this; people may have wanted
            something else meanwhile. :param values: ``now`` stands for the database's time.
        """
        pairs, given = [], []
        for field, value in values.items():
            now = value == "now" and field.endswith("_at")
            pairs.append(f"{field} = {'clock_timestamp()' if now else '%s'}")
            given += [] if now else [json.dumps(value) if isinstance(value, dict) else value]
        known = {**({} if epoch is None else {"epoch": epoch}), **(still or {})}
        condition = "".join(f" AND {field} = %s" for field in known)
        rows = ask(
            self._connection,
            f"UPDATE {self.cutovers} SET {', '.join(pairs)} WHERE name = %s{condition} RETURNING 1",
            (*given, self.name, *known.values()),
        )
        return bool(rows)

    def happened(self, event: str, actor: str = "", detail: Mapping[str, Any] | None = None) -> int:
        """Write an event on the time line, in the open transaction or one of its own; return its number."""
        rows = ask(
            self._connection,
            f"""INSERT INTO {self.events} (cutover, at, event, actor, detail)
            VALUES (%s, clock_timestamp(), %s, %s, %s) RETURNING id""",
            (self.name, event[:100], actor[:200], json.dumps(dict(detail or {}), default=str)),
        )
        return int(rows[0][0])

    def timeline(self, most: int = 100, after: int = 0) -> list[Event]:
        """Return the latest events after one, newest first."""
        rows = ask(
            self._connection,
            f"""SELECT id, at, event, actor, detail FROM {self.events} WHERE cutover = %s AND id > %s
            ORDER BY id DESC LIMIT %s""",
            (self.name, after, most),
        )
        return [Event(*row) for row in rows]

    def progress(self) -> dict[str, dict[str, Any]]:
        """Return how far every part is."""
        rows = ask(
            self._connection, f"SELECT part, progress FROM {self.parts} WHERE cutover = %s ORDER BY part", (self.name,)
        )
        return {part: dict(progress) for part, progress in rows}

    def runs(self) -> bool:
        """Say whether a worker's session holds the cutover now."""
        rows = ask(
            self._connection,
            """SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
            WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() AND l.objsubid = 1
              AND ((l.classid::bigint << 32) | l.objid::bigint) = %s)""",
            (self.key,),
        )
        return bool(rows[0][0])


def _key(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def plan_json(plan: Plan) -> str:
    """Return a plan as JSON."""
    return json.dumps({**asdict(plan), "tables": list(plan.tables)})
