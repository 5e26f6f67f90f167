"""Runs that were requested or have begun: each once, and none over its tenant's plan."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from convergence_assets.control.locks import Claim, Locks
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import requests as table

Outcome = Literal["succeeded", "failed", "interrupted"]
"""An interrupted run was ended by its platform, such as a drained node or a stopped service, without a request."""
OutcomeOf = Callable[[str], Outcome | None]
"""The outcome of a run by its id; None while it is not over, or unknown."""

REMAKE = "remake"
"""The trigger of a run that makes days again which an older definition made: no day or month of a plan counts it."""
KEPT = timedelta(days=62)
"""Longer than any month that a plan counts."""


@dataclass(frozen=True)
class Quota:
    """What a tenant's plan allows; a day and a month are those of its timezone."""

    tenant_id: str
    timezone: str
    concurrent_runs: int
    daily_runs: int
    monthly_runs: int

    def day(self, now: datetime) -> tuple[datetime, datetime]:
        """The tenant's day around `now` as [start, end)."""
        today = now.astimezone(ZoneInfo(self.timezone)).date()
        return self._midnight(today), self._midnight(today + timedelta(days=1))

    def month(self, now: datetime) -> tuple[datetime, datetime]:
        """The tenant's month around `now` as [start, end)."""
        first = now.astimezone(ZoneInfo(self.timezone)).date().replace(day=1)
        return self._midnight(first), self._midnight((first + timedelta(days=32)).replace(day=1))

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time(), ZoneInfo(self.timezone)).astimezone(UTC)


@dataclass(frozen=True)
class Used:
    """How many runs of a tenant's plan are used: of its day, and of its month."""

    daily: int = 0
    monthly: int = 0

    def exhausted(self, quota: Quota, now: datetime) -> tuple[str, datetime] | None:
        """The exhausted limit and when it is renewed; None where another run is allowed."""
        if self.monthly >= quota.monthly_runs:
            return f"all {quota.monthly_runs} runs of the month are used", quota.month(now)[1]
        if self.daily >= quota.daily_runs:
            return f"all {quota.daily_runs} runs of the day are used", quota.day(now)[1]
        return None


class OverLimit(Exception):
    """The tenant's plan allows no further run now; `retry_at` is when it does, None where a run has to end first."""

    def __init__(self, claim: Claim, limit: str, retry_at: datetime | None) -> None:
        when = f"after {retry_at:%Y-%m-%dT%H:%M:%SZ}" if retry_at else "when one of them has ended"
        super().__init__(f"{claim}: {limit}; nothing was done here. Next: run it again {when}, or change the plan")
        self.claim, self.retry_at = claim, retry_at


class Duplicate(Exception):
    """Another run has taken the request that a run was launched for."""

    def __init__(self, claim: Claim, key: str, holder: str) -> None:
        super().__init__(
            f"{claim}: run {holder} was launched for the same request ({key}); nothing was done here. "
            f"Next: nothing, look at that run"
        )
        self.claim, self.holder = claim, holder


class Requests:
    """The requests of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store
        self._locks = Locks(store)

    def take(self, key: str, claim: Claim, run_id: str, root_run_id: str | None, quota: Quota, of: OutcomeOf) -> str:
        """Let the first run that was launched for the request `key` begin; returns the request's key.

        `root_run_id` is the run that this one retries. Raises `Duplicate`. A retry of a request that is over is a
        separate run: as `begin`.
        """
        with self._store.write(_tenant(claim)) as connection:
            row = connection.execute(sa.select(table).where(table.c.request_key == key)).one_or_none()
            if row is not None and row.run_id in (None, run_id, root_run_id):
                if row.outcome is None or row.run_id == run_id:
                    update = sa.update(table).where(table.c.request_key == key)
                    connection.execute(update.values(run_id=row.run_id or run_id, outcome=None))
                    return key
            elif row is not None and row.outcome is None:
                raise Duplicate(claim, key, row.run_id)
        return self.begin(claim, run_id, "retry", quota, of)

    def begin(self, claim: Claim, run_id: str, trigger: str, quota: Quota, of: OutcomeOf) -> str:
        """Let a run begin that the planner did not request; returns its request's key. Raises `OverLimit`.

        The run must hold its lock already: a run counts as running as long as it holds one. Before refusing, this
        checks the tenant's runs that are not known to be over: one that failed or died does not count.
        """
        key = f"run:{run_id}:{claim.tenant_id}"
        while True:
            with self._store.write(_tenant(claim)) as connection:
                if connection.execute(_reopened(key)).rowcount:
                    return key
                now, unknown = self._store.now(), _open_runs(connection, claim.tenant_id)
                running = {lock.run_id for lock in self._locks.living(connection, claim.tenant_id)}
                beside = running.intersection(unknown.values())
                if len(beside) >= quota.concurrent_runs:
                    limit = f"the plan allows {quota.concurrent_runs} runs at once ({', '.join(sorted(beside))})"
                    raise OverLimit(claim, limit, None)
                over = runs_used(connection, [quota], now)[claim.tenant_id].exhausted(quota, now)
                if not over or trigger == REMAKE:
                    insert_request(connection, key, claim, trigger, now, run_id)
                    return key
            if not self._settle({key: run for key, run in unknown.items() if run not in running}, of):
                raise OverLimit(claim, *over)

    def record_outcome(self, key: str, outcome: Outcome) -> None:
        """Record the outcome of a request."""
        with self._store.write() as connection:
            write_outcomes(connection, {key: outcome})

    def _settle(self, unknown: Mapping[str, str], of: OutcomeOf) -> bool:
        # A run that began, holds no lock any more and did not succeed has ended, whatever Dagster still reports.
        outcomes: dict[str, Outcome] = {key: of(run_id) or "failed" for key, run_id in unknown.items()}
        with self._store.write() as connection:
            write_outcomes(connection, outcomes)
        return any(outcome != "succeeded" for outcome in outcomes.values())


def insert_request(
    connection: sa.Connection, key: str, claim: Claim, trigger: str, now: datetime, run_id: str | None = None,
    asked_by: str | None = None,
) -> None:  # fmt: skip
    """Insert a request, with the run that has taken it already and the API key that requested it."""
    row = {
        "request_key": key,
        "tenant_id": claim.tenant_id,
        "pipeline": claim.pipeline,
        "first_day": claim.first,
        "last_day": claim.last,
        "trigger": trigger,
        "requested_at": now,
        "run_id": run_id,
        "asked_by": asked_by,
    }
    connection.execute(sa.insert(table), row)


def request_key(claim: Claim, version: int, attempt: int, interruptions: int = 0) -> str:
    """The planner's key for a request; no two of its requests share one."""
    again = f"i{interruptions}" if interruptions else ""
    return f"{claim.tenant_id}/{claim.pipeline}/{claim.partition}/v{version}/a{attempt}{again}"


def unused_key(connection: sa.Connection, claim: Claim, version: int, attempt: int, interruptions: int) -> str:
    """A request's key that no request had: days requested one by one may be requested together again."""
    while True:
        key = request_key(claim, version, attempt, interruptions)
        if connection.execute(sa.select(table.c.request_key).where(table.c.request_key == key)).first() is None:
            return key
        interruptions += 1


def attempts_at(connection: sa.Connection, claim: Claim, version: int) -> int:
    """The number of the last attempt that the planner requested; 0 where there was none."""
    prefix = request_key(claim, version, 0).removesuffix("0")
    query = sa.select(table.c.request_key).where(table.c.request_key.startswith(prefix, autoescape=True))
    attempts = (key.removeprefix(prefix).partition("i")[0] for key in connection.scalars(query))
    return max(map(int, attempts), default=0)


def was_requested(connection: sa.Connection, tenant_id: str, pipeline: str, day: date) -> bool:
    """Whether a run over this day was ever requested or begun."""
    conditions = (
        table.c.tenant_id == tenant_id, table.c.pipeline == pipeline, table.c.first_day <= day, table.c.last_day >= day,
    )  # fmt: skip
    return connection.execute(sa.select(table.c.request_key).where(*conditions).limit(1)).first() is not None


def requests_over(
    connection: sa.Connection, tenant_id: str, pipeline: str, first: date, last: date
) -> list[dict[str, Any]]:
    """The requests over any of these days, as they are stored, the oldest first."""
    conditions = (
        table.c.tenant_id == tenant_id, table.c.pipeline == pipeline,
        table.c.first_day <= last, table.c.last_day >= first,
    )  # fmt: skip
    query = sa.select(table).where(*conditions).order_by(table.c.requested_at)
    return [dict(row) for row in connection.execute(query).mappings()]


def runs_of_keys(connection: sa.Connection, tenant_id: str, keys: Collection[str]) -> list[str]:
    """The runs that have taken these requests of a tenant."""
    query = sa.select(table.c.run_id).where(
        table.c.tenant_id == tenant_id, table.c.request_key.in_(keys), table.c.run_id.is_not(None)
    )
    return [run_id for run_id in connection.scalars(query) if run_id]


def reissue_request(connection: sa.Connection, key: str, now: datetime) -> None:
    """Count a request for which no run was created from now on."""
    connection.execute(sa.update(table).where(table.c.request_key == key).values(requested_at=now))


def write_outcomes(connection: sa.Connection, outcomes: Mapping[str, Outcome]) -> None:
    """Store the outcomes of requests."""
    for outcome in set(outcomes.values()):
        keys = [key for key, request_outcome in outcomes.items() if request_outcome == outcome]
        connection.execute(sa.update(table).where(table.c.request_key.in_(keys)).values(outcome=outcome))


def runs_used(connection: sa.Connection, quotas: Collection[Quota], now: datetime) -> Mapping[str, Used]:
    """How much of their plans the tenants have used: runs that are not known to have failed or been interrupted, by the
    time of their request. One query per timezone."""
    usage = {quota.tenant_id: Used() for quota in quotas}
    for timezone in {quota.timezone for quota in quotas}:
        here = [quota for quota in quotas if quota.timezone == timezone]
        today = sa.case((table.c.requested_at >= here[0].day(now)[0], 1), else_=0)
        counted = sa.select(table.c.tenant_id, sa.func.count().label("monthly"), sa.func.sum(today).label("daily"))
        counted = counted.where(
            table.c.tenant_id.in_([quota.tenant_id for quota in here]),
            table.c.requested_at >= here[0].month(now)[0],
            table.c.trigger != REMAKE,
            sa.or_(table.c.outcome.is_(None), table.c.outcome == "succeeded"),
        )
        for row in connection.execute(counted.group_by(table.c.tenant_id)):
            usage[row.tenant_id] = Used(int(row.daily), row.monthly)
    return usage


def prune_requests(connection: sa.Connection, now: datetime) -> None:
    """Delete what no plan counts any more."""
    connection.execute(sa.delete(table).where(table.c.requested_at < now - KEPT))


def _tenant(claim: Claim) -> str:
    return f"requests:{claim.tenant_id}"


def _reopened(key: str) -> sa.Update:
    return sa.update(table).where(table.c.request_key == key).values(outcome=None)


def _open_runs(connection: sa.Connection, tenant_id: str) -> dict[str, str]:
    query = sa.select(table.c.request_key, table.c.run_id).where(
        table.c.tenant_id == tenant_id, table.c.outcome.is_(None), table.c.run_id.is_not(None)
    )
    rows: Iterable[sa.Row[tuple[str, str]]] = connection.execute(query)
    return {row.request_key: row.run_id for row in rows}
