"""Deletes a tenant's data: its tables, what runs staged for it, and the control store's rows about them.

Its API keys are revoked, and its open incidents end.
"""

import getpass
from contextlib import suppress
from dataclasses import dataclass

import dagster as dg

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import audit, ledger_rows, partition_states, publications, published_locations
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.errors import ControlError
from convergence_assets.control.incidents import open_incidents, resolve_incident
from convergence_assets.control.keys import Keys
from convergence_assets.control.locks import Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.monitoring.stuck import parts_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.schema import Dataset, TableRef

_OVER = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


class RunsAtWork(Exception):
    """Runs of the tenant are not over; nothing was deleted."""

    def __init__(self, tenant_id: str, runs: list[str]) -> None:
        shown = ", ".join(runs[:5]) + (f" and {len(runs) - 5} more" if len(runs) > 5 else "")
        super().__init__(
            f"runs of tenant {tenant_id} are not over ({shown}); nothing was deleted. Next: wait for them, or end each "
            "with `convergence clear-stuck --run-id RUN_ID`, then the same command"
        )
        self.runs = tuple(runs)


@dataclass(frozen=True)
class Deleted:
    """`staged` counts staged tables; `dataset` says whether it was dropped, which it is not with other tables in it."""

    tables: tuple[TableRef, ...]
    staged: int
    dataset: bool


def runs_at_work(instance: dg.DagsterInstance, store: ControlStore, tenant_id: str) -> list[str]:
    """Runs of the tenant that are not over: Dagster's, queued ones too, and those that hold a lock."""
    statuses = [status for status in dg.DagsterRunStatus if status not in _OVER]
    run_ids = {
        record.dagster_run.run_id: None
        for record in instance.get_run_records(dg.RunsFilter(statuses=statuses))
        if any(part.tenant_id == tenant_id for part in parts_of(record))
    }
    with store.read() as connection:
        run_ids |= {lock.run_id: None for lock in Locks(store).living(connection, tenant_id)}
    return list(run_ids)


def delete_data(settings: Settings, instance: dg.DagsterInstance, tenant: Tenant) -> Deleted:
    """Delete the tenant's tables, its ledger and what is staged for it, revoke its API keys, and end its open
    incidents; may be repeated after a failure.

    No code location may request its days any more. Raises `RunsAtWork`, `WarehouseError` and `ControlError`.
    """
    store = ControlStore.open(settings)
    if runs := runs_at_work(instance, store, tenant.tenant_id):
        raise RunsAtWork(tenant.tenant_id, runs)
    keys = Keys(store)
    for key in keys.all(tenant.tenant_id):
        keys.revoke(key.key_id, getpass.getuser(), tenant.tenant_id)
    dataset = Dataset(tenant.dataset, tenant.project)
    tables: list[TableRef] = []
    try:
        with open_warehouse(settings, tenant.location) as warehouse:
            staged = warehouse.drop_staging(dataset)
            for table in warehouse.tables_of(dataset):
                warehouse.drop_table(table)
                tables.append(table)
            gone = warehouse.drop_dataset(dataset)
    except WarehouseError as error:
        with suppress(ControlError):
            _record_entry(store, tenant, f"failed after {len(tables)} tables: {error.error_class}")
        raise
    with store.write("planner") as connection:
        for incident in open_incidents(connection, tenant_id=tenant.tenant_id):
            resolve_incident(connection, incident.fingerprint, "the tenant's data was deleted", store.now())
        # Else a later tenant of this id would count as having published these days.
        store.wait_for(connection, publications.WRITING)
        publications.delete_publications(connection, tenant.tenant_id, store.now())
        published_locations.delete_location(connection, tenant.tenant_id)
        partition_states.delete_tenant(connection, tenant.tenant_id)
        ledger_rows.delete_tenant_rows(connection, tenant.tenant_id)
    _record_entry(
        store, tenant, f"deleted {len(tables)} tables of dataset {dataset}" + (" and the dataset" if gone else "")
    )
    return Deleted(tuple(tables), staged, gone)


def _record_entry(store: ControlStore, tenant: Tenant, outcome: str) -> None:
    with store.write() as connection:
        entry = AuditEntry(getpass.getuser(), "tenant.delete_data", outcome, tenant.tenant_id, tenant.dataset)
        audit.record_entry(connection, entry, store.now())
