"""What is told of cutovers over HTTP and on the page of everything, with the names that monitoring expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bedplate.database.cutover.machine.look import Side, Sight, TableSight
from bedplate.database.cutover.machine.readiness import DELTA, Readiness
from bedplate.database.cutover.plan import Plan

__all__ = ["metrics_figures", "not_needed", "table_figures"]

#: Rows by which the counts may differ before somebody is told, and before somebody is woken.
THRESHOLDS = {"warning": DELTA, "critical": 100}


def not_needed(name: str, plan: Plan, reason: str) -> dict[str, Any]:
    """Return what there is to tell where nothing is moved."""
    return {
        "cutover": name,
        "state": "not needed",
        "reason": reason,
        "tables": {table: {"state": "not needed"} for table in plan.tables},
        "rowDelta": 0,
        "thresholds": THRESHOLDS,
        "recentWrites": {},
        "switchoverReadiness": {"score": 0, "ready": False, "reasons": [reason], "checks": []},
        "checkedAt": None,
    }


def metrics_figures(name: str, plan: Plan, sight: Sight, ready: Readiness, now: float) -> dict[str, Any]:
    """Return how a cutover is. :param now: by the clock that looked."""
    record = sight.record
    return {
        "cutover": name,
        "state": "none" if record is None else record.state,
        "wanted": "" if record is None else record.wanted,
        "paused": record is not None and record.paused,
        "throttlePercent": 100 if record is None else record.throttle,
        "trouble": None if record is None or not record.trouble else f"{record.error} {record.mend}".strip(),
        "mode": plan.mode,
        "partitions": plan.partitions,
        "key": plan.key,
        "runner": record.runner if record is not None and sight.runs else None,
        "tables": {one.table: _brief(one) for one in sight.tables},
        "rowDelta": max((one.delta for one in sight.tables if one.delta is not None), default=None),
        "differingRows": sum(one.differing for one in sight.tables),
        "pendingKeys": sum(max(0, one.pending) for one in sight.tables),
        "verifiedAgeSeconds": None if sight.verified_age is None else round(sight.verified_age, 1),
        "replicaLagSeconds": None if sight.lag is None else round(sight.lag, 3),
        "recentWrites": _recent(sight),
        "thresholds": THRESHOLDS,
        "switchoverReadiness": ready.to_json(),
        "secondsSinceCheck": round(max(0.0, now - sight.at), 3),
    }


def table_figures(name: str, sight: Sight, now: float) -> dict[str, Any]:
    """Return rows, sizes and recent writes of each table and of its other side."""
    return {
        "cutover": name,
        "tables": {one.table: _whole(one) for one in sight.tables},
        "recentWrites": _recent(sight),
        "thresholds": THRESHOLDS,
        "checkedAt": round(now - sight.at, 3),
    }


def _recent(sight: Sight) -> dict[str, Any]:
    return {
        one.table: None if one.recent is None else {"live": one.recent[0], "shadow": one.recent[1]}
        for one in sight.tables
    }


def _brief(one: TableSight) -> dict[str, Any]:
    return {
        "partitioned": one.live is not None and one.live.partitioned,
        "rowDelta": one.delta,
        "differingRows": one.differing,
        "pendingKeys": one.pending,
    }


def _whole(one: TableSight) -> dict[str, Any]:
    return {
        "live": _side(one.live),
        "shadow": _side(one.shadow),
        "countedRows": None if one.counts is None else {"live": one.counts[0], "shadow": one.counts[1]},
        **_brief(one),
    }


def _side(side: Side | None) -> Mapping[str, Any] | None:
    if side is None:
        return None
    return {
        "name": side.name,
        "partitioned": side.partitioned,
        "partitions": side.partitions,
        "rows": side.rows,
        "sizeBytes": side.size,
    }
