"""How often runs of an outstanding day were interrupted."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "convergence_partitions", sa.Column("interruptions", sa.Integer, nullable=False, server_default=sa.text("0"))
    )
