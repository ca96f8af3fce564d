"""A database and its replicas in few numbers, for the page that shows a whole service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.component import Database

__all__ = ["overview_of"]


def overview_of(database: Database, away: BedplateError | None) -> Mapping[str, Any]:
    """Return the numbers; :param away: why it cannot be reached."""
    replicas = database.replicas
    healthy = [one for one in replicas if one.usable]
    lags = [one.lag for one in replicas if one.lag is not None]
    return {
        "type": database.dialect,
        "inUse": database.is_open,
        "available": away is None,
        "pooler": database.settings.pooler,
        "replicas": {
            "total": len(replicas),
            "healthy": len(healthy),
            "readsFrom": "replicas" if healthy else "primary",
            "maxLagSeconds": round(max(lags), 3) if lags else None,
        },
    }
