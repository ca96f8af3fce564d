"""The tables of cutovers, as they are declared; :mod:`bedplate.database.cutover.machine.revisions` makes them."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = ["METADATA"]

METADATA = MetaData()

_MOMENT = DateTime(timezone=True)

#: One row a cutover. What people want stands in ``wanted``, ``paused``, ``throttle`` and ``task``; the worker owns the
#: rest. ``epoch`` grows with each worker that takes it over.
Table(
    "bedplate_cutovers",
    METADATA,
    Column("name", String(200), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("wanted", String(20), nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("throttle", Integer, nullable=False),
    Column("task", String(20), nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("runner", String(200), nullable=False),
    Column("trouble", String(20), nullable=False),
    Column("error", Text, nullable=False),
    Column("mend", Text, nullable=False),
    Column("asked_by", String(200), nullable=False),
    Column("approved_by", String(200), nullable=False),
    Column("verdict", JSON, nullable=False),
    Column("created_at", _MOMENT, nullable=False),
    Column("changed_at", _MOMENT, nullable=False),
    Column("verified_at", _MOMENT, nullable=True),
)

#: How far each part of a cutover is, as ``backfill:orders``.
Table(
    "bedplate_cutover_parts",
    METADATA,
    Column("cutover", String(200), primary_key=True),
    Column("part", String(200), primary_key=True),
    Column("progress", JSON, nullable=False),
    Column("saved_at", _MOMENT, nullable=False),
)

#: What happened to cutovers, for good.
_EVENTS = Table(
    "bedplate_cutover_events",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), Identity(always=True), primary_key=True),
    Column("cutover", String(200), nullable=False),
    Column("at", _MOMENT, nullable=False),
    Column("event", String(100), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("detail", JSON, nullable=False),
)
Index("bedplate_cutover_events_cutover", _EVENTS.c.cutover, _EVENTS.c.id)
