"""What statements cost, by their fingerprint; and the slow ones in the log, each with its plan."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from bedplate.component import Host
from bedplate.database.metrics import DURATION, MOST_STATEMENTS, OPERATIONS, STATEMENT_SECONDS, STATEMENTS

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["Statements", "fingerprint", "masked"]

_OTHER = "other"
#: Texts whose cells are remembered; services make few, and who writes values into them makes no end of them.
_REMEMBERED = 1_000
#: Slow statements that wait to be explained, seconds between two plans of the same one, characters that are logged.
_WAITING, _AGAIN, _SHOWN = 20, 60.0, 2_000

_LITERAL = re.compile(r"'(?:[^']|'')*'|\$(\w*)\$.*?\$\1\$|(?<![\w$.:])\d+(?:\.\d+)?(?![\w.])", re.DOTALL)
_LIST = re.compile(r"\?(?:::\w+)?(?:\s*,\s*\?(?:::\w+)?)+")
_PLACE = re.compile(r"\$\d+|\?|:\w+")
_COST = re.compile(r"\s+\(cost=.*")
_EXPLAINED = ("select", "insert", "update", "delete", "with", "values")


def masked(statement: str) -> str:
    """Return a statement on one line with ``?`` in the place of each value that is written into it."""
    return " ".join(_LITERAL.sub("?", statement).split())


def fingerprint(statement: str) -> str:
    """Return 12 hex digits that are the same for statements that differ in values, or in how many a list has."""
    plain = _LIST.sub("?", _PLACE.sub("?", masked(statement))).lower()
    return blake2b(plain.encode(), digest_size=6).hexdigest()


class _Known(NamedTuple):
    word: str
    duration: Any
    count: Any
    seconds: Any


class _Slow(NamedTuple):
    statement: str
    parameters: Any
    seconds: float


class Statements:
    """Counts and times the statements of one database; whatever is dear happens in :meth:`watch`, not with them.

    :param slow: seconds from which a statement is slow; 0 for none. :param engine: what explains them, None while away.
    """

    def __init__(self, host: Host, slow: float, engine: Callable[[], AsyncEngine | None]) -> None:
        self._host = host
        self._slow = slow or float("inf")
        self._engine = engine
        self._known: dict[str, _Known] = {}
        self._cells: dict[str, tuple[Any, Any]] = {}
        self._durations = {word: host.bind(DURATION, operation=word) for word in OPERATIONS}
        self._waiting: deque[_Slow] = deque(maxlen=_WAITING)
        self._woken = asyncio.Event()
        self._explained: dict[str, float] = {}

    def timed(self, statement: str, parameters: Any, seconds: float) -> None:
        """Count a statement that the driver has carried out."""
        known = self._known.get(statement) or self._meet(statement)
        if known.duration is None:
            return
        known.duration.observe(seconds)
        known.count.inc()
        known.seconds.inc(seconds)
        if seconds >= self._slow:
            self._waiting.append(_Slow(statement, parameters, seconds))
            self._woken.set()

    async def watch(self) -> None:
        """Log slow statements, with what the database plans to do for them."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                await self._tell(self._waiting.popleft())

    def _meet(self, statement: str) -> _Known:
        word = statement.split(None, 1)[0].lower() if statement.strip() else _OTHER
        if word in ("begin", "pragma", "explain"):  # what keeps order is not what somebody asked for
            return _Known(word, None, None, None)
        full = len(self._known) >= _REMEMBERED
        mark = _OTHER if full else fingerprint(statement)
        if mark not in self._cells:
            if len(self._cells) >= MOST_STATEMENTS:
                mark = _OTHER
            cells = self._host.bind(STATEMENTS, statement=mark), self._host.bind(STATEMENT_SECONDS, statement=mark)
            self._cells.setdefault(mark, cells)
        known = _Known(word, self._durations.get(word, self._durations[_OTHER]), *self._cells[mark])
        if not full:
            self._known[statement] = known
        return known

    async def _tell(self, slow: _Slow) -> None:
        mark, now = fingerprint(slow.statement), self._host.clock.monotonic()
        plan = ""
        if now - self._explained.get(mark, -_AGAIN) >= _AGAIN:
            if len(self._explained) >= _REMEMBERED:
                self._explained.clear()
            self._explained[mark] = now
            plan = await self._plan(slow)
        self._host.log.warning(
            "slow_statement",
            statement=masked(slow.statement)[:_SHOWN],
            fingerprint=mark,
            seconds=round(slow.seconds, 4),
            plan=plan or None,
        )

    async def _plan(self, slow: _Slow) -> str:
        """Return the plan, in which values are masked; it is made and not carried out. Empty when there is none."""
        engine = self._engine()
        if engine is None or not slow.statement.lstrip().lower().startswith(_EXPLAINED):
            return ""
        sqlite = engine.dialect.name == "sqlite"
        with suppress(Exception):  # a statement that cannot be explained is told without a plan
            async with asyncio.timeout(5.0), engine.connect() as connection:
                question = f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{slow.statement}"
                rows: Any = (await connection.exec_driver_sql(question, slow.parameters)).all()
            return "\n".join(_masked_line(str(row[3] if sqlite else row[0])) for row in rows)[:_SHOWN]
        return ""


def _masked_line(line: str) -> str:
    cost = _COST.search(line)
    end = len(line) if cost is None else cost.start()
    return _LITERAL.sub("?", line[:end]) + line[end:]
