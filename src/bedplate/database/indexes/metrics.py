"""How many declared indexes there are, and what of them a person must know."""

from __future__ import annotations

from bedplate.declarations import Alert, Check, Panel, Series
from bedplate.metric import Gauge

__all__ = ["INDEXES", "STATES", "alerts", "checks", "panels"]

STATES = ("declared", "missing", "invalid")

INDEXES = Gauge(
    "bedplate_database_indexes",
    "Indexes that components declare; those of them that are missing; those whose making was broken off.",
    {"database": 20, "state": STATES},
    merge="max",
)


def alerts(name: str) -> tuple[Alert, ...]:
    """Return the alerts of one database's indexes."""
    missing, invalid = (INDEXES(database=name, state=state) for state in ("missing", "invalid"))
    return (
        Alert(
            name="DatabaseIndexMissing",
            expr=f"max({missing}) > 0",
            summary="{{ $value }} declared indexes are not there; what they serve reads whole tables.",
            for_="15m",
            fires=(Series(str(missing), "0 2x30"),),
            quiet=(Series(str(missing), "2x10 0x20"),),
        ),
        Alert(
            name="DatabaseIndexInvalid",
            expr=f"max({invalid}) > 0",
            summary="{{ $value }} indexes were left half made: they cost every write and serve no query.",
            for_="15m",
            fires=(Series(str(invalid), "0 1x30"),),
            quiet=(Series(str(invalid), "1x10 0x20"),),
        ),
    )


def panels(name: str) -> tuple[Panel, ...]:
    """Return the panels of one database's indexes."""
    row = "Database" if name == "default" else f"Database {name}"
    return (
        Panel(
            title="Declared indexes",
            expr=(("{{state}}", f"max by (state) ({INDEXES(database=name)})"),),
            row=row,
            summary="Is any of them missing or broken? `bedplate db indexes` tells which.",
        ),
    )


def checks(name: str) -> tuple[Check, ...]:
    """Return the checks of one database's indexes."""
    default = name == "default"
    return (
        Check(
            name="database-indexes" if default else f"database-indexes-{name.replace('.', '-')}",
            path="/database/indexes" if default else f"/database/indexes?database={name}",
            summary="All declared indexes are there.",
            role="viewer",
            fields=("declared", "missing", "invalid"),
            contains=('"missing":[]', '"invalid":[]'),
            suite="observability",
            optional=True,
        ),
    )
