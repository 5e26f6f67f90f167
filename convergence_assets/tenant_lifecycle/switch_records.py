"""What is recorded of a switch that the warehouse has made: the days of the version that is read now."""

import json
from datetime import date, datetime

from convergence_assets.control import audit, publications
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.ledger_rows import LedgerRow, put_rows
from convergence_assets.control.store import ControlStore
from convergence_assets.control.table_versions import is_built_day, put_back, take_place
from convergence_assets.ledger.tables import LOGS
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenant_lifecycle.table_versions import TableVersion
from convergence_assets.warehouse.schema import version_name


def end_switch(store: ControlStore, found: TableVersion, run_id: str, by: str) -> tuple[str, list[date]]:
    """Record the switch to the version that is read now, in one transaction: what was done, and the days that this
    version lacks, which are requested again. Raises `ControlError`.

    Called while no run can publish a day of the table. It does nothing where all is recorded.
    """
    tenant_id, table = found.tenant.tenant_id, found.step.table
    before, is_new = found.former or found.read - 1, any(map(is_built_day, found.unfinished.values()))
    outcome = f"version {before} -> {found.read}" if is_new else f"version {found.read} is read"
    name = (tenant_id, found.pipeline.name)
    with store.write("planner") as connection:
        store.wait_for(connection, publications.WRITING)
        now, again = store.now(), list[date]()
        if is_new:
            names = (table, version_name(table, found.read), version_name(table, before))
            again = take_place(connection, *name, names, run_id, now)
        elif found.unfinished:
            again = put_back(connection, *name, (table, version_name(table, found.read)), now)
        days = PipelineDays(connection, name, tables_of(found.tenant, found.pipeline), again, now)
        days.request(days.requested_again(again, f"not in version {found.read} of {table}", by))
        put_rows(connection, [_log_row(found, outcome, run_id, now)], now)
        audit.record_entry(
            connection, AuditEntry(by, "table.upgrade", f"{outcome}, run {run_id}", tenant_id, table), now
        )
    return outcome, again


def _log_row(found: TableVersion, outcome: str, run_id: str, now: datetime) -> LedgerRow:
    """The switch as a row of the tenant's log; `rows` are those of all days that are recorded."""
    days = sorted(found.unfinished)
    values = {
        "log_id": run_id,
        "pipeline_run_id": run_id,
        "tenant_id": found.tenant.tenant_id,
        "pipeline_id": found.pipeline.name,
        "step": found.step.table,
        "event": "published",
        "level": "INFO",
        "message": f"table {found.table}: {outcome}",
        "partition": f"{days[0]}...{days[-1]}" if days else None,
        "rows": sum(one.rows for one in found.unfinished.values()),
        "metadata": json.dumps({"version": found.read}),
        "created_at": now.isoformat(),
    }
    return LedgerRow(found.tenant.tenant_id, LOGS, run_id, values)
