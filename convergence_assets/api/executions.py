"""`/api/v1/executions` and `/api/v1/requests`: one run in full, repeating it, ending it; what became of a request."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Path

from convergence_assets.api import cancellation, queries, run_requests
from convergence_assets.api.access import Caller, Here, Reader, Runner
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import Refusal, not_found, responses
from convergence_assets.api.models import Cancelled, Execution, ExecutionDetail, RunRequest
from convergence_assets.api.pipelines import target_of
from convergence_assets.api.queries import OwnRun
from convergence_assets.api.run_detail import error_of_run, steps_of
from convergence_assets.control.audit import Deed, note

executions = APIRouter(prefix="/api/v1", tags=["executions"])

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
RunId = Annotated[str, Path(description="A run's id", examples=["5d7d4b1f-5d0c-4f1c-9a39-0f6f4a9f6a10"])]
RequestId = Annotated[str, Path(description="A request's id", examples=["req_1f0c8d2b9e3a4c5d"])]


@executions.get("/executions/{run_id}", responses=responses(403, 404), summary="A run in full")
def execution(run_id: RunId, caller: Reader, here: Here) -> ExecutionDetail:
    """Steps, checks, rows, bytes, and why it failed. Of a run over several pipelines the first one's is its head, with
    the rows and bytes of all."""
    own = _own(here, caller, run_id)
    found = steps_of(here.instance, run_id, caller.tenant_id)
    head = Execution.of(own[0].run, next((error for one in own if (error := error_of_run(one))), None))
    said = head.model_dump() | {
        "rows_published": sum(one.run.rows_published for one in own),
        "bytes_billed": sum(one.run.bytes_billed for one in own),
    }
    return ExecutionDetail(**said, steps=found.steps, checks=found.checks, complete=found.complete)


@executions.post(
    "/executions/{run_id}/retry", status_code=202, responses=responses(403, 404, 409), summary="Repeat a run"
)
def retry(run_id: RunId, caller: Runner, here: Here) -> RunRequest:
    """Ask once more for the days of a run that has failed or was canceled, as far as it did not publish them."""
    own = _own(here, caller, run_id)
    run = own[0].run
    if run.status in ("queued", "running"):
        raise _conflict("not_over", "The run is not over.", "Wait for it, or cancel it.", run_id)
    if len(own) > 1 or run.first is None or run.last is None:
        said = "The run is over several pipelines, or over no partition."
        raise _conflict("not_repeatable", said, "Ask for the days: POST /api/v1/pipelines/{pipeline_id}/runs.", run_id)
    target = target_of(here, caller.tenant_id, run.pipeline)
    asked = run_requests.ask(here, caller, target, run.first, run.last, retry_of=run_id)
    with here.store.read() as connection:
        return run_requests.standing(connection, asked)


@executions.post(
    "/executions/{run_id}/cancel", status_code=202, responses=responses(403, 404, 409), summary="End a run"
)
def cancel(run_id: RunId, caller: Runner, here: Here) -> Cancelled:
    """Take it out of the queue, or ask its process to end. What it has published stays."""
    own = _own(here, caller, run_id)
    if own[0].shared:
        said = "The run is not this tenant's alone."
        raise _conflict("shared", said, "Ask the platform's operator to end it.", run_id)
    done = cancellation.end(here.instance, run_id)
    outcome = f"{done[0]}: {done[1]}" if done else "it was over"
    deed = Deed(caller.key_id, "run.cancel", outcome, caller.tenant_id, run_id, caller.address)
    with here.store.write() as connection:
        note(connection, deed, here.store.now())
    if done is None:
        raise _conflict("is_over", "The run is over.", f"GET /api/v1/executions/{run_id} says how it ended.", run_id)
    return Cancelled(run_id=run_id, status=done[0], done=done[1])


@executions.get("/requests/{request_id}", responses=responses(403, 404), summary="What became of a request")
def request(request_id: RequestId, caller: Reader, here: Here) -> RunRequest:
    """The runs that were made for the days, and the days that wait."""
    if not _ID.fullmatch(request_id):
        raise not_found()
    with here.store.read() as connection:
        asked = queries.request(connection, caller.tenant_id, request_id)
        if asked is None:
            raise not_found()
        return run_requests.standing(connection, asked)


def _own(here: Deployment, caller: Caller, run_id: str) -> Sequence[OwnRun]:
    found: Sequence[OwnRun] = ()
    if _ID.fullmatch(run_id):
        with here.store.read() as connection:
            found = queries.run(connection, caller.tenant_id, run_id)
    if not found:
        raise not_found()
    return found


def _conflict(error: str, message: str, next_step: str, run_id: str) -> Refusal:
    return Refusal(409, error, message, next_step, run_id=run_id)
