"""The rows of a pipeline's outstanding days between two ticks of the planner. Every change of them is made here."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.assets.window import days_of
from convergence_assets.control import partition_states, publications
from convergence_assets.control.locks import Claim
from convergence_assets.control.partition_states import Name, PendingPartition, Request
from convergence_assets.control.publications import Tables
from convergence_assets.control.run_requests import Outcome, attempts_at, was_requested
from convergence_assets.scheduling.targets import Target

RETRY_AFTER = tuple(timedelta(minutes=m) for m in (5, 15, 60, 180, 360, 720))
"""How long after each failed attempt a day is retried; after the last it is given up."""
INTERRUPTIONS = 3
"""How often a day whose run was interrupted is requested again at once; further interruptions are attempts."""


_GIVEN_UP = "given up after"


@dataclass(frozen=True)
class RequestedRun:
    """Dagster's state of a request: the run that was created for it, and its outcome once it is over."""

    run_id: str
    outcome: Outcome | None


class PipelineDays:
    """Some days of one pipeline: what is outstanding of them, what is published, and the changes of their state.

    It lives within one transaction, which holds the store's key `planner`.
    """

    def __init__(
        self, connection: sa.Connection, name: Name, tables: Tables, days: Collection[date], now: datetime
    ) -> None:
        self.days = sorted(days)
        self._connection = connection
        self._name = name
        self._tables = tables
        self._now = now
        self.published = (
            publications.between(connection, name[0], tables.all_tables(), self.days[0], self.days[-1])
            if self.days
            else {}
        )
        self._versions: dict[date, int] = {}
        for (_, day), publication in self.published.items():
            self._versions[day] = max(publication.version, self._versions.get(day, 0))
        self.outstanding = {row.day: row for row in partition_states.outstanding(connection, *name, self.days)}

    @classmethod
    def of(cls, connection: sa.Connection, target: Target, days: Collection[date], now: datetime) -> "PipelineDays":
        return cls(connection, target.name, target.tables, days, now)

    def data_version(self, day: date) -> int:
        """The newest publication that the day is to be made from, or that it replaces; 0 where there is none."""
        return self._versions.get(day, 0)

    def unpublished_by(self, run_id: str) -> list[date]:
        """The days that the run did not publish whole."""
        return [day for day in self.days if not self._tables.are_by(run_id, day, self.published)]

    def open_days(self, target: Target) -> None:
        """Make those outstanding that are neither published as they should be nor outstanding."""
        new = [
            day for day in self.days if day not in self.outstanding and not self._tables.is_current(day, self.published)
        ]
        self._write([self._judged(target, day) for day in new])

    def follow_publications(self, target: Target, has_opened: Callable[[date], bool]) -> None:
        """Judge again, after publications of what the days are or read; requested days wait for their run's end."""
        done, changed = [], []
        for day in self.days:
            row = self.outstanding.get(day)
            if row is None:
                if has_opened(day) and not self._tables.is_current(day, self.published):
                    changed.append(self._judged(target, day))
            elif row.state != "requested":
                if self._tables.is_current(day, self.published):
                    done.append(row)
                elif row.state == "waiting" or self.data_version(day) > row.data_version:
                    changed.append(replace(self._judged(target, day), asked_by=row.asked_by))
        partition_states.delete_outstanding(self._connection, done)
        self._write(changed)

    def end_run(self, target: Target, request: Request, run: RequestedRun) -> None:
        """Store what became of the days of a request whose run is over."""
        done, again = [], []
        for row in self._requested_by(request):
            is_published = self._tables.are_by(run.run_id, row.day, self.published)
            if run.outcome == "interrupted" and not is_published:
                again.append(_failed(row, run, self._now))  # also a day that was requested though it is current
            elif self._tables.is_current(row.day, self.published):
                done.append(row)
            elif is_published:
                again.append(self._judged(target, row.day))  # what it read was published once more
            else:
                again.append(_failed(row, run, self._now))
        partition_states.delete_outstanding(self._connection, done)
        self._write(again)

    def _requested_by(self, request: Request) -> list[PendingPartition]:
        rows = self.outstanding.values()
        return [row for row in rows if row.request_key == request.key and row.state == "requested"]

    def requested_again(self, days: Collection[date], reason: str, asked_by: str) -> list[PendingPartition]:
        """The states of days that are requested once more, published or not, for `request`; those that are requested
        already are left as they are."""
        rows = []
        for day in days:
            row = self.outstanding.get(day)
            if row is not None and row.state == "requested":
                continue
            attempts = row.attempts if row else 0
            if was_requested(self._connection, *self._name, day):
                # A request's key is never used twice; a day that has one gets a run of its own, under a higher number.
                attempts = max(self._attempts(day), attempts, 1)
            rows.append(self._due(day, reason, attempts, asked_by))
        return rows

    def request(self, rows: Sequence[PendingPartition]) -> None:
        """Write what `requested_again` returned."""
        self._write(rows)

    def requeue(self, run_id: str, reason: str) -> list[date]:
        """Request again what the run did not publish whole, day by day, as days that have failed; those are returned.

        A day that was given up stays so.
        """
        again = []
        for day in self.unpublished_by(run_id):
            row = self.outstanding.get(day)
            if row is not None and row.state == "gave_up":
                continue
            before = row.attempts + (row.state == "requested") if row else 0
            description = f"requested again: {reason}, run {run_id}"
            attempts = max(self._attempts(day), before, 1)
            again.append(self._due(day, description, attempts, row.asked_by if row else None))
        self._write(again)
        return [row.day for row in again]

    def requeue_interrupted(self, run_id: str) -> list[date]:
        """Request again what an interrupted run did not publish whole and no run was requested for, also what was
        given up; those days are returned."""
        reason = f"run {run_id} was interrupted"
        again = []
        for day in self.unpublished_by(run_id):
            row = self.outstanding.get(day)
            if row is not None and (row.state == "requested" or row.reason == reason):
                continue
            before = row or PendingPartition(*self._name, day, "due", reason, attempts=self._attempts(day))
            again.append(
                replace(
                    before, state="due", reason=reason, wake_at=self._now, interruptions=before.interruptions + 1,
                    data_version=self._newest_version(day), request_key=None,
                )
            )  # fmt: skip
        self._write(again)
        return [row.day for row in again]

    def request_changed(self, reasons: Mapping[date, str]) -> list[date]:
        """Request days that were published before all their rows had arrived; outstanding ones are left as they are."""
        changed = [day for day in sorted(reasons) if day not in self.outstanding]
        self._write([self._due(day, reasons[day], 0, None) for day in changed])
        return changed

    def migrate(self, target: Target, version: int) -> None:
        """Request the days of a tenant whose publications were deleted under `version`: a request's key is used once.

        What waits for an input waits anew: the input is made again, too.
        """
        rows = []
        for day in self.days:
            missing = self._tables.missing(day, self.published)
            if missing:
                until = self._now + target.wait_at_most if target.wait_at_most else None
                rows.append(self._waiting(day, missing, until, version))
            else:
                reason = "the tenant was migrated"
                rows.append(PendingPartition(*self._name, day, "due", reason, self._now, 0, version))
        self._write(rows)

    def give_up(self, reason: str, version: int) -> None:
        """Keep the planner from running the days again, before something newer than `version` is published."""
        rows = []
        for day in self.days:
            row = self.outstanding.get(day)
            attempts = row.attempts if row else 0
            rows.append(PendingPartition(*self._name, day, "gave_up", reason, None, attempts, version))
        self._write(rows)

    def _judged(self, target: Target, day: date) -> PendingPartition:
        """A day that is not current: due, or waiting for its inputs."""
        missing, version = self._tables.missing(day, self.published), self.data_version(day)
        if missing and not target.waited_long_enough(day, self._now):
            until = target.due_at(day) + target.wait_at_most if target.wait_at_most else None
            return self._waiting(day, missing, until, version)
        reason = self._tables.why_not_current(day, self.published)
        return PendingPartition(*self._name, day, "due", reason, self._now, 0, version)

    def _waiting(self, day: date, missing: Sequence[str], until: datetime | None, version: int) -> PendingPartition:
        return PendingPartition(*self._name, day, "waiting", f"waits for {', '.join(missing)}", until, 0, version)

    def _due(self, day: date, reason: str, attempts: int, asked_by: str | None) -> PendingPartition:
        version = self._newest_version(day)
        return PendingPartition(*self._name, day, "due", reason, self._now, attempts, version, asked_by=asked_by)

    def _newest_version(self, day: date) -> int:
        row = self.outstanding.get(day)
        return max(self.data_version(day), row.data_version if row else 0)

    def _attempts(self, day: date) -> int:
        return attempts_at(self._connection, Claim(*self._name, day, day), self._newest_version(day))

    def _write(self, rows: Sequence[PendingPartition]) -> None:
        partition_states.write_outstanding(self._connection, rows)


def failed_days(connection: sa.Connection, name: Name) -> list[date]:
    """The days of a pipeline whose last run has failed: they are tried again later, or were given up after the last
    attempt. What was given up for another reason, as a restored day is, is not among them."""
    return [
        row.day
        for row in partition_states.all_outstanding(connection, name[0])
        if row.name == name
        and ((row.attempts and row.state == "due") or (row.state == "gave_up" and row.reason.startswith(_GIVEN_UP)))
    ]


def end_run_of_removed_pipeline(connection: sa.Connection, request: Request, run: RequestedRun, now: datetime) -> None:
    """The days of a request whose pipeline is in no file any more have failed; the file may return."""
    days = days_of(request.first, request.last)
    rows = partition_states.outstanding(connection, request.tenant_id, request.pipeline, days)
    requested = [row for row in rows if row.request_key == request.key and row.state == "requested"]
    partition_states.write_outstanding(connection, [_failed(row, run, now) for row in requested])


def take(connection: sa.Connection, rows: Sequence[PendingPartition], request_key: str) -> None:
    """Mark days as requested under this key."""
    requested = [
        replace(row, state="requested", reason=f"requested: {request_key}", wake_at=None, request_key=request_key)
        for row in rows
    ]
    partition_states.write_outstanding(connection, requested)


def put_off(rows: Sequence[PendingPartition], until: datetime, reason: str | None = None) -> list[PendingPartition]:
    """The same days, checked again at `until`; written by `write_put_off`, those of a tick together."""
    return [replace(row, reason=reason or row.reason, wake_at=until) for row in rows]


def write_put_off(connection: sa.Connection, rows: Sequence[PendingPartition]) -> None:
    """Write what `put_off` returned."""
    partition_states.write_outstanding(connection, rows)


def _failed(row: PendingPartition, run: RequestedRun, now: datetime) -> PendingPartition:
    """A day that its run did not publish: due again, at once or later, or given up."""
    if run.outcome == "interrupted" and row.interruptions < INTERRUPTIONS:
        reason, count = f"run {run.run_id} was interrupted", row.interruptions + 1
        return replace(row, state="due", reason=reason, wake_at=now, interruptions=count, request_key=None)
    attempts = row.attempts + 1
    failure = f"run {run.run_id} did not publish it"
    if attempts > len(RETRY_AFTER):
        reason = f"{_GIVEN_UP} {attempts} attempts: {failure}"
        return replace(row, state="gave_up", reason=reason, wake_at=None, attempts=attempts, request_key=None)
    wake_at = now + RETRY_AFTER[attempts - 1]
    return replace(row, state="due", reason=failure, wake_at=wake_at, attempts=attempts, request_key=None)
