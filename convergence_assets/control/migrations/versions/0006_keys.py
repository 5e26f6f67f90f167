"""API keys, what was asked for with them, and what was done by whom."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "convergence_api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("key_prefix", sa.Text, nullable=False, unique=True),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("last_used_at", moment),
        sa.Column("revoked_at", moment),
    )
    op.create_index("convergence_api_keys_by_tenant", "convergence_api_keys", ["tenant_id", "created_at"])
    op.create_table(
        "convergence_audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
        ),
        sa.Column("moment", moment, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("tenant_id", sa.Text),
        sa.Column("subject", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("address", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("convergence_audit_by_moment", "convergence_audit", ["moment"])
    op.create_index("convergence_audit_by_tenant", "convergence_audit", ["tenant_id", "moment"])
    op.create_table(
        "convergence_api_requests",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("pipeline", sa.Text, nullable=False),
        sa.Column("first_day", sa.Date, nullable=False),
        sa.Column("last_day", sa.Date, nullable=False),
        sa.Column("asked_by", sa.Text, nullable=False),
        sa.Column("asked_at", moment, nullable=False),
        sa.Column("retry_of", sa.Text),
    )
    op.create_index(
        "convergence_api_requests_by_pipeline", "convergence_api_requests", ["tenant_id", "pipeline", "asked_at"]
    )
    op.create_index("convergence_api_requests_by_moment", "convergence_api_requests", ["asked_at"])
