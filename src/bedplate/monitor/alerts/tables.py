"""The tables of alerts; their revisions are in :mod:`bedplate.monitor.alerts.migrations`.

Several services may share a database, so every row says whose it is. Times are Unix seconds.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

__all__ = ["ACKNOWLEDGEMENTS", "CURRENT", "ENGINES", "HISTORY", "METADATA", "SENT", "SILENCES", "TABLES"]

METADATA = MetaData()

#: Who evaluates: an instance by itself, or ``fleet`` for all of them.
ENGINES = Table(
    "bedplate_alert_engines",
    METADATA,
    Column("service", String(100), primary_key=True),
    Column("owner", String(200), primary_key=True),
    Column("host", String(200), nullable=False),
    Column("seen_at", Double, nullable=False),
    Column("stopped", Boolean, nullable=False),
)

#: Alerts that are pending, firing or lately resolved, by who evaluates them.
CURRENT = Table(
    "bedplate_alerts",
    METADATA,
    Column("service", String(100), primary_key=True),
    Column("owner", String(200), primary_key=True),
    Column("key", String(40), primary_key=True),
    Column("fingerprint", String(40), nullable=False),
    Column("name", String(200), nullable=False),
    Column("source", String(200), nullable=False),
    Column("alert_group", String(200), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("labels", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("value", Double),
    Column("since", Double, nullable=False),
    Column("fired_at", Double),
    Column("resolved_at", Double),
    Column("kept_since", Double),
    Column("episode", Double),
)

HISTORY = Table(
    "bedplate_alert_history",
    METADATA,
    Column("id", String(40), primary_key=True),
    Column("service", String(100), nullable=False),
    Column("at", Double, nullable=False),
    Column("owner", String(200), nullable=False),
    Column("key", String(40), nullable=False),
    Column("fingerprint", String(40), nullable=False),
    Column("name", String(200), nullable=False),
    Column("source", String(200), nullable=False),
    Column("alert_group", String(200), nullable=False),
    Column("severity", String(20), nullable=False),
    Column("before", String(20), nullable=False),
    Column("state", String(20), nullable=False),
    Column("labels", Text, nullable=False),
    Column("summary", Text, nullable=False),
    Column("value", Double),
    Column("since", Double, nullable=False),
    Column("fired_at", Double),
    Column("resolved_at", Double),
    Index("ix_bedplate_alert_history_service_at", "service", "at"),
)

ACKNOWLEDGEMENTS = Table(
    "bedplate_alert_acknowledgements",
    METADATA,
    Column("service", String(100), primary_key=True),
    Column("fingerprint", String(40), primary_key=True),
    Column("actor", String(200), nullable=False),
    Column("note", Text, nullable=False),
    Column("at", Double, nullable=False),
)

SILENCES = Table(
    "bedplate_alert_silences",
    METADATA,
    Column("service", String(100), primary_key=True),
    Column("id", String(40), primary_key=True),
    Column("matchers", Text, nullable=False),
    Column("starts", Double, nullable=False),
    Column("ends", Double, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created", Double, nullable=False),
)

#: What each channel was told last of each fingerprint.
SENT = Table(
    "bedplate_alert_notifications",
    METADATA,
    Column("service", String(100), primary_key=True),
    Column("fingerprint", String(40), primary_key=True),
    Column("channel", String(200), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("episode", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("times", Integer, nullable=False),
)

TABLES = {table.name: table for table in (ENGINES, CURRENT, HISTORY, ACKNOWLEDGEMENTS, SILENCES, SENT)}
