"""What statements cost, by their fingerprint; and the slow ones in the log, each with its plan."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from bedplate.component import Host
from bedplate.database.metrics import DURATION, MOST_STATEMENTS, OPERATIONS, STATEMENT_SECONDS, STATEMENTS
from bedplate.telemetry.metrics.instruments import counting

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
#: What keeps order is not what somebody asked for.
_QUIET = ("begin", "pragma", "explain")
_EXPLAINED = ("select", "insert", "update", "delete", "with", "values")


def masked(statement: str) -> str:
    """Return a statement on one line with ``?`` in the place of each value that is written into it."""
    return " ".join(_LITERAL.sub("?", statement).split())


def fingerprint(statement: str) -> str:
    """Return 12 hex digits that are the same for statements that differ in values, or in how many a list has."""
    plain = _LIST.sub("?", _PLACE.sub("?", masked(statement))).lower()
    return blake2b(plain.encode(), digest_size=6).hexdigest()


class _Counts(dict[str, Callable[[float], None]]):
    """What counts the seconds of a statement, by its text: one that is known costs no call to be found."""

    def __init__(self, meet: Callable[[str], Callable[[float], None]]) -> None:
        super().__init__()
        self._meet = meet

    def __missing__(self, statement: str) -> Callable[[float], None]:
        counts = self._meet(statement)
        if len(self) < _REMEMBERED:
            self[statement] = counts
        return counts


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
        self._engine = engine
        #: From how many seconds on a statement is to be told of by :meth:`tell`.
        self.slow = slow or float("inf")
        #: What is called with the seconds of a statement that the driver has carried out, by the statement's text.
        self.counts: Mapping[str, Callable[[float], None]] = _Counts(self._counted)
        self._cells: dict[str, tuple[Any, Any]] = {}
        self._durations = {word: host.bind(DURATION, operation=word) for word in OPERATIONS}
        self._waiting: deque[_Slow] = deque(maxlen=_WAITING)
        self._woken = asyncio.Event()
        self._explained: dict[str, float] = {}

    def tell(self, statement: str, parameters: Any, seconds: float) -> None:
        """Have :meth:`watch` tell of a statement that was slow."""
        if _word(statement) not in _QUIET:
            self._waiting.append(_Slow(statement, parameters, seconds))
            self._woken.set()

    async def watch(self) -> None:
        """Log slow statements, with what the database plans to do for them."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                await self._tell(self._waiting.popleft())

    def _counted(self, statement: str) -> Callable[[float], None]:
        word = _word(statement)
        if word in _QUIET:
            return _uncounted
        mark = _OTHER if len(self.counts) >= _REMEMBERED else fingerprint(statement)
        if mark not in self._cells:
            if len(self._cells) >= MOST_STATEMENTS:
                mark = _OTHER
            cells = self._host.bind(STATEMENTS, statement=mark), self._host.bind(STATEMENT_SECONDS, statement=mark)
            self._cells.setdefault(mark, cells)
        return counting(self._durations.get(word, self._durations[_OTHER]), *self._cells[mark])

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


def _word(statement: str) -> str:
    return statement.split(None, 1)[0].lower() if statement.strip() else _OTHER


def _uncounted(seconds: float) -> None:
    pass


def _masked_line(line: str) -> str:
    cost = _COST.search(line)
    end = len(line) if cost is None else cost.start()
    return _LITERAL.sub("?", line[:end]) + line[end:]
