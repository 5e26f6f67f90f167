"""Days that a tenant requests: marked as due, so that the planner makes their runs at its next tick.

Nothing is launched from here. A request is one transaction of the control store: it is lost neither with this process
nor with Dagster's, needs no code location, takes its turn among all tenants, and never makes two runs of one day.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from secrets import token_hex

import sqlalchemy as sa

from convergence_assets.api import queries
from convergence_assets.api.access import Caller
from convergence_assets.api.deployment import Deployment
from convergence_assets.api.errors import Refusal, invalid, too_many
from convergence_assets.api.models import RunOfRequest, RunRequest, WaitingDay
from convergence_assets.api.queries import ApiRequest
from convergence_assets.assets.window import days_of
from convergence_assets.control import audit, partition_states, publications
from convergence_assets.control.audit import Deed
from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.run_requests import attempts_at, runs_used
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import api_requests
from convergence_assets.control.tables import requests as planned
from convergence_assets.local_days import why_unfinished
from convergence_assets.scheduling.capacity import stretches
from convergence_assets.scheduling.explain import SWITCHED_OFF, UNSEEN
from convergence_assets.scheduling.switched_off import switched_off
from convergence_assets.scheduling.targets import Target

LONGEST_RANGE_DAYS = 366
KEPT = timedelta(days=62)
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
        pauses = queries.paused(connection, target.tenant_id)
        if target.paused or (reason := pauses.get(target.pipeline) or pauses.get("")):
            raise _paused("it is paused in the tenant's file" if target.paused else str(reason))
        request = _DayRequest(store, connection, target, first, last)
        earlier = request.waiting_request()
        if earlier is not None:
            return earlier
        request.refuse_active_days()
        rows = request.rows(caller.key_id, retry_of)
        request.refuse_over_plan(rows)
        partition_states.write_outstanding(connection, rows)
        stored = ApiRequest(
            f"req_{token_hex(12)}", target.tenant_id, target.pipeline, first, last, caller.key_id, store.now(), retry_of
        )
        connection.execute(sa.delete(api_requests).where(api_requests.c.asked_at < store.now() - KEPT))
        connection.execute(sa.insert(api_requests), vars(stored))
        entry = Deed(
            caller.key_id, "run.retry" if retry_of else "run.trigger", f"asked for {first}...{last}", target.tenant_id,
            retry_of or f"{target.pipeline}/{stored.request_id}", caller.address,
        )  # fmt: skip
        audit.record_deed(connection, entry, store.now())
    return stored


def status_of(connection: sa.Connection, request: ApiRequest) -> RunRequest:
    """A request as it is now."""
    days = days_of(request.first_day, request.last_day)
    name = (request.tenant_id, request.pipeline)
    left = partition_states.outstanding(connection, *name, days)
    unseen = f"; {UNSEEN}" if left and not partition_states.was_looked_at(connection, name) else ""
    runs = queries.overlapping(connection, *name, request.first_day, request.last_day, request.asked_at - _SLACK)
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


class _DayRequest:
    """One request within its transaction, which the planner's ticks wait for."""

    def __init__(self, store: ControlStore, connection: sa.Connection, target: Target, first: date, last: date) -> None:
        self._store = store
        self._connection = connection
        self._target = target
        self._first, self._last = first, last
        self._days = days_of(first, last)
        self._pending = {row.day: row for row in partition_states.outstanding(connection, *target.name, self._days)}
        self._published = publications.between(connection, target.tenant_id, target.tables.all_tables(), first, last)

    def waiting_request(self) -> ApiRequest | None:
        """An earlier request for these days that no run was made for yet, and that does not wait for a later try."""
        now = self._store.now()
        rows = self._pending.values()
        if len(rows) < len(self._days) or any(
            row.state == "gave_up" or (row.state == "due" and row.wake_at is not None and row.wake_at > now)
            for row in rows
        ):
            return None
        for earlier in queries.requests_for(self._connection, *self._target.name, self._first, self._last):
            if not status_of(self._connection, earlier).runs:
                return earlier
        return None

    def refuse_active_days(self) -> None:
        """Runs that hold the days, that wait in the queue, or that the planner has not seen the end of."""
        connection, target = self._connection, self._target
        for lock in Locks(self._store).living(connection, target.tenant_id):
            is_same_pipeline = lock.claim.pipeline == target.pipeline
            if is_same_pipeline and lock.claim.first <= self._last and self._first <= lock.claim.last:
                raise _at_work(lock.run_id)
        for part in queries.overlapping(connection, *target.name, self._first, self._last):
            raise _at_work(part.run.run_id)
        keys = [row.request_key for row in self._pending.values() if row.state == "requested" and row.request_key]
        taken = sa.select(planned.c.run_id).where(
            planned.c.tenant_id == target.tenant_id, planned.c.request_key.in_(keys), planned.c.run_id.is_not(None)
        )
        for run_id in connection.scalars(taken):
            raise _has_just_ended(run_id)
        # The planner would take a publication that it has not read yet for the result of this request.
        seen = partition_states.read_through_of(connection, target.tenant_id)
        unseen = max((p for p in self._published.values() if p.version > seen), key=lambda p: p.version, default=None)
        if unseen is not None:
            is_own_table = unseen.table in target.tables.reads
            raise _has_just_ended(unseen.run_id if is_own_table else None)

    def rows(self, asked_by: str, retry_of: str | None) -> list[PendingPartition]:
        """The rows that the planner is to find; days that it has requested already are left as they are."""
        days = [
            day
            for day in self._days
            if retry_of is None or not self._target.tables.are_by(retry_of, day, self._published)
        ]
        if not days:
            raise Refusal(
                409, "nothing_to_retry", "The run has published all of its days.", "POST …/runs makes them once more.",
                run_id=retry_of,
            )  # fmt: skip
        reason = f"repeats run {retry_of}" if retry_of else "asked for over the API"
        return [replace(self._row(day, reason), asked_by=asked_by) for day in days if not self._is_requested(day)]

    def refuse_over_plan(self, rows: Sequence[PendingPartition]) -> None:
        """Raise where the runs that these days take are more than what is left of the plan."""
        quota, now = self._target.quota, self._store.now()
        runs = sum(1 for _ in stretches(rows))
        usage = runs_used(self._connection, [quota], now)[quota.tenant_id]
        exhausted = usage.exhausted(quota, now)
        if exhausted is None and runs > min(quota.daily_runs, quota.monthly_runs):
            raise invalid(f"These days take {runs} runs; the plan allows {quota.daily_runs} a day. Ask for fewer days.")
        left = {"day": quota.daily_runs - usage.daily, "month": quota.monthly_runs - usage.monthly}
        short = next((period for period in ("month", "day") if runs > left[period]), None)
        if exhausted is None and short is not None:
            end = (quota.month if short == "month" else quota.day)(now)[1]
            exhausted = f"these days take {runs} runs, and {left[short]} are left of the {short}", end
        if exhausted is not None:
            reason, retry_at = exhausted
            seconds = max(int((retry_at - now).total_seconds()) + 1, 1)
            raise too_many("over_plan", f"The plan allows no more: {reason}.", seconds)

    def _is_requested(self, day: date) -> bool:
        row = self._pending.get(day)
        return row is not None and row.state == "requested"

    def _row(self, day: date, reason: str) -> PendingPartition:
        row = self._pending.get(day)
        version = max((p.version for (_, d), p in self._published.items() if d == day), default=0)
        version = max(version, row.data_version if row else 0)
        attempts = row.attempts if row else 0
        if self._was_requested(day):
            # A request's key is never used twice; a day that has one gets a run of its own, under a higher number.
            tried = attempts_at(self._connection, Claim(*self._target.name, day, day), version)
            attempts = max(tried, attempts, 1)
        return PendingPartition(*self._target.name, day, "due", reason, self._store.now(), attempts, version)

    def _was_requested(self, day: date) -> bool:
        conditions = (
            planned.c.tenant_id == self._target.tenant_id, planned.c.pipeline == self._target.pipeline,
            planned.c.first_day <= day, planned.c.last_day >= day,
        )  # fmt: skip
        return (
            self._connection.execute(sa.select(planned.c.request_key).where(*conditions).limit(1)).first() is not None
        )


def _check_days(target: Target, first: date, last: date, now: datetime) -> None:
    if first < target.start_date:
        raise invalid(f"{target.pipeline} begins on {target.start_date}; {first} is no partition of it.")
    if unfinished := why_unfinished(last, target.timezone, now):
        raise invalid(unfinished)
    if (last - first).days >= LONGEST_RANGE_DAYS:
        raise invalid(f"At most {LONGEST_RANGE_DAYS} days are asked for at once.")


def _paused(reason: str) -> Refusal:
    return Refusal(
        409, "paused", f"The pipeline does not run: {reason}.", "Resume it: `convergence resume`, or in its file.",
        run_id=None,
    )  # fmt: skip


def _at_work(run_id: str) -> Refusal:
    return Refusal(
        409, "already_running", "A run is at work on these days.", f"Wait for it: GET /api/v1/executions/{run_id}.",
        run_id=run_id,
    )  # fmt: skip


def _has_just_ended(run_id: str | None) -> Refusal:
    return Refusal(
        409, "not_seen_yet", "A run over these days, or over what they read, has only just ended.",
        f"Send it again after {_UNSEEN_SECONDS} seconds; if it stays so, the Dagster daemon does not run.",
        {"Retry-After": str(_UNSEEN_SECONDS)}, run_id=run_id,
    )  # fmt: skip
