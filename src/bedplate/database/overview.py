"""A database and its replicas in few numbers and words, for pages that people look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from bedplate.declarations import Moment, Section
from bedplate.problems import BedplateError

if TYPE_CHECKING:
    from bedplate.database.component import Database
    from bedplate.database.replicas.replica import Replica, ReplicaState

__all__ = ["overview_of", "sections_of"]

_TONES: Mapping[ReplicaState, Literal["good", "warn", "bad", "idle"]] = {
    "new": "idle",
    "healthy": "good",
    "behind": "warn",
    "away": "bad",
    "foreign": "bad",
}


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


def sections_of(database: Database) -> Sequence[Section]:
    """Return what the console shows besides: the replicas, where there are any."""
    replicas = database.replicas
    if not replicas:
        return ()
    healthy = sum(one.usable for one in replicas)
    answers = f"{healthy} of {len(replicas)} answer reads." if healthy else "None answers reads; the primary does."
    return (Section(title="Replicas", kind="timeline", moments=tuple(map(_moment, replicas)), summary=answers),)


def _moment(replica: Replica) -> Moment:
    lag = "" if replica.lag is None else f"{replica.lag:.1f} s and {replica.lag_bytes or 0:,} bytes behind"
    said = "; ".join(part for part in (replica.reason, lag, replica.address.shown) if part)
    return Moment(text=f"{replica.name} is {replica.state}", detail=said, tone=_TONES[replica.state])
