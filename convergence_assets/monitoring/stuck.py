"""Which runs are stuck: compares what is known of each with its limits."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import dagster as dg

from convergence_assets.control.locks import Lock, Locks
from convergence_assets.control.remediations import Part
from convergence_assets.control.store import ControlStore
from convergence_assets.control.workers import Worker, Workers
from convergence_assets.dagster_internals import run_records
from convergence_assets.ledger.run_mapping import parts, selected
from convergence_assets.process import is_gone
from convergence_assets.run_launcher.platforms import Platform
from convergence_assets.run_launcher.worker_state import WorkerState
from convergence_assets.tenancy.tenant import StuckLimits, Tenant

StuckKind = Literal[
    "queued", "starting", "over_duration", "no_progress", "canceling", "dead", "interrupted", "canceled", "by_hand"
]
"""`by_hand`: within its limits, and ended by a person's request; `interrupted`: dead, ended by its platform;
`canceled`: dead, as was requested."""
WITHOUT_ALERT: frozenset[str] = frozenset({"interrupted", "canceled"})
"""Nobody has to do anything about them."""
SILENT_AFTER = timedelta(minutes=3)
"""A process of another host counts as dead where its locks have had no heartbeat for this long."""
WORKER_IS_MADE_WITHIN = timedelta(minutes=1)
"""How long after a run's start its platform may not know its worker yet."""
PLATFORM_SECONDS = 20.0
"""How long a pass waits for the platform's answers in all: its client may take half a minute to give one up."""
LONGEST_RANGE = timedelta(hours=24)
"""How long a run over many days may take, however many they are."""
MOVED_LOOKED_AT = 200
"""How many of the last changed runs are checked for whether the queue moves."""
QUEUED_LOOKED_AT = 200
"""How many queued runs are checked at once, the oldest; the others cannot be stuck for longer."""

_QUEUED = (dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED)
_BEGUN = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


@dataclass(frozen=True)
class Activity:
    """What is known of a run that is not over.

    `since` is when it got its status; `moved_at` when a run of its tenants was last active, began or ended (None:
    unknown); `gone` says whether its process has ended, as far as this host or its heartbeats show, and `interrupted`
    whether its platform ended it; `worker` is what its platform says of its worker.
    """

    run_id: str
    status: str
    parts: tuple[Part, ...]
    since: datetime
    last_event_at: datetime
    moved_at: datetime | None = None
    gone: bool = False
    interrupted: bool = False
    worker: WorkerState | None = None

    @property
    def days(self) -> int:
        """How many partitions the run covers, at least one."""
        return max((p.last - p.first).days + 1 if p.first and p.last else 1 for p in self.parts)


@dataclass(frozen=True)
class Stuck:
    """A stuck run: its kind, and since when beyond which limit."""

    activity: Activity
    kind: StuckKind
    since: datetime
    limit: timedelta | None

    @property
    def reason(self) -> str:
        """Its kind, and what its platform says of its worker: the run's `stuck_reason`."""
        worker = self.activity.worker
        return f"{self.kind} ({worker.kind}: {worker.reason})" if worker and worker.reason else self.kind

    @property
    def sentence(self) -> str:
        """What happened."""
        for_long = f"since {self.since:%Y-%m-%d %H:%M} UTC"
        text = {
            "queued": f"it waits in the queue {for_long}, while no other run of the tenant began or ended",
            "starting": f"it was launched and has not begun {for_long}",
            "over_duration": f"it runs {for_long}",
            "no_progress": f"it has written no event {for_long}",
            "canceling": f"it was asked to end and has not {for_long}",
            "interrupted": f"its worker was ended from outside, and the run has not ended ({for_long})",
            "canceled": f"it was asked to end, its worker has ended, and the run has not ({for_long})",
            "dead": f"its process has ended and the run has not ({for_long})",
            "by_hand": f"it is {self.activity.status} {for_long}, within its limits",
        }[self.kind]
        text = f"{text} (limit {_minutes(self.limit)})" if self.limit else text
        worker = self.activity.worker
        return f"{text}; its {worker.kind}: {worker.reason}" if worker and worker.reason else text


def judge_activity(activity: Activity, limits: StuckLimits, now: datetime) -> Stuck | None:
    """Whether a run is stuck: the first kind that applies, the most certain one first."""

    def over(kind: StuckKind, since: datetime, limit: timedelta) -> Stuck | None:
        return Stuck(activity, kind, since, limit) if now - since > limit else None

    if activity.gone:
        kind: StuckKind = "interrupted" if activity.interrupted else "dead"
        return Stuck(activity, "canceled" if activity.status == "CANCELING" else kind, activity.last_event_at, None)
    match activity.status:
        case "QUEUED" | "NOT_STARTED":
            return over("queued", max(activity.since, activity.moved_at or activity.since), limits.queued)
        case "STARTING":
            return over("starting", activity.since, limits.starting)
        case "STARTED":
            longest = max(limits.running, min(limits.running * activity.days, LONGEST_RANGE))
            return over("over_duration", activity.since, longest) or over(
                "no_progress", activity.last_event_at, limits.no_progress
            )
        case "CANCELING":
            return over("canceling", activity.since, limits.canceling)
    return None


def parts_of(record: dg.RunRecord) -> tuple[Part, ...]:
    """The run's part in each pipeline; empty for a run without this platform's assets."""
    return tuple(Part(row.tenant_id, row.pipeline, row.first, row.last) for row in parts(record, _names(record), 1, {}))


def limits_of(run_parts: Collection[Part], tenants: Mapping[str, Tenant]) -> StuckLimits:
    """The widest limits of the run's pipelines; the default ones for an unknown pipeline."""
    limits = [
        pipeline.stuck
        for part in run_parts
        if part.tenant_id in tenants
        for pipeline in tenants[part.tenant_id].pipelines
        if pipeline.name == part.pipeline
    ] or [StuckLimits()]
    return StuckLimits(
        queued=max(f.queued for f in limits),
        starting=max(f.starting for f in limits),
        running=max(f.running for f in limits),
        no_progress=max(f.no_progress for f in limits),
        canceling=max(f.canceling for f in limits),
        request_again=min(f.request_again for f in limits),
    )


def read_activities(
    instance: dg.DagsterInstance, store: ControlStore, run_ids: Collection[str] | None = None
) -> list[Activity]:
    """Every run of this platform's assets that is not over, or those with these ids; from Dagster, since the runs
    index may lag."""
    queued = _records(instance, _QUEUED, run_ids, QUEUED_LOOKED_AT)
    begun = _records(instance, _BEGUN, run_ids, None)
    workers = Workers(store).of([record.dagster_run.run_id for record in begun])
    locks = Locks(store).all()
    moved = _moved(instance, queued, begun, store.now())
    platform = Platform(instance, PLATFORM_SECONDS)
    return [
        *_activities(instance, platform, store.now(), queued, {}, (), moved),
        *_activities(instance, platform, store.now(), begun, workers, locks, {}),
    ]


def _records(
    instance: dg.DagsterInstance,
    statuses: Collection[dg.DagsterRunStatus],
    run_ids: Collection[str] | None,
    limit: int | None,
) -> list[dg.RunRecord]:
    criteria = dg.RunsFilter(statuses=list(statuses), run_ids=list(run_ids) if run_ids is not None else None)
    return list(instance.get_run_records(criteria, limit=limit, order_by="id", ascending=True))


def _activities(
    instance: dg.DagsterInstance,
    platform: Platform,
    now: datetime,
    records: Collection[dg.RunRecord],
    workers: Mapping[str, Worker],
    locks: Collection[Lock],
    moved: Mapping[str, datetime],
) -> Iterator[Activity]:
    for record in records:
        run = record.dagster_run
        rows = parts(record, _names(record), 1, {})
        if not rows:
            continue
        run_parts = tuple(Part(row.tenant_id, row.pipeline, row.first, row.last) for row in rows)
        created = rows[0].created_at
        if run.status in _QUEUED:
            moved_at = max((moved[p.tenant_id] for p in run_parts if p.tenant_id in moved), default=None)
            yield Activity(run.run_id, run.status.value, run_parts, created, created, moved_at)
            continue
        last_event = run_records.last_event_at(instance, run.run_id) or created
        own_locks = [lock for lock in locks if lock.run_id == run.run_id]
        worker = workers.get(run.run_id)
        gone = _gone(platform, run, worker, own_locks, now)
        starting = run.status == dg.DagsterRunStatus.STARTING
        state = platform.state(run, worker) if gone or starting or gone is None else None
        since = _since(instance, record, rows[0].started_at) or created
        yield Activity(
            run_id=run.run_id,
            status=run.status.value,
            parts=run_parts,
            since=since,
            last_event_at=last_event,
            gone=gone is True or (state is not None and state.gone and now - since > WORKER_IS_MADE_WITHIN),
            interrupted=state is not None and state.interrupted,
            worker=state,
        )


def _names(record: dg.RunRecord) -> set[tuple[str, str]]:
    run = record.dagster_run
    tenant, pipeline = run.tags.get("tenant"), run.tags.get("pipeline")
    return selected(run) or ({(tenant, pipeline)} if tenant and pipeline else set())


def _since(instance: dg.DagsterInstance, record: dg.RunRecord, started_at: datetime | None) -> datetime | None:
    """When the run got its status."""
    kinds = {
        dg.DagsterRunStatus.STARTING: dg.DagsterEventType.RUN_STARTING,
        dg.DagsterRunStatus.CANCELING: dg.DagsterEventType.RUN_CANCELING,
    }
    kind = kinds.get(record.dagster_run.status)
    return run_records.last_event_at(instance, record.dagster_run.run_id, kind) if kind else started_at


def _gone(
    platform: Platform, run: dg.DagsterRun, worker: Worker | None, locks: Collection[Lock], now: datetime
) -> bool | None:
    """Whether its process has ended; None where only its platform could tell."""
    gone = is_gone(worker.owner) if worker else None
    if gone is not None and worker is not None and worker.end_requested_at is None:
        return gone
    # Also for a worker whose end was requested on another host: its own host's launcher then ends it.
    healthy = platform.is_healthy(run)
    if worker is None:
        return None if healthy is None else not healthy
    if gone is not None:
        return gone
    silent = bool(locks) and all(now - lock.heartbeat_at > SILENT_AFTER for lock in locks)
    if healthy is False or silent:
        return True
    return None if healthy is None else False


def _moved(
    instance: dg.DagsterInstance, queued: Collection[dg.RunRecord], begun: Collection[dg.RunRecord], now: datetime
) -> dict[str, datetime]:
    """For each tenant of queued runs, when a run of it was last active, began or ended: such a queue is not stuck."""
    moments = {name[0]: now for record in begun for name in _names(record)}
    tenants = {name[0] for record in queued for name in _names(record)} - set(moments)
    if not tenants:
        return moments
    statuses = [status for status in dg.DagsterRunStatus if status not in _QUEUED]
    for record in instance.get_run_records(
        dg.RunsFilter(statuses=statuses), limit=MOVED_LOOKED_AT, order_by="update_timestamp", ascending=False
    ):
        moved_at = max(record.end_time or 0, record.start_time or 0)
        for tenant_id, _ in _names(record):
            if tenant_id in tenants and moved_at:
                moment = datetime.fromtimestamp(moved_at, UTC)
                moments[tenant_id] = max(moments.get(tenant_id, moment), moment)
    return moments


def _minutes(limit: timedelta) -> str:
    return f"{limit / timedelta(minutes=1):g} minutes"
