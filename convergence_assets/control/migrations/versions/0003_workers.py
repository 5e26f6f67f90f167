"""The process of each run, what was done about stuck ones, and since when the planner knows a pipeline."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_workers",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot_id", sa.Text, nullable=False),
        sa.Column("process_space", sa.Text, nullable=False),
        sa.Column("process", sa.Integer, nullable=False),
        sa.Column("process_started", sa.Text, nullable=False),
        sa.Column("began_at", moment, nullable=False),
        sa.Column("end_requested_at", moment),
    )
    op.create_table(
        "convergence_remediations",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("rung", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("first_day", sa.Date),
        sa.Column("last_day", sa.Date),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("begun_at", moment, nullable=False),
        sa.Column("done_at", moment),
        sa.Column("outcome", sa.Text, nullable=False),
    )
    op.add_column("convergence_pipelines", sa.Column("first_seen_at", moment))
    op.create_index(
        "convergence_remediations_by_pipeline", "convergence_remediations", ["tenant_id", "pipeline", "begun_at"]
    )
