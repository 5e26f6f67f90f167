"""What is recorded of a switch that the warehouse has made: the days of the version that is read now."""

import json
from collections.abc import Mapping
from datetime import date, datetime

from convergence_assets.control import audit, publications
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.ledger_rows import LedgerRow, put_rows
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Lock
from convergence_assets.control.publications import Publication
from convergence_assets.control.table_versions import SWITCH, days_of_version, is_built_day, put_back, take_place
from convergence_assets.ledger.tables import LOGS
from convergence_assets.scheduling.requesting import PipelineDays, failed_days
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenant_lifecycle.table_versions import TableVersion
from convergence_assets.warehouse.schema import version_name


def end_switch(session: LockSession, lock: Lock, found: TableVersion, by: str) -> tuple[str, list[date]]:
    """Record the switch to the version that is read now, in one transaction: what was done, and the days that are
    requested again: those that this version lacks, and those whose last run has failed. Raises `LockLost` and
    `ControlError`.

    `lock` keeps every run out that can publish a day of the table. It records nothing where all is recorded.
    """
    store, run_id = session.store, lock.run_id
    tenant_id, table = found.tenant.tenant_id, found.step.table
    before, name = found.former or found.read - 1, (tenant_id, found.pipeline.name)
    with store.write("planner") as connection:
        store.wait_for(connection, publications.WRITING)
        session.locks.refuse_lost(connection, lock)
        # As they are now: another process can have ended the switch since the table was looked up.
        to_record = days_of_version(connection, tenant_id, version_name(table, found.read))
        # By the runs that found another version than the one that they were to write.
        failed = failed_days(connection, name)
        days = PipelineDays(connection, name, tables_of(found.tenant, found.pipeline), failed, store.now())
        days.request(days.requested_again(failed, f"version {found.read} of {table} is read now", by))
        if not to_record:
            return f"version {found.read} is read", failed
        is_new = any(map(is_built_day, to_record.values()))
        outcome = f"version {before} -> {found.read}" if is_new else f"version {found.read} is read"
        now = store.now()
        if is_new:
            names = (table, version_name(table, found.read), version_name(table, before))
            again = take_place(connection, *name, names, run_id, now)
        else:
            again = put_back(connection, *name, (table, version_name(table, found.read)), now)
        days = PipelineDays(connection, name, tables_of(found.tenant, found.pipeline), again, now)
        days.request(days.requested_again(again, f"not in version {found.read} of {table}", by))
        put_rows(connection, [_log_row(found, to_record, outcome, run_id, now)], now)
        audit.record_entry(connection, AuditEntry(by, SWITCH, f"{outcome}, run {run_id}", tenant_id, table), now)
    return outcome, sorted({*again, *failed})


def _log_row(
    found: TableVersion, recorded: Mapping[date, Publication], outcome: str, run_id: str, now: datetime
) -> LedgerRow:  # fmt: skip
    """The switch as a row of the tenant's log; `rows` are those of all days that are recorded."""
    days = sorted(recorded)
    values = {
        "log_id": run_id,
        "pipeline_run_id": run_id,
        "tenant_id": found.tenant.tenant_id,
        "pipeline_id": found.pipeline.name,
        "step": found.step.table,
        "event": "published",
        "level": "INFO",
        "message": f"table {found.table}: {outcome}",
        "partition": f"{days[0]}...{days[-1]}",
        "rows": sum(one.rows for one in recorded.values()),
        "metadata": json.dumps({"version": found.read}),
        "created_at": now.isoformat(),
    }
    return LedgerRow(found.tenant.tenant_id, LOGS, run_id, values)
