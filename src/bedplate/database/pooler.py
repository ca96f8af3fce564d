"""Behind a pooler that gives a server connection for a transaction only: what works there, and what cannot.

PgBouncer before 1.21 knows nothing of prepared statements, and a session's state stays behind with the server
connection that it was made on, for whoever gets that next. So statements are prepared without a name, within their
transaction, and what would make state is refused before it is sent.
"""

from __future__ import annotations

import re
from typing import Any

from bedplate.problems import BedplateError

__all__ = ["DECLARE", "Guard", "arguments", "hint", "refuse"]

#: What to do when one is met that nobody has told of.
DECLARE = "If a pooler in transaction mode stands between, tell it: BEDPLATE_DATABASE__POOLER=transaction."

_SESSION = (
    (
        re.compile(r"\s*(?:RE)?SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)", re.IGNORECASE),
        "SET outlives its transaction",
        "Write SET LOCAL, or ALTER ROLE … SET for all connections of a role.",
    ),
    (
        re.compile(r"\bset_config\s*\([^()]*,\s*(?:false|'f'|0)\s*\)", re.IGNORECASE),
        "set_config(…, false) outlives its transaction",
        "Pass true, which is SET LOCAL.",
    ),
    (
        re.compile(r"\bpg_(?:try_)?advisory_(?:lock|unlock)(?:_shared|_all)?\s*\(", re.IGNORECASE),
        "A session's advisory lock stays with whoever gets the connection next",
        "Take pg_advisory_xact_lock, or a RowLease.",
    ),
    (
        re.compile(r"\s*(?:UN)?LISTEN\b", re.IGNORECASE),
        "LISTEN hears nothing there",
        "Listen by a connection to the server itself; NOTIFY works.",
    ),
    (
        re.compile(r"\s*(?:PREPARE\s+(?!TRANSACTION\b)|EXECUTE\b|DEALLOCATE\b|DISCARD\b|LOAD\b)", re.IGNORECASE),
        "A prepared statement, or another state of a session, is not there in the next transaction",
        "Leave preparing to the driver.",
    ),
    (
        re.compile(
            r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:(?:GLOBAL|LOCAL)\s+)?TEMP(?:ORARY)?\b(?!.*\bON\s+COMMIT\s+DROP\b)",
            re.IGNORECASE | re.DOTALL,
        ),
        "What is temporary outlives its transaction",
        "Create a temporary table, and add ON COMMIT DROP.",
    ),
    (
        re.compile(r"\bINTO\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP(?:ORARY)?\b", re.IGNORECASE),
        "What is temporary outlives its transaction",
        "Write CREATE TEMP TABLE … ON COMMIT DROP AS SELECT ….",
    ),
    (
        re.compile(r"\s*DECLARE\b.*\bWITH\s+HOLD\b", re.IGNORECASE | re.DOTALL),
        "A cursor WITH HOLD outlives its transaction",
        "Stream the result within a transaction.",
    ),
)


#: What stands before a statement's first word.
_BEFORE = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/)+", re.DOTALL)
#: Texts that were looked at and may pass; services make few, and who writes values into them makes no end of them.
_MOST = 1_000
#: A name that nobody knows, or that somebody else has given; and a start with settings that a pooler cannot keep.
_NAMES, _START = ("26000", "42P05"), "unsupported startup parameter"


def arguments() -> dict[str, Any]:
    """Return asyncpg's and SQLAlchemy's arguments of a connection: no statement is kept, and none has a name."""
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: "",
    }


def hint(error: BaseException) -> str:
    """Return what to do when an error is one of somebody who has not told of a pooler; else nothing."""
    original: BaseException = getattr(error, "orig", None) or error
    state = getattr(original, "sqlstate", None)
    return DECLARE if state in _NAMES or (state == "08P01" and _START in str(original)) else ""


class Guard:
    """Refuses statements that leave something behind in a session, and remembers those that do not."""

    def __init__(self) -> None:
        self._passed: set[str] = set()

    def __call__(self, statement: str) -> None:
        """Let a statement pass.

        :raises BedplateError: when it would leave something behind; it says what to write instead.
        """
        if statement in self._passed:
            return
        refuse(statement)
        if len(self._passed) < _MOST:
            self._passed.add(statement)


def refuse(statement: str) -> None:
    """Refuse a statement that leaves something behind in its session.

    :raises BedplateError: it says what to write instead.
    """
    if (before := _BEFORE.match(statement)) is not None:
        statement = statement[before.end() :]
    for pattern, what, mend in _SESSION:
        found = pattern.search(statement) if pattern.pattern.startswith(r"\b") else pattern.match(statement)
        if found is not None:
            raise BedplateError(f"{what}, and a pooler in transaction mode stands between.", mend)
