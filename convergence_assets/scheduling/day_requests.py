"""Days that somebody requests: what is refused, what of them is requested, and what the plan allows.

Nothing is launched from here: days become due, and the planner makes their runs at its next tick.
"""

from collections.abc import Sequence
from datetime import date, datetime

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, tenant_runs
from convergence_assets.control.locks import Locks
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.run_requests import Quota, runs_of_keys, runs_used
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.capacity import stretches
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import Target


class RunAtWork(Exception):
    """A run is at work on one of the days, or waits in the queue."""

    def __init__(self, run_id: str) -> None:
        super().__init__(f"run {run_id} is at work on these days")
        self.run_id = run_id


class RunJustEnded(Exception):
    """The planner has not seen the end of a run over the days, or over what they read (`run_id` None)."""

    def __init__(self, run_id: str | None) -> None:
        super().__init__("a run over these days, or over what they read, has only just ended")
        self.run_id = run_id


class NothingToRepeat(Exception):
    """The run to repeat has published all of its days."""


class LongerThanPlan(Exception):
    """The days take more runs than a whole day or month of the plan has."""

    def __init__(self, runs: int, quota: Quota) -> None:
        super().__init__(f"these days take {runs} runs; the plan allows {quota.daily_runs} a day")
        self.runs, self.quota = runs, quota


class PlanUsed(Exception):
    """The days take more runs than are left of the plan until `renewed_at`."""

    def __init__(self, reason: str, renewed_at: datetime) -> None:
        super().__init__(reason)
        self.renewed_at = renewed_at


class DayRequest:
    """A request for the days [first, last] of a pipeline, within a transaction that holds the store's key `planner`."""

    def __init__(self, store: ControlStore, connection: sa.Connection, target: Target, first: date, last: date) -> None:
        self._store = store
        self._connection = connection
        self._target = target
        self._first, self._last = first, last
        self._days = PipelineDays.of(connection, target, days_of(first, last), store.now())

    def is_waiting(self) -> bool:
        """Whether all the days are outstanding already, and none waits for a later try."""
        now = self._store.now()
        rows = self._days.outstanding.values()
        return len(rows) == len(self._days.days) and not any(
            row.state == "gave_up" or (row.state == "due" and row.wake_at is not None and row.wake_at > now)
            for row in rows
        )

    def make(self, reason: str, asked_by: str, retry_of: str | None) -> None:
        """Request the days; of a repeated run those that it did not publish.

        Raises `RunAtWork`, `RunJustEnded`, `NothingToRepeat`, `LongerThanPlan` and `PlanUsed`.
        """
        self._refuse_active_days()
        days = self._days.unpublished_by(retry_of) if retry_of else self._days.days
        if not days:
            raise NothingToRepeat(retry_of)
        rows = self._days.requested_again(days, reason, asked_by)
        self._refuse_over_plan(rows)
        self._days.request(rows)

    def _refuse_active_days(self) -> None:
        connection, target = self._connection, self._target
        for lock in Locks(self._store).living(connection, target.tenant_id):
            is_same_pipeline = lock.claim.pipeline == target.pipeline
            if is_same_pipeline and lock.claim.first <= self._last and self._first <= lock.claim.last:
                raise RunAtWork(lock.run_id)
        for part in tenant_runs.overlapping(connection, *target.name, self._first, self._last):
            raise RunAtWork(part.run.run_id)
        rows = self._days.outstanding.values()
        keys = [row.request_key for row in rows if row.state == "requested" and row.request_key]
        for run_id in runs_of_keys(connection, target.tenant_id, keys):
            raise RunJustEnded(run_id)
        # The planner would take a publication that it has not read yet for the result of this request.
        seen = partition_states.read_through_of(connection, target.tenant_id)
        unseen = [publication for publication in self._days.published.values() if publication.version > seen]
        if unseen:
            newest = max(unseen, key=lambda publication: publication.version)
            raise RunJustEnded(newest.run_id if newest.table in target.tables.reads else None)

    def _refuse_over_plan(self, rows: Sequence[PendingPartition]) -> None:
        quota, now = self._target.quota, self._store.now()
        runs = sum(1 for _ in stretches(rows))
        usage = runs_used(self._connection, [quota], now)[quota.tenant_id]
        exhausted = usage.exhausted(quota, now)
        if exhausted is None and runs > min(quota.daily_runs, quota.monthly_runs):
            raise LongerThanPlan(runs, quota)
        left = {"day": quota.daily_runs - usage.daily, "month": quota.monthly_runs - usage.monthly}
        short = next((period for period in ("month", "day") if runs > left[period]), None)
        if exhausted is None and short is not None:
            end = (quota.month if short == "month" else quota.day)(now)[1]
            exhausted = f"these days take {runs} runs, and {left[short]} are left of the {short}", end
        if exhausted is not None:
            raise PlanUsed(*exhausted)
