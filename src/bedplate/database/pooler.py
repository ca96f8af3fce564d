"""Behind a pooler that gives a server connection for a transaction only: what works there, and what cannot.

PgBouncer before 1.21 knows nothing of prepared statements, and a session's state stays behind with the server
connection that it was made on, for whoever gets that next. So statements are prepared without a name, within their
transaction, and what would make state is refused before it is sent.
"""

from __future__ import annotations

import re
from typing import Any

from bedplate.problems import BedplateError

__all__ = ["arguments", "refuse"]

_SESSION = (
    (
        re.compile(r"\s*SET\s+(?!LOCAL\b|TRANSACTION\b|CONSTRAINTS\b)", re.IGNORECASE),
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
            r"\s*CREATE\s+(?:(?:GLOBAL|LOCAL)\s+)?TEMP(?:ORARY)?\s+TABLE\b(?!.*\bON\s+COMMIT\s+DROP\b)",
            re.IGNORECASE | re.DOTALL,
        ),
        "A temporary table outlives its transaction",
        "Add ON COMMIT DROP.",
    ),
    (
        re.compile(r"\s*DECLARE\b.*\bWITH\s+HOLD\b", re.IGNORECASE | re.DOTALL),
        "A cursor WITH HOLD outlives its transaction",
        "Stream the result within a transaction.",
    ),
)


def arguments() -> dict[str, Any]:
    """Return asyncpg's and SQLAlchemy's arguments of a connection: no statement is kept, and none has a name."""
    return {
        "statement_cache_size": 0,
        "prepared_statement_cache_size": 0,
        "prepared_statement_name_func": lambda: "",
    }


def refuse(statement: str) -> None:
    """Refuse a statement that leaves something behind in its session.

    :raises BedplateError: it says what to write instead.
    """
    for pattern, what, mend in _SESSION:
        found = pattern.search(statement) if pattern.pattern.startswith(r"\b") else pattern.match(statement)
        if found is not None:
            raise BedplateError(f"{what}, and a pooler in transaction mode stands between.", mend)
