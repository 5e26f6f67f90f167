"""`/api/v1/pipelines`: a tenant's pipelines, their runs, and asking for days."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import sqlalchemy as sa
from fastapi import APIRouter, Body, Path, Query

from convergence_assets.api import run_requests
from convergence_assets.api.access import DeploymentDep, Reader, Runner
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import invalid, not_found, responses
from convergence_assets.api.models import (
    Execution,
    ExecutionCursor,
    Executions,
    Pipelines,
    PipelineState,
    RunRequest,
    WantedRun,
)
from convergence_assets.api.run_detail import error_of_run
from convergence_assets.control import publications, tenant_runs
from convergence_assets.control.partition_states import all_pauses
from convergence_assets.control.runs import RunStatus
from convergence_assets.control.table_versions import days_by_version
from convergence_assets.scheduling.targets import Target
from convergence_assets.tenancy.tenant import Tenant

pipelines = APIRouter(prefix="/api/v1/pipelines", tags=["pipelines"])

Status = Annotated[list[RunStatus] | None, Query(description="Only runs of this status; may be said several times")]
Since = Annotated[datetime | None, Query(description="Only runs that were created then or later; UTC where no offset")]
Limit = Annotated[int, Query(ge=1, le=200, description="At most so many")]
Cursor = Annotated[ExecutionCursor, Query(description="`next_cursor` of the page before")]
PipelineId = Annotated[str, Path(description="A pipeline's name", examples=["gcp_billing"])]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,127}")


@pipelines.get("", responses=responses(403), summary="The tenant's pipelines")
def all_pipelines(caller: Reader, deployment: DeploymentDep) -> Pipelines:
    """Schedule, last run and last published day of each."""
    loaded = deployment.served.loaded()
    tenant, targets = loaded.tenant(caller.tenant_id), loaded.targets(caller.tenant_id)
    if tenant is None:
        return Pipelines(pipelines=[])
    with deployment.store.read() as connection:
        newest = publications.newest_days(connection, {tenant.tenant_id: tenant.timezone})
        pauses = all_pauses(connection, tenant.tenant_id)
        known = days_by_version(connection, tenant.tenant_id)
        versions = {table: days.read for (_, table), days in known.items() if days.published}
        states = []
        for target in targets:
            last = tenant_runs.page(connection, caller.tenant_id, pipeline=target.pipeline, limit=1).runs
            run = Execution.of(last[0].run, error_of_run(last[0])) if last else None
            states.append(
                _state(
                    tenant,
                    target,
                    newest,
                    versions,
                    run_requests.why_paused(pauses, target),
                    run,
                    deployment.store.now(),
                )
            )
    return Pipelines(pipelines=states)


@pipelines.get("/executions", responses=responses(403), summary="Runs of all pipelines")
def executions(
    caller: Reader,
    deployment: DeploymentDep,
    status: Status = None,
    since: Since = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Executions:
    """The newest first; `?status=running` shows what runs now."""
    with deployment.store.read() as connection:
        return _page(connection, caller.tenant_id, None, status, since, limit, cursor)


@pipelines.get("/{pipeline_id}/executions", responses=responses(403, 404), summary="Runs of a pipeline")
def executions_of(
    pipeline_id: PipelineId, caller: Reader, deployment: DeploymentDep, status: Status = None, since: Since = None,
    limit: Limit = 50, cursor: Cursor = None,
) -> Executions:  # fmt: skip
    """The newest first."""
    if not _NAME.fullmatch(pipeline_id):
        raise not_found()
    with deployment.store.read() as connection:
        is_configured = deployment.served.loaded().target(caller.tenant_id, pipeline_id) is not None
        if not is_configured and not tenant_runs.has_run(connection, caller.tenant_id, pipeline_id):
            raise not_found()
        return _page(connection, caller.tenant_id, pipeline_id, status, since, limit, cursor)


@pipelines.post(
    "/{pipeline_id}/runs", status_code=202, responses=responses(400, 403, 404, 409, 413), summary="Request days"
)
def ask_for_days(
    pipeline_id: PipelineId, caller: Runner, deployment: DeploymentDep, body: Annotated[WantedRun, Body()]
) -> RunRequest:
    """Let one partition or a range be made, also where it is published. The answer names the request; `run_id` is
    filled once its run is there (`GET /api/v1/requests/{request_id}`): within half a minute, where the plan has room
    and no older day of the pipeline is due."""
    days_request = run_requests.request_days(
        deployment, caller, target_of(deployment, caller.tenant_id, pipeline_id), *body.days
    )
    with deployment.store.read() as connection:
        return run_requests.status_of(connection, days_request)


def target_of(deployment: Deployment, tenant_id: str, pipeline: str) -> Target:
    """Raises 404 where the tenant does not run it."""
    target = deployment.served.loaded().target(tenant_id, pipeline)
    if target is None:
        raise not_found()
    return target


def _page(
    connection: sa.Connection, tenant_id: str, pipeline: str | None, status: list[RunStatus] | None,
    since: datetime | None, limit: int, cursor: str | None,
) -> Executions:  # fmt: skip
    try:
        moment = (since if since.tzinfo else since.replace(tzinfo=UTC)).astimezone(UTC) if since else None
        page = tenant_runs.page(
            connection, tenant_id, pipeline=pipeline, statuses=status or (), since=moment, limit=limit, after=cursor
        )
    except (ValueError, OverflowError) as error:
        message = "since: no such moment" if isinstance(error, OverflowError) else f"cursor: {error}"
        raise invalid(f"{message}.", "Ask without it.") from None
    return Executions(
        executions=[Execution.of(part.run, error_of_run(part)) for part in page.runs], next_cursor=page.next
    )


def _state(
    tenant: Tenant, target: Target, newest: Mapping[tuple[str, str], date], versions: Mapping[str, int],
    paused: str | None, run: Execution | None, now: datetime,
) -> PipelineState:  # fmt: skip
    published = [newest.get((target.tenant_id, table)) for table in target.tables.reads]
    last = min((day for day in published if day), default=None) if all(published) else None
    through = target.due_through(now)
    pipeline = next(candidate for candidate in tenant.pipelines if candidate.name == target.pipeline)
    behind_days = (through - last).days if last else (through - target.start_date).days + 1
    return PipelineState(
        pipeline_id=target.pipeline,
        description=pipeline.description,
        schedule=target.cron,
        timezone=target.timezone,
        paused=paused,
        tables=list(target.tables.reads),
        versions={table: versions[table] for table in target.tables.reads if table in versions},
        start_date=target.start_date,
        last_published=last,
        due_through=through,
        behind_days=max(behind_days, 0),
        next_due_at=target.due_at(max(through + timedelta(days=1), target.start_date)),
        last_run=run,
    )
