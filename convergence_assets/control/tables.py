"""The control store's tables as the code of today reads them; `migrations/` is how they came to be."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

# The newest file of migrations/versions; a store at this revision is opened without importing alembic.
HEAD = "0001"

# Dagster keeps an `alembic_version` of its own in the same Postgres: every name here begins alike.
VERSION_TABLE = "convergence_schema_version"

metadata = sa.MetaData()


class Moment(sa.TypeDecorator[datetime]):
    """A moment in UTC, aware in Python; SQLite keeps it without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        found: datetime = value
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


# A row is a process of a run that holds the days [first_day, last_day]; released rows are deleted.
locks = sa.Table(
    "convergence_locks",
    metadata,
    # Never used twice, and larger with each lock taken.
    sa.Column(
        "fence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), sa.Identity(always=True), primary_key=True
    ),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("pipeline", sa.Text, nullable=False),
    sa.Column("first_day", sa.Date, nullable=False),
    sa.Column("last_day", sa.Date, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("boot_id", sa.Text, nullable=False),
    sa.Column("process_space", sa.Text, nullable=False),
    sa.Column("process", sa.Integer, nullable=False),
    sa.Column("process_started", sa.Text, nullable=False),
    sa.Column("acquired_at", Moment, nullable=False),
    sa.Column("heartbeat_at", Moment, nullable=False),
    sa.Index("convergence_locks_by_pipeline", "tenant_id", "pipeline"),
    sqlite_autoincrement=True,
)
