"""Days of a run that published nothing: marked so that the planner requests them at its next tick."""

from dataclasses import replace
from datetime import date

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, publications
from convergence_assets.control.locks import Claim
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.run_requests import attempts_at
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


def requeue_days(
    store: ControlStore, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date, run_id: str, reason: str
) -> list[date]:
    """The days of [first, last] that the run did not publish whole; a day that was given up stays so.

    They are requested one by one, as all days that have failed. A paused pipeline waits until it is resumed.
    """
    tables, days = tables_of(tenant, pipeline), days_of(first, last)
    name = (tenant.tenant_id, pipeline.name)
    with store.write("planner") as connection:
        published = publications.between(connection, tenant.tenant_id, tables.all_tables(), first, last)
        outstanding = {row.day: row for row in partition_states.outstanding(connection, *name, days)}
        again: list[PendingPartition] = []
        for day in days:
            if tables.are_by(run_id, day, published):
                continue
            row = outstanding.get(day)
            if row is not None and row.state == "gave_up":
                continue
            version = max((p.version for p in published.values() if p.day == day), default=0)
            version = max(version, row.data_version if row else 0)
            tried = attempts_at(connection, Claim(*name, day, day), version)
            before = row.attempts + (row.state == "requested") if row else 0
            description = f"asked for again: {reason}, run {run_id}"
            by, tries = row.asked_by if row else None, max(tried, before, 1)
            again.append(PendingPartition(*name, day, "due", description, store.now(), tries, version, asked_by=by))
        partition_states.write_outstanding(connection, again)
    return [row.day for row in again]


def ask_for_interrupted(
    store: ControlStore, connection: sa.Connection, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date,
    run_id: str,
) -> list[date]:  # fmt: skip
    """Within a transaction: the days of [first, last] that an interrupted run did not publish whole, and that are not
    requested now; the planner requests them at its next tick, including those that it had given up."""
    tables, days = tables_of(tenant, pipeline), days_of(first, last)
    name = (tenant.tenant_id, pipeline.name)
    store.wait_for(connection, "planner")
    published = publications.between(connection, tenant.tenant_id, tables.all_tables(), first, last)
    outstanding = {row.day: row for row in partition_states.outstanding(connection, *name, days)}
    reason = f"run {run_id} was interrupted"
    again = []
    for day in days:
        row = outstanding.get(day)
        if tables.are_by(run_id, day, published) or (
            row is not None and (row.state == "requested" or row.reason == reason)
        ):
            continue
        version = max((p.version for p in published.values() if p.day == day), default=0)
        if row is None:
            tried = attempts_at(connection, Claim(*name, day, day), version)
            row = PendingPartition(*name, day, "due", reason, None, tried, version)
        again.append(
            replace(
                row, state="due", reason=reason, wake_at=store.now(), interruptions=row.interruptions + 1,
                data_version=max(version, row.data_version), request_key=None,
            )
        )  # fmt: skip
    partition_states.write_outstanding(connection, again)
    return [row.day for row in again]
