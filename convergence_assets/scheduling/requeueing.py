"""Days of a run that published nothing: marked so that the planner requests them at its next tick."""

from datetime import date

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import tables_of
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


def requeue_days(
    store: ControlStore, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date, run_id: str, reason: str
) -> list[date]:
    """The days of [first, last] that the run did not publish whole; a day that was given up stays so.

    They are requested one by one, as all days that have failed. A paused pipeline waits until it is resumed.
    """
    with store.write("planner") as connection:
        return _days(store, connection, tenant, pipeline, first, last).requeue(run_id, reason)


def requeue_interrupted_days(
    store: ControlStore, connection: sa.Connection, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date,
    run_id: str,
) -> list[date]:  # fmt: skip
    """Within a transaction: the days of [first, last] that an interrupted run did not publish whole, and that are not
    requested now; the planner requests them at its next tick, including those that it had given up."""
    store.wait_for(connection, "planner")
    return _days(store, connection, tenant, pipeline, first, last).requeue_interrupted(run_id)


def _days(
    store: ControlStore, connection: sa.Connection, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date
) -> PipelineDays:
    name, tables = (tenant.tenant_id, pipeline.name), tables_of(tenant, pipeline)
    return PipelineDays(connection, name, tables, days_of(first, last), store.now())
