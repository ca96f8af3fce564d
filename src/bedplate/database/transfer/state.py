"""How far a transfer is, kept in the target: what has been loaded and the note of it are in one transaction.

While the note does not say ``finished``, the target is not whole, and services do not start on it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from bedplate.database.transfer.errors import TransferError
from bedplate.database.transfer.schema import OWN
from bedplate.database.transfer.side import Key, Side

__all__ = ["Noted", "Place", "State"]

_TABLES = f"{OWN}_tables"


@dataclass(frozen=True, slots=True)
class Noted:
    """The note of a transfer. ``early`` and ``late`` are statements that bring back what was set aside."""

    source: str
    shown: str
    plan: str
    state: str
    early: tuple[str, ...]
    late: tuple[str, ...]
    log: str
    report: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """How far a table is: the last key, how many rows, and whether all."""

    after: Key | None
    rows: int
    copied: bool


class State:
    """The note in a target; each run takes it over from whichever was before, which then stops at its next chunk."""

    def __init__(self, target: Side) -> None:
        self._target = target
        self._runner = uuid4().hex

    def exists(self) -> bool:
        """Say whether there is a note."""
        if self._target.dialect == "sqlite":
            found = self._target.execute(f"SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '{OWN}'")
        else:
            found = self._target.execute(
                f"SELECT 1 FROM pg_class WHERE relname = '{OWN}' AND relnamespace = current_schema()::regnamespace"
            )
        return bool(found)

    def create(self, source: Side, plan: str, tables: Sequence[str], early: Sequence[str], late: Sequence[str]) -> None:
        """Begin the note; in the transaction that also makes the tables."""
        execute = self._target.execute
        execute(
            f"CREATE TABLE {OWN} (id integer PRIMARY KEY, source text NOT NULL, shown text NOT NULL, "
            "plan text NOT NULL, state text NOT NULL, runner text NOT NULL, early text NOT NULL, late text NOT NULL, "
            "log text NOT NULL, report text NOT NULL, began text NOT NULL)"
        )
        execute(
            f"CREATE TABLE {_TABLES} (name text PRIMARY KEY, after text, rows bigint NOT NULL, copied integer NOT NULL)"
        )
        values = (source.identity, source.shown, plan, "copying", self._runner, _json(early), _json(late), "", "{}")
        marks = ", ".join("?" * (len(values) + 1))
        execute(f"INSERT INTO {OWN} VALUES (1, {marks})", (*values, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z"))
        for name in tables:
            execute(f"INSERT INTO {_TABLES} VALUES (?, NULL, 0, 0)", (name,))

    def read(self) -> Noted:
        """Return the note."""
        row = self._target.execute(f"SELECT source, shown, plan, state, early, late, log, report FROM {OWN}")[0]
        source, shown, plan, state, early, late, log, report = row
        back = tuple(json.loads(early)), tuple(json.loads(late))
        return Noted(source, shown, plan, state, *back, log, json.loads(report))

    def take(self) -> None:
        """Become the one that goes on; in a transaction of its own."""
        self._target.execute(f"UPDATE {OWN} SET runner = ?", (self._runner,))

    def hold(self) -> None:
        """Make sure, in the present transaction and until its end, that nobody else goes on.

        :raises TransferError: when somebody does.
        """
        lock = " FOR UPDATE" if self._target.dialect == "postgresql" else ""
        rows = self._target.execute(f"SELECT runner FROM {OWN}{lock}")
        if not rows or rows[0][0] != self._runner:
            what = "Another run has taken over this transfer."
            raise TransferError(what, "Let that one end, or end it and run the same again.")

    def set(self, **values: str | Sequence[str] | Mapping[str, Any]) -> None:
        """Change what is noted; in the transaction of what it is about."""
        names = ", ".join(f"{name} = ?" for name in values)
        texts = [value if isinstance(value, str) else _json(value) for value in values.values()]
        self._target.execute(f"UPDATE {OWN} SET {names}", texts)

    def place(self, table: str) -> Place:
        """Return how far a table is."""
        rows = self._target.execute(f"SELECT after, rows, copied FROM {_TABLES} WHERE name = ?", (table,))
        after, number, copied = rows[0]
        return Place(None if after is None else _key(after), int(number), bool(copied))

    def reached(self, table: str, place: Place) -> None:
        """Note how far a table is; in the transaction of its rows."""
        after = None if place.after is None else _text(place.after)
        statement = f"UPDATE {_TABLES} SET after = ?, rows = ?, copied = ? WHERE name = ?"
        self._target.execute(statement, (after, place.rows, int(place.copied), table))


def _json(value: Any) -> str:
    return json.dumps(value)


def _text(key: Key) -> str:
    """Return a key as text, its values as they are."""
    parts: list[list[Any]] = []
    for value in key:
        if isinstance(value, bytes):
            parts.append(["bytes", value.hex()])
        elif isinstance(value, float):
            parts.append(["float", value.hex()])
        else:
            parts.append(["", value])
    return json.dumps(parts)


def _key(text: str) -> Key:
    def made(kind: str, value: Any) -> Any:
        return bytes.fromhex(value) if kind == "bytes" else float.fromhex(value) if kind == "float" else value

    return tuple(made(kind, value) for kind, value in json.loads(text))
