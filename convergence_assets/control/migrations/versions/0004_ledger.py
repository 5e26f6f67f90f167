"""The runs index, how far each run was followed, and ledger rows on their way to the warehouse."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_runs",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("pipeline", sa.Text, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("dagster_status", sa.Text, nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("triggered_by", sa.Text),
        sa.Column("first_day", sa.Date),
        sa.Column("last_day", sa.Date),
        sa.Column("config_version", sa.Text),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("started_at", moment),
        sa.Column("ended_at", moment),
        sa.Column("rows_published", sa.BigInteger, nullable=False),
        sa.Column("bytes_billed", sa.BigInteger, nullable=False),
        sa.Column("error_class", sa.Text),
        sa.Column("error_message", sa.Text),
        sa.Column("stuck_reason", sa.Text),
        sa.Column("updated_at", moment, nullable=False),
    )
    op.create_index("convergence_runs_by_pipeline", "convergence_runs", ["tenant_id", "pipeline", "created_at"])
    op.create_index("convergence_runs_by_tenant", "convergence_runs", ["tenant_id", "created_at"])
    op.create_index("convergence_runs_by_status", "convergence_runs", ["status", "created_at"])
    op.create_index("convergence_runs_by_moment", "convergence_runs", ["created_at"])
    op.create_table(
        "convergence_followed_runs",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("dagster_status", sa.Text, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.Column("read_through", sa.BigInteger, nullable=False),
        sa.Column("read_beyond", sa.Text, nullable=False),
        sa.Column("steps", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("wake_at", moment, nullable=False),
        sa.Column("kept", sa.Text),
        sa.Column("unreadable", sa.Text),
    )
    op.create_index("convergence_followed_runs_by_wake", "convergence_followed_runs", ["ended", "wake_at"])
    op.create_table(
        "convergence_ledger_rows",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
        ),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("table_name", sa.Text, nullable=False),
        sa.Column("row_id", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.UniqueConstraint("tenant_id", "table_name", "row_id", name="convergence_ledger_rows_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("convergence_ledger_rows_by_tenant", "convergence_ledger_rows", ["tenant_id", "table_name", "id"])
    op.create_table(
        "convergence_ledger_writers",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("writing_until", moment),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("error", sa.Text),
        sa.Column("retry_at", moment),
    )
    op.create_table(
        "convergence_ledger_progress",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
