"""Of which version of its table a partition is."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    column = sa.Column("table_version", sa.Integer, nullable=False, server_default="1")
    op.add_column("convergence_publications", column)
