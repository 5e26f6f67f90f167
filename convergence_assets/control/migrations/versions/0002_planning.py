"""Publications, requests for runs, and what the planner remembers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_publications",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("table_name", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("read_through", sa.BigInteger, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("marker", sa.Text),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("published_at", moment, nullable=False),
    )
    op.create_table(
        "convergence_requests",
        sa.Column("request_key", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("requested_at", moment, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("outcome", sa.Text),
    )
    op.create_table(
        "convergence_pipelines",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("opened_from", sa.Date, nullable=False),
        sa.Column("opened_through", sa.Date, nullable=False),
        sa.Column("newest_opened", sa.Date),
        sa.Column("served_at", moment),
        sa.Column("late_data_asked_at", moment),
    )
    op.create_table(
        "convergence_partitions",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("day", sa.Date, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("wake_at", moment),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("data_version", sa.BigInteger, nullable=False),
        sa.Column("request_key", sa.Text),
    )
    op.create_table(
        "convergence_pauses",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("paused_by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("paused_at", moment, nullable=False),
    )
    op.create_table(
        "convergence_cursors",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.create_index("convergence_publications_by_version", "convergence_publications", ["version"])
    op.create_index("convergence_requests_by_tenant", "convergence_requests", ["tenant_id", "requested_at"])
    op.create_index("convergence_requests_by_outcome", "convergence_requests", ["outcome"])
    op.create_index("convergence_partitions_by_wake", "convergence_partitions", ["wake_at"])
