"""Rows of the ledger queued for the warehouse: taken in batches, deleted once written."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from convergence_assets.control.tables import ledger_rows, ledger_writers
from convergence_assets.redaction import redacted

_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 10.0, 900.0


@dataclass(frozen=True)
class LedgerRow:
    """A row of one of a tenant's ledger tables; `values` are JSON values by column, moments as ISO 8601.

    Rows of one table with the same `row_id` are one row.
    """

    tenant_id: str
    table: str
    row_id: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class QueuedRow:
    """A row with its number in the queue."""

    number: int
    row: LedgerRow


@dataclass(frozen=True)
class TenantQueue:
    """A tenant's waiting rows; `error` and `retry_at` are set where its warehouse failed."""

    tenant_id: str
    rows: int
    oldest: datetime | None
    failures: int = 0
    error: str | None = None
    retry_at: datetime | None = None


def put_rows(connection: sa.Connection, rows: Sequence[LedgerRow], now: datetime) -> None:
    """Queue these rows; a queued one is replaced, under a new number."""
    if not rows:
        return
    newest = {(row.tenant_id, row.table, row.row_id): row for row in rows}
    same_row = sa.and_(
        ledger_rows.c.tenant_id == sa.bindparam("t"),
        ledger_rows.c.table_name == sa.bindparam("n"),
        ledger_rows.c.row_id == sa.bindparam("r"),
    )
    connection.execute(sa.delete(ledger_rows).where(same_row), [{"t": t, "n": n, "r": r} for t, n, r in newest])
    connection.execute(
        sa.insert(ledger_rows),
        [
            {
                "tenant_id": row.tenant_id, "table_name": row.table, "row_id": row.row_id,
                "payload": json.dumps(row.values), "created_at": now,
            }
            for row in newest.values()
        ],
    )  # fmt: skip


def oldest_rows(connection: sa.Connection, tenant_id: str, table: str, rows: int, size: int) -> list[QueuedRow]:
    """The first of a table's waiting rows: at most `rows`, and at least one of at most `size` characters together."""
    query = (
        sa.select(ledger_rows)
        .where(ledger_rows.c.tenant_id == tenant_id, ledger_rows.c.table_name == table)
        .order_by(ledger_rows.c.id)
        .limit(rows)
    )
    waiting: list[QueuedRow] = []
    for row in connection.execute(query):
        size -= len(row.payload)
        if waiting and size < 0:
            break
        waiting.append(QueuedRow(row.id, LedgerRow(row.tenant_id, row.table_name, row.row_id, json.loads(row.payload))))
    return waiting


def delete_tenant_rows(connection: sa.Connection, tenant_id: str) -> None:
    """Delete every row of a tenant."""
    connection.execute(sa.delete(ledger_rows).where(ledger_rows.c.tenant_id == tenant_id))


def delete_rows(connection: sa.Connection, numbers: Collection[int]) -> None:
    """Delete rows that the warehouse has."""
    connection.execute(sa.delete(ledger_rows).where(ledger_rows.c.id == sa.bindparam("n")), [{"n": n} for n in numbers])


def tenant_queues(connection: sa.Connection) -> list[TenantQueue]:
    """One per tenant with waiting rows, the longest waiting first."""
    counted = (
        sa.select(
            ledger_rows.c.tenant_id,
            sa.func.count().label("rows"),
            sa.func.min(ledger_rows.c.created_at, type_=ledger_rows.c.created_at.type).label("oldest"),
        )
        .group_by(ledger_rows.c.tenant_id)
        .subquery()
    )
    joined = counted.outerjoin(ledger_writers, ledger_writers.c.tenant_id == counted.c.tenant_id)
    query = sa.select(
        counted, ledger_writers.c.failures, ledger_writers.c.error, ledger_writers.c.retry_at
    ).select_from(joined)
    return [
        TenantQueue(row.tenant_id, row.rows, row.oldest, row.failures or 0, row.error, row.retry_at)
        for row in connection.execute(query.order_by(counted.c.oldest, counted.c.tenant_id))
    ]


def begin_writing(connection: sa.Connection, tenant_id: str, now: datetime, lease: timedelta) -> bool:
    """Whether the caller may write the tenant's rows until the lease ends: no other writer, no pending retry."""
    writer = connection.execute(sa.select(ledger_writers).where(ledger_writers.c.tenant_id == tenant_id)).one_or_none()
    if writer is None:
        row = {"tenant_id": tenant_id, "writing_until": now + lease, "failures": 0}
        connection.execute(sa.insert(ledger_writers), row)
        return True
    if any(moment is not None and moment > now for moment in (writer.writing_until, writer.retry_at)):
        return False
    _update(connection, tenant_id, writing_until=now + lease)
    return True


def go_on_writing(connection: sa.Connection, tenant_id: str, now: datetime, lease: timedelta) -> None:
    """Renew the holder's lease."""
    _update(connection, tenant_id, writing_until=now + lease)


def written(connection: sa.Connection, tenant_id: str) -> None:
    connection.execute(sa.delete(ledger_writers).where(ledger_writers.c.tenant_id == tenant_id))


def failed(connection: sa.Connection, tenant_id: str, error: str, now: datetime) -> None:
    """Postpone the tenant, longer with each failure, at most fifteen minutes."""
    of_tenant = ledger_writers.c.tenant_id == tenant_id
    failures = 1 + (connection.scalar(sa.select(ledger_writers.c.failures).where(of_tenant)) or 0)
    seconds = min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** min(failures - 1, 10))
    _update(
        connection, tenant_id,
        writing_until=None, failures=failures, error=redacted(error)[:2000], retry_at=now + timedelta(seconds=seconds),
    )  # fmt: skip


def _update(connection: sa.Connection, tenant_id: str, **values: object) -> None:
    connection.execute(sa.update(ledger_writers).where(ledger_writers.c.tenant_id == tenant_id).values(values))
