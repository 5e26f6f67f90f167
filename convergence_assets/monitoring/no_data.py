"""The alert of a day without rows: a warning while its source may still arrive, critical once the day is late."""

from datetime import UTC, date, datetime

import sqlalchemy as sa

from convergence_assets.alerting import kinds
from convergence_assets.alerting.alert import Alert
from convergence_assets.assets.no_data import places
from convergence_assets.control import partition_states
from convergence_assets.control.runs import IndexedRun
from convergence_assets.scheduling.due import due_at
from convergence_assets.tenancy.tenant import Tenant

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def is_late(connection: sa.Connection, tenant: Tenant, pipeline: str, day: date, now: datetime) -> bool:
    """Whether a day should be published by now: `late_after_minutes` after it was due, or after the planner first saw
    the pipeline where that was later."""
    definition = next((p for p in tenant.pipelines if p.name == pipeline), None)
    if definition is None:
        return True
    progress = partition_states.progress(connection).get((tenant.tenant_id, pipeline))
    first_seen = (progress.first_seen_at if progress else None) or _LONG_AGO
    return max(due_at(definition.schedule, tenant.timezone, day), first_seen) + definition.late_after <= now


def no_data_alert(
    connection: sa.Connection, tenant: Tenant | None, run: IndexedRun, table: str, partition: str
) -> Alert:
    """The alert of a table's day (or `first...last`) without rows."""
    first, _, last = partition.partition("...")
    day = date.fromisoformat(last or first)
    pipelines = tenant.pipelines if tenant else ()
    step = next((s for p in pipelines if p.name == run.pipeline for s in p.steps if s.table == table), None)
    looked_in = places(step, day) if step else "its source"
    late = tenant is None or is_late(connection, tenant, run.pipeline, day, run.updated_at)
    return kinds.NO_DATA.alert(
        f"Run {run.run_id} found no rows for {partition} in {looked_in}.",
        "no_data",
        severity="critical" if late else "warning",
        tenant_id=run.tenant_id,
        pipeline=run.pipeline,
        partition=partition,
        table=table,
        run_id=run.run_id,
    )
