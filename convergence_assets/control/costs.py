"""The billed bytes of runs, summed from the runs index."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from convergence_assets.control.tables import runs


@dataclass(frozen=True)
class Cost:
    """Runs of one pipeline that were created in a period, or on one UTC day of it; `bytes_billed` is also 0 where the
    engine reports none."""

    tenant_id: str
    pipeline: str
    day: date | None
    runs: int
    failed: int
    rows_published: int
    bytes_billed: int


def costs(
    connection: sa.Connection,
    since: datetime,
    until: datetime,
    tenant_id: str | None = None,
    pipeline: str | None = None,
    *,
    by_day: bool = False,
) -> list[Cost]:
    """Of the runs created in [since, until), by tenant, pipeline and, `by_day`, UTC day, in that order."""
    key: list[sa.ColumnElement[Any]] = [runs.c.tenant_id, runs.c.pipeline]
    if by_day:
        key.append(_utc_day(connection).label("day"))
    query = sa.select(
        *key,
        sa.func.count().label("runs"),
        sa.func.sum(sa.case((runs.c.status == "failed", 1), else_=0)).label("failed"),
        sa.func.sum(runs.c.rows_published).label("rows_published"),
        sa.func.sum(runs.c.bytes_billed).label("bytes_billed"),
    ).where(runs.c.created_at >= since, runs.c.created_at < until)
    if tenant_id is not None:
        query = query.where(runs.c.tenant_id == tenant_id)
    if pipeline is not None:
        query = query.where(runs.c.pipeline == pipeline)
    rows = connection.execute(query.group_by(*key).order_by(*key)).mappings()
    return [
        Cost(
            row["tenant_id"], row["pipeline"], date.fromisoformat(str(row["day"])) if by_day else None, row["runs"],
            int(row["failed"]), int(row["rows_published"]), int(row["bytes_billed"]),
        )
        for row in rows
    ]  # fmt: skip


def _utc_day(connection: sa.Connection) -> sa.ColumnElement[Any]:
    # SQLite stores moments in UTC without a zone; Postgres shows them in the session's.
    moment: Any = runs.c.created_at
    if connection.dialect.name == "postgresql":
        moment = sa.func.timezone("UTC", moment)
    return sa.func.date(moment)
