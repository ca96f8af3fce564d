"""Alerts as they are, their history, acknowledgements, silences, and what was sent."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "bedplate_alert_engines",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("seen_at", sa.Double, nullable=False),
        sa.Column("stopped", sa.Boolean, nullable=False),
    )
    op.create_table(
        "bedplate_alerts",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("owner", sa.String(200), primary_key=True),
        sa.Column("key", sa.String(40), primary_key=True),
        sa.Column("fingerprint", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("alert_group", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("fired_at", sa.Double),
        sa.Column("resolved_at", sa.Double),
        sa.Column("kept_since", sa.Double),
        sa.Column("episode", sa.Double),
    )
    op.create_table(
        "bedplate_alert_history",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("service", sa.String(100), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("key", sa.String(40), nullable=False),
        sa.Column("fingerprint", sa.String(40), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("source", sa.String(200), nullable=False),
        sa.Column("alert_group", sa.String(200), nullable=False),
        sa.Column("severity", sa.String(20), nullable=False),
        sa.Column("before", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("labels", sa.Text, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("value", sa.Double),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("fired_at", sa.Double),
        sa.Column("resolved_at", sa.Double),
    )
    op.create_index("ix_bedplate_alert_history_service_at", "bedplate_alert_history", ["service", "at"])
    op.create_table(
        "bedplate_alert_acknowledgements",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("fingerprint", sa.String(40), primary_key=True),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "bedplate_alert_silences",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("matchers", sa.Text, nullable=False),
        sa.Column("starts", sa.Double, nullable=False),
        sa.Column("ends", sa.Double, nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
    )
    op.create_table(
        "bedplate_alert_notifications",
        sa.Column("service", sa.String(100), primary_key=True),
        sa.Column("fingerprint", sa.String(40), primary_key=True),
        sa.Column("channel", sa.String(200), primary_key=True),
        sa.Column("status", sa.String(20), nullable=False),
        sa.Column("episode", sa.Double, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
    )
