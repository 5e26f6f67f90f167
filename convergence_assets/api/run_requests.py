"""Days that a tenant requests over HTTP: each refusal of a request, and its state later on.

A request is one transaction of the control store: it is lost neither with this process nor with Dagster's, needs no
code location, takes its turn among all tenants, and never makes two runs of one day.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from secrets import token_hex

import sqlalchemy as sa

from convergence_assets.api.access import Caller
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import Refusal, invalid, too_many
from convergence_assets.api.models import RunOfRequest, RunRequest, WaitingDay
from convergence_assets.assets.window import days_of
from convergence_assets.control import audit, partition_states, tenant_runs
from convergence_assets.control.api_requests import ApiRequest, api_requests_for, insert_api_request
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.partition_states import Name, Pause
from convergence_assets.local_days import why_unfinished
from convergence_assets.scheduling.day_requests import (
    DayRequest,
    LongerThanPlan,
    NothingToRepeat,
    PlanUsed,
    RunAtWork,
    RunJustEnded,
)
from convergence_assets.scheduling.explain import SWITCHED_OFF, UNSEEN
from convergence_assets.scheduling.switched_off import switched_off
from convergence_assets.scheduling.targets import Target

LONGEST_RANGE_DAYS = 366
_UNSEEN_SECONDS = 30
_SLACK = timedelta(seconds=5)
"""Dagster's moments are another clock's."""


def request_days(
    deployment: Deployment, caller: Caller, target: Target, first: date, last: date, retry_of: str | None = None
) -> ApiRequest:
    """Let the days be made, once more where they are published; of a repeated run those that it did not publish.

    A request for days that are already waiting returns the earlier one. Raises `Refusal`: 409 where a run is at work
    on one of the days or the pipeline is paused, 422 for days that it does not have, 429 over the plan.
    """
    store = deployment.store
    _check_days(target, first, last, store.now())
    if switched_off(deployment.instance)(target):
        raise _paused(SWITCHED_OFF)
    with store.write("planner") as connection:
        if reason := why_paused(partition_states.all_pauses(connection, target.tenant_id), target):
            raise _paused(f"it is {reason}" if target.paused else reason)
        request = DayRequest(store, connection, target, first, last)
        if request.is_waiting():
            for earlier in api_requests_for(connection, *target.name, first, last):
                if not status_of(connection, earlier).runs:
                    return earlier
        reason = f"repeats run {retry_of}" if retry_of else "requested over the API"
        try:
            request.make(reason, caller.key_id, retry_of)
        except (RunAtWork, RunJustEnded, NothingToRepeat, LongerThanPlan, PlanUsed) as refused:
            raise _refusal(refused, store.now(), retry_of) from refused
        stored = ApiRequest(
            f"req_{token_hex(12)}", target.tenant_id, target.pipeline, first, last, caller.key_id, store.now(), retry_of
        )
        insert_api_request(connection, stored)
        entry = AuditEntry(
            caller.key_id, "run.retry" if retry_of else "run.trigger", f"requested {first}...{last}", target.tenant_id,
            retry_of or f"{target.pipeline}/{stored.request_id}", caller.address,
        )  # fmt: skip
        audit.record_entry(connection, entry, store.now())
    return stored


def why_paused(pauses: Mapping[Name, Pause], target: Target) -> str | None:
    """Who paused a pipeline, or all of its tenant's, and why; None where nobody did."""
    if target.paused:
        return "paused in the tenant's file"
    pause = partition_states.pause_of(pauses, target.name)
    return f"paused by {pause.paused_by} on {pause.paused_at:%Y-%m-%d}: {pause.reason}" if pause else None


def status_of(connection: sa.Connection, request: ApiRequest) -> RunRequest:
    """A request as it is now."""
    days = days_of(request.first_day, request.last_day)
    name = (request.tenant_id, request.pipeline)
    left = partition_states.outstanding(connection, *name, days)
    unseen = f"; {UNSEEN}" if left and not partition_states.was_looked_at(connection, name) else ""
    runs = tenant_runs.overlapping(connection, *name, request.first_day, request.last_day, request.asked_at - _SLACK)
    active = any(part.run.status in ("queued", "running") for part in runs)
    return RunRequest(
        request_id=request.request_id,
        pipeline_id=request.pipeline,
        partition_start=request.first_day,
        partition_end=request.last_day,
        asked_at=request.asked_at,
        retry_of=request.retry_of,
        state="running" if active else "waiting" if any(row.state != "gave_up" for row in left) else "done",
        run_id=runs[0].run.run_id if runs else None,
        runs=[
            RunOfRequest(run_id=part.run.run_id, status=part.run.status, partition=part.run.partition) for part in runs
        ],
        waiting=[
            WaitingDay(partition=row.day, state=row.state, reason=f"{row.reason}{unseen}")
            for row in sorted(left, key=lambda row: row.day)
        ],
    )


def _check_days(target: Target, first: date, last: date, now: datetime) -> None:
    if first < target.start_date:
        raise invalid(f"{target.pipeline} begins on {target.start_date}; {first} is no partition of it.")
    if unfinished := why_unfinished(last, target.timezone, now):
        raise invalid(unfinished)
    if (last - first).days >= LONGEST_RANGE_DAYS:
        raise invalid(f"At most {LONGEST_RANGE_DAYS} days are requested at once.")


def _paused(reason: str) -> Refusal:
    return Refusal(
        409, "paused", f"The pipeline does not run: {reason}.", "Resume it: `convergence resume`, or in its file.",
        run_id=None,
    )  # fmt: skip


def _refusal(refused: Exception, now: datetime, retry_of: str | None) -> Refusal:
    match refused:
        case RunAtWork():
            return Refusal(
                409, "already_running", "A run is at work on these days.",
                f"Wait for it: GET /api/v1/executions/{refused.run_id}.", run_id=refused.run_id,
            )  # fmt: skip
        case RunJustEnded():
            return Refusal(
                409, "not_seen_yet", "A run over these days, or over what they read, has only just ended.",
                f"Send it again after {_UNSEEN_SECONDS} seconds; if it stays so, the Dagster daemon does not run.",
                {"Retry-After": str(_UNSEEN_SECONDS)}, run_id=refused.run_id,
            )  # fmt: skip
        case NothingToRepeat():
            return Refusal(
                409, "nothing_to_retry", "The run has published all of its days.", "POST …/runs makes them once more.",
                run_id=retry_of,
            )  # fmt: skip
        case LongerThanPlan():
            return invalid(
                f"These days take {refused.runs} runs; the plan allows {refused.quota.daily_runs} a day. Ask for fewer "
                "days."
            )
        case PlanUsed():
            seconds = max(int((refused.renewed_at - now).total_seconds()) + 1, 1)
            return too_many("over_plan", f"The plan allows no more: {refused}.", seconds)
    raise refused
