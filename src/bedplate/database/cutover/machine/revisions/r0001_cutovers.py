"""Cutovers, the progress of their parts, and what happened to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables of cutovers."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "bedplate_cutovers",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("wanted", sa.String(20), nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("throttle", sa.Integer, nullable=False),
        sa.Column("task", sa.String(20), nullable=False),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("runner", sa.String(200), nullable=False),
        sa.Column("trouble", sa.String(20), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("mend", sa.Text, nullable=False),
        sa.Column("asked_by", sa.String(200), nullable=False),
        sa.Column("approved_by", sa.String(200), nullable=False),
        sa.Column("verdict", sa.JSON, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("changed_at", moment, nullable=False),
        sa.Column("verified_at", moment, nullable=True),
    )
    op.create_table(
        "bedplate_cutover_parts",
        sa.Column("cutover", sa.String(200), primary_key=True),
        sa.Column("part", sa.String(200), primary_key=True),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("saved_at", moment, nullable=False),
    )
    op.create_table(
        "bedplate_cutover_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), sa.Identity(always=True), primary_key=True),
        sa.Column("cutover", sa.String(200), nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.Column("event", sa.String(100), nullable=False),
        sa.Column("actor", sa.String(200), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("bedplate_cutover_events_cutover", "bedplate_cutover_events", ["cutover", "id"])
