"""Which revision's code is the oldest that can use the tables."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    table = op.create_table("convergence_schema_compatibility", sa.Column("oldest_revision", sa.Text, nullable=False))
    op.bulk_insert(table, [{"oldest_revision": "0012"}])
