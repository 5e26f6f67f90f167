"""`/api/v1/executions` and `/api/v1/requests`: one run in full, repeating it, ending it; what became of a request."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path

from convergence_assets.api import cancellation, run_requests
from convergence_assets.api.access import Caller, DeploymentDep, Reader, Runner
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import Refusal, not_found, responses
from convergence_assets.api.models import Cancelled, Execution, ExecutionDetail, RunRequest
from convergence_assets.api.pipelines import target_of
from convergence_assets.api.run_detail import error_of_run, steps_of
from convergence_assets.control import tenant_runs
from convergence_assets.control.api_requests import api_request
from convergence_assets.control.audit import AuditEntry, record_entry
from convergence_assets.control.tenant_runs import TenantRun

executions = APIRouter(prefix="/api/v1", tags=["executions"])

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
RunId = Annotated[str, Path(description="A run's id", examples=["5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10"])]
RequestId = Annotated[str, Path(description="A request's id", examples=["req_1f0c8d2b9e3a4c5d"])]


@executions.get("/executions/{run_id}", responses=responses(403, 404), summary="A run in full")
def execution(run_id: RunId, caller: Reader, deployment: DeploymentDep) -> ExecutionDetail:
    """Steps, checks, rows, bytes, and why it failed. Of a run over several pipelines the first one's is its head, with
    the rows and bytes of all."""
    parts = _tenant_runs(deployment, caller, run_id)
    run_steps = steps_of(deployment.instance, run_id, caller.tenant_id)
    head = Execution.of(parts[0].run, next((error for part in parts if (error := error_of_run(part))), None))
    fields = head.model_dump() | {
        "rows_published": sum(part.run.rows_published for part in parts),
        "bytes_billed": sum(part.run.bytes_billed for part in parts),
    }
    return ExecutionDetail(**fields, steps=run_steps.steps, checks=run_steps.checks, complete=run_steps.complete)


@executions.post(
    "/executions/{run_id}/retry", status_code=202, responses=responses(403, 404, 409), summary="Repeat a run"
)
def retry(run_id: RunId, caller: Runner, deployment: DeploymentDep) -> RunRequest:
    """Ask once more for the days of a run that has failed or was canceled, as far as it did not publish them."""
    parts = _tenant_runs(deployment, caller, run_id)
    run = parts[0].run
    if run.status in ("queued", "running"):
        raise _conflict("not_over", "The run is not over.", "Wait for it, or cancel it.", run_id)
    if len(parts) > 1 or run.first is None or run.last is None:
        message = "The run is over several pipelines, or over no partition."
        raise _conflict(
            "not_repeatable", message, "Request the days: POST /api/v1/pipelines/{pipeline_id}/runs.", run_id
        )
    target = target_of(deployment, caller.tenant_id, run.pipeline)
    days_request = run_requests.request_days(deployment, caller, target, run.first, run.last, retry_of=run_id)
    with deployment.store.read() as connection:
        return run_requests.status_of(connection, days_request)


@executions.post(
    "/executions/{run_id}/cancel", status_code=202, responses=responses(403, 404, 409), summary="End a run"
)
def cancel(run_id: RunId, caller: Runner, deployment: DeploymentDep) -> Cancelled:
    """Take it out of the queue, or ask its process to end. What it has published stays."""
    parts = _tenant_runs(deployment, caller, run_id)
    if parts[0].shared:
        message = "The run is not this tenant's alone."
        raise _conflict("shared", message, "Ask the platform's operator to end it.", run_id)
    done = cancellation.end_run(deployment.instance, run_id)
    outcome = f"{done[0]}: {done[1]}" if done else "it was over"
    entry = AuditEntry(caller.key_id, "run.cancel", outcome, caller.tenant_id, run_id, caller.address)
    with deployment.store.write() as connection:
        record_entry(connection, entry, deployment.store.now())
    if done is None:
        raise _conflict("is_over", "The run is over.", f"GET /api/v1/executions/{run_id} says how it ended.", run_id)
    return Cancelled(run_id=run_id, status=done[0], done=done[1])


@executions.get("/requests/{request_id}", responses=responses(403, 404), summary="What became of a request")
def request(request_id: RequestId, caller: Reader, deployment: DeploymentDep) -> RunRequest:
    """The runs that were made for the days, and the days that wait."""
    if not _ID.fullmatch(request_id):
        raise not_found()
    with deployment.store.read() as connection:
        days_request = api_request(connection, caller.tenant_id, request_id)
        if days_request is None:
            raise not_found()
        return run_requests.status_of(connection, days_request)


def _tenant_runs(deployment: Deployment, caller: Caller, run_id: str) -> Sequence[TenantRun]:
    parts: Sequence[TenantRun] = ()
    if _ID.fullmatch(run_id):
        with deployment.store.read() as connection:
            parts = tenant_runs.run(connection, caller.tenant_id, run_id)
    if not parts:
        raise not_found()
    return parts


def _conflict(error: str, message: str, next_step: str, run_id: str) -> Refusal:
    return Refusal(409, error, message, next_step, run_id=run_id)
