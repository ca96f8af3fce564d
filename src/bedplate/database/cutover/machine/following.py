"""How far replicas are behind, as the primary sees it: the age of the oldest position that the last has not shown."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bedplate.database.cutover.asking import ask
from bedplate.database.replicas.lag import Trail

if TYPE_CHECKING:
    from psycopg import Connection

__all__ = ["Following"]


class Following:
    """Looks at whoever follows the primary, again and again.

    ``replay_lag`` alone stands still while a replica does; the trail of one's own looks goes on growing.

    :param now: a monotonic time.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._trail = Trail()
        self._now = now

    def lag(self, connection: Connection[Any]) -> float | None:
        """Return the seconds that the last follower is behind; None when nobody follows, or one may not see it."""
        here, shown, told = ask(
            connection,
            """SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint,
              min(pg_wal_lsn_diff(replay_lsn, '0/0'))::bigint,
              coalesce(extract(epoch FROM max(replay_lag)), 0)::float8
            FROM pg_stat_replication WHERE replay_lsn IS NOT NULL""",
        )[0]
        now = self._now()
        self._trail.add(now, here)
        if shown is None:
            return None
        first = self._trail.first_beyond(shown)
        # Who has shown everything is not behind, whatever it took the last time.
        return 0.0 if here <= shown else max(told, 0.0 if first is None else now - first[0])
