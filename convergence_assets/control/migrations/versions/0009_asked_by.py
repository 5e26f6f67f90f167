"""Who asked for a day over the API, from the day to the run that is made for it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    for table in ("convergence_partitions", "convergence_requests"):
        op.add_column(table, sa.Column("asked_by", sa.Text))
