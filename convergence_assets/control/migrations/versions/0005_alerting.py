"""Incidents, notifications and the outbox."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_incidents",
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("pipeline", sa.Text),
        sa.Column("partition", sa.Text),
        sa.Column("table_name", sa.Text),
        sa.Column("run_id", sa.Text),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("last_seen_at", moment, nullable=False),
        sa.Column("acknowledged_at", moment),
        sa.Column("acknowledged_by", sa.Text),
        sa.Column("resolved_at", moment),
        sa.Column("resolution", sa.Text),
    )
    still_open = sa.text("resolved_at IS NULL")
    op.create_index(
        "convergence_incidents_open",
        "convergence_incidents",
        ["fingerprint"],
        unique=True,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.create_index("convergence_incidents_by_end", "convergence_incidents", ["resolved_at"])
    op.create_table(
        "convergence_notifications",
        sa.Column("notification_id", sa.Text, primary_key=True),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("severity", sa.Text, nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("told_at", moment),
        sa.Column("posted_at", moment),
        sa.Column("acknowledged_at", moment),
        sa.Column("closed_at", moment),
    )
    op.create_index("convergence_notifications_by_end", "convergence_notifications", ["closed_at"])
    op.create_table(
        "convergence_notified",
        sa.Column("notification_id", sa.Text, primary_key=True),
        sa.Column("incident_id", sa.Text, primary_key=True),
        sa.Column("told_at", moment),
        sa.Column("told_count", sa.BigInteger, nullable=False),
    )
    op.create_index("convergence_notified_by_incident", "convergence_notified", ["incident_id"])
    op.create_table(
        "convergence_outbox",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
        ),
        sa.Column("notification_id", sa.Text, nullable=False),
        sa.Column("destination", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_try_at", moment, nullable=False),
        sa.Column("leased_by", sa.Text),
        sa.Column("leased_until", moment),
        sa.Column("first_failed_at", moment),
        sa.Column("refused", sa.Boolean, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("sent_at", moment),
        sqlite_autoincrement=True,
    )
    op.create_index("convergence_outbox_by_destination", "convergence_outbox", ["destination", "sent_at", "id"])
    op.create_index("convergence_outbox_by_end", "convergence_outbox", ["sent_at"])
