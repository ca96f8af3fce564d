"""What a PostgreSQL server is told of who asks and how long it may take: with a connection, or with each transaction.

Directly, a connection carries the time limits, at no cost. Behind a pooler in transaction mode a connection may carry
nothing, since whoever gets the server next would inherit it; there they travel with each transaction. So does, always,
the request at hand, which ``pg_stat_activity`` then names: in the message that begins the transaction, by SET LOCAL,
so that it costs no way to the server and is gone at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bedplate.database.settings import DatabaseSettings
from bedplate.telemetry.context import current

__all__ = ["GRACE", "connection_class", "limits", "opening", "planning"]

#: Seconds that a client waits longer than the server was told to take, so that a server that lives has the last word.
GRACE = 1.0
#: What PostgreSQL keeps of a name.
_LONGEST = 63
_UNSAFE = re.compile(r"[^A-Za-z0-9._:-]")


def limits(settings: DatabaseSettings) -> dict[str, str]:
    """Return the time limits of a server by the names of its settings, in milliseconds."""
    return {
        "statement_timeout": _milliseconds(settings.query_timeout),
        "lock_timeout": _milliseconds(settings.lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(settings.idle_transaction_timeout),
    }


def planning(settings: DatabaseSettings) -> dict[str, str]:
    """Return how a server is to plan what is prepared, by the names of its settings.

    By itself it ends up planning look-ups in partitions each time, as a plan for any value seems dear to it. But first
    each session makes such a plan of each statement, for 5 ms at 64 partitions: all of them at once after a switch.
    """
    return {"plan_cache_mode": "force_custom_plan"} if settings.plans == "custom" else {}


def opening(settings: DatabaseSettings, service: str) -> Callable[[], str]:
    """Return what says which statements follow BEGIN in its message; each of them ends with the transaction."""
    pooled = settings.pooler == "transaction"
    always = "".join(f"SET LOCAL {name} = {value};" for name, value in limits(settings).items()) if pooled else ""
    service = _UNSAFE.sub("_", service)

    def told() -> str:
        work = current.get()
        if work is None or not work.request_id:
            return always
        # Clients may choose it, so nothing of it is taken that could end the literal.
        who = _UNSAFE.sub("_", work.request_id[:40])
        return f"{always}SET LOCAL application_name = '{service[: _LONGEST - 1 - len(who)]} {who}';"

    return told


def connection_class(told: Callable[[], str], begins: float | None) -> Any:
    """Return asyncpg's connection whose transactions begin with what ``told`` returns.

    :param begins: seconds after which a server that does not even begin a transaction counts as hanging; None for as
        long as a statement may take, as behind a pooler, where beginning is waiting for one's turn.
    """
    import asyncpg  # type: ignore[import-untyped]

    class Connection(asyncpg.Connection):  # type: ignore[misc]
        __slots__ = ()

        def execute(self, query: str, *args: Any, timeout: float | None = None) -> Any:
            if query.startswith("BEGIN"):
                return super().execute(query + told(), timeout=begins if timeout is None else timeout)
            return super().execute(query, *args, timeout=timeout)

    return Connection


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
