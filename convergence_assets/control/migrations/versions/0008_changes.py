"""What changed in files, code and tables, and where each tenant's days are published."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_changes",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
        ),
        sa.Column("moment", moment, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text),
        sa.Column("state", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("convergence_changes_by_moment", "convergence_changes", ["moment"])
    op.create_index("convergence_changes_by_subject", "convergence_changes", ["subject", "id"])
    op.create_table(
        "convergence_places",
        sa.Column("tenant_id", sa.Text, primary_key=True),
        sa.Column("timezone", sa.Text, nullable=False),
        sa.Column("dataset", sa.Text, nullable=False),
        sa.Column("settled_at", moment, nullable=False),
    )
