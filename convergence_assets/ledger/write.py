"""Writes queued rows to the tenants' datasets: in batches, tenants in parallel, each failing alone."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa

from convergence_assets.control import ledger_rows as queue
from convergence_assets.control import run_cursors
from convergence_assets.control.errors import ControlError
from convergence_assets.control.ledger_rows import QueuedRow, TenantQueue
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.tables import TABLES
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import InvalidQuery, NotFound, SchemaMismatch
from convergence_assets.warehouse.interface import GIGABYTE, Job, Warehouse
from convergence_assets.warehouse.schema import TableRef

ROWS_A_BATCH = 1000
# BigQuery takes requests of up to ten megabytes.
CHARACTERS_A_BATCH = 2_000_000
# On the embedded engine this is the wait for a dataset that is being read: the other tenants wait too.
STATEMENT_SECONDS = {"duckdb": 2.0, "bigquery": 30.0}
# Longer than a batch takes: the statement, the creation of tables, and their retries.
LEASE = timedelta(seconds=180)
_MAXIMUM_BYTES_BILLED = 10 * GIGABYTE
_TRANSACTIONS = "ledger: writing"
_log = logging.getLogger(__name__)

OpenWarehouse = Callable[[str | None], Warehouse]
"""By the location of a tenant's dataset."""


@dataclass(frozen=True)
class Written:
    """What one call did: rows written, and by tenant why the writing failed."""

    rows: int
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Lag:
    """How far the ledger is behind, in seconds: `seconds` is the worst of reading Dagster (`unread_seconds`) and of
    each tenant's longest waiting row (`by_tenant`). Tenants that are not loaded are only in `queues`.

    `unreadable` are runs whose events could not be read or reported, with the reason; they are retried each minute.
    """

    seconds: float
    unread_seconds: float
    by_tenant: Mapping[str, float]
    queues: Sequence[TenantQueue]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    begun: bool = True
    """Whether Dagster's storage was ever read."""


def write_ledger(
    store: ControlStore,
    open_warehouse: OpenWarehouse,
    tenants: Mapping[str, Tenant],
    budget_seconds: float,
    at_once: int = 1,
    rest_seconds: float = 0.0,
) -> Written:
    """Write queued rows, `at_once` tenants in parallel, the longest waiting first, for about that long.

    A tenant's rows rest until the oldest has waited for `rest_seconds`: where a statement is billed by the table, the
    rows of a run's minutes are better written together.
    A tenant whose warehouse fails is skipped for a time that grows with each failure. Nothing is lost or duplicated
    wherever this is killed: rows are merged by key, and deleted only when the warehouse has them. Raises
    `ControlError`.
    """
    end = time.monotonic() + budget_seconds
    with store.read() as connection:
        waiting = queue.tenant_queues(connection)
    now = store.now()
    ready = [b.tenant_id for b in waiting if b.tenant_id in tenants and _is_ready(b, now, rest_seconds)]
    if not ready:
        return Written(0, {})
    one = partial(_write_tenant, store, open_warehouse, end)
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="ledger") as threads:
        done = list(threads.map(lambda tenant_id: one(tenants[tenant_id]), ready))
    failed = {tenant_id: error for tenant_id, (_, error) in zip(ready, done, strict=True) if error}
    return Written(sum(rows for rows, _ in done), failed)


def lag(connection: sa.Connection, now: datetime, tenants: Mapping[str, Tenant]) -> Lag:
    """How far the ledger is behind now; all zero where nothing was followed yet."""
    waiting = queue.tenant_queues(connection)
    by_tenant = {b.tenant_id: _age(b.oldest, now) for b in waiting if b.tenant_id in tenants}
    progress = run_cursors.progress(connection)
    unread = _age(progress.complete_at, now) if progress else 0.0
    return Lag(
        max(unread, *by_tenant.values(), 0.0),
        unread,
        by_tenant,
        waiting,
        run_cursors.unreadable(connection),
        progress is not None,
    )


def _is_ready(waiting: TenantQueue, now: datetime, rest_seconds: float) -> bool:
    return (waiting.retry_at is None or waiting.retry_at <= now) and _age(waiting.oldest, now) >= rest_seconds


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _write_tenant(
    store: ControlStore, open_warehouse: OpenWarehouse, end: float, tenant: Tenant
) -> tuple[int, str | None]:
    if time.monotonic() >= end:
        return 0, None
    rows = 0
    with store.write(_TRANSACTIONS) as connection:
        if not queue.begin_writing(connection, tenant.tenant_id, store.now(), LEASE):
            return 0, None
    try:
        with open_warehouse(tenant.location) as warehouse:
            while batches := _take(store, tenant):
                for batch in batches:
                    _merge(warehouse, tenant, batch)
                    with store.write(_TRANSACTIONS) as connection:
                        queue.delete_rows(connection, [waiting.number for waiting in batch])
                    rows += len(batch)
                if time.monotonic() >= end:
                    break
        with store.write(_TRANSACTIONS) as connection:
            queue.written(connection, tenant.tenant_id)
    except ControlError:
        raise
    except Exception as error:
        problem = f"{getattr(error, 'error_class', type(error).__name__)}: {error}"
        _log.warning("ledger of tenant %s was not written, it is tried again: %s", tenant.tenant_id, problem)
        with store.write(_TRANSACTIONS) as connection:
            queue.failed(connection, tenant.tenant_id, problem, store.now())
        return rows, problem
    return rows, None


def _take(store: ControlStore, tenant: Tenant) -> list[list[QueuedRow]]:
    """A batch of each table with queued rows; renews the lease."""
    with store.write(_TRANSACTIONS) as connection:
        queue.go_on_writing(connection, tenant.tenant_id, store.now(), LEASE)
        batches = (
            queue.oldest_rows(connection, tenant.tenant_id, table, ROWS_A_BATCH, CHARACTERS_A_BATCH) for table in TABLES
        )
        return [batch for batch in batches if batch]


def _merge(warehouse: Warehouse, tenant: Tenant, batch: Sequence[QueuedRow]) -> None:
    name = batch[0].row.table
    table = TABLES[name]
    first, last = batch[0].number, batch[-1].number
    # A number is used once: the same batch is the same job, another batch another job.
    job = Job(
        f"ledger-{first}-{last}-{len(batch)}",
        {"tenant": tenant.tenant_id, "pipeline": "ledger", "asset": name},
        STATEMENT_SECONDS[warehouse.engine],
        _MAXIMUM_BYTES_BILLED,
    )
    rows = [waiting.row.values for waiting in batch]
    merge = partial(
        warehouse.merge_rows,
        _ref(tenant, name), table.schema, [_typed(row) for row in rows], table.key, job, table.newest_by,
    )  # fmt: skip
    try:
        merge()
    except (NotFound, InvalidQuery, SchemaMismatch) as error:
        if isinstance(error, NotFound) and not tenant.enabled:
            return  # it was offboarded and its data deleted: later rows must not create a table again
        # The first row of a tenant, or the first one after a release that added a column.
        for other in TABLES:
            warehouse.ensure_table(_ref(tenant, other), TABLES[other].schema)
        merge()


def _ref(tenant: Tenant, table: str) -> TableRef:
    return TableRef(tenant.dataset, table, tenant.project)


def _typed(row: Mapping[str, object]) -> dict[str, object]:
    """Moments that bound the partitions, as datetimes: their texts do not sort across offsets."""
    return {**row, "created_at": datetime.fromisoformat(str(row["created_at"]))}
