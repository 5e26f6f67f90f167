"""The runs index: each run of a pipeline in its last known state."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from convergence_assets.control.ledger_rows import LedgerRow, put_rows
from convergence_assets.control.tables import runs
from convergence_assets.redaction import redacted

RunStatus = Literal["queued", "running", "succeeded", "failed", "canceled"]
RUNS_TABLE = "x_meta_pipeline_runs"
_ACTIVE: tuple[RunStatus, ...] = ("queued", "running")
_NAME = (runs.c.tenant_id, runs.c.pipeline)
_KEY_NAMES = frozenset({"run_id", "tenant_id", "pipeline"})


def partition_of(first: date | None, last: date | None) -> str | None:
    """Days as people and alerts name them: one, or `first...last`."""
    if first is None:
        return None
    return str(first) if first == last else f"{first}...{last}"


@dataclass(frozen=True)
class IndexedRun:
    """A run's part in one pipeline of one tenant; moments are UTC, `first` and `last` its partitions.

    `dagster_status` is Dagster's own status (QUEUED, STARTING, STARTED, CANCELING, ...). `trigger` is schedule, manual,
    api, backfill, catch_up or retry. `stuck_reason` is set by the remedy of a stuck run.
    """

    run_id: str
    tenant_id: str
    pipeline: str
    status: RunStatus
    dagster_status: str
    trigger: str
    triggered_by: str | None
    first: date | None
    last: date | None
    config_version: str | None
    attempt: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    rows_published: int
    bytes_billed: int
    error_class: str | None
    error_message: str | None
    stuck_reason: str | None
    updated_at: datetime

    @property
    def partition(self) -> str | None:
        return partition_of(self.first, self.last)


@dataclass(frozen=True)
class RunFilter:
    """Selects runs; None is any. `since` is the earliest creation."""

    tenant_id: str | None = None
    pipeline: str | None = None
    statuses: Collection[RunStatus] = ()
    since: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Runs, the newest first; `next` is the cursor of the next page, None where there is none."""

    runs: tuple[IndexedRun, ...]
    next: str | None


def parts_of(connection: sa.Connection, run_id: str, *, to_change: bool = False) -> list[IndexedRun]:
    """A run's rows, one per pipeline; empty where it is unknown. `to_change` locks them until the transaction's end."""
    query = sa.select(runs).where(runs.c.run_id == run_id).order_by(*_NAME)
    return _fetch_runs(connection, query.with_for_update() if to_change else query)


def active_runs(connection: sa.Connection, tenant_id: str | None = None) -> list[IndexedRun]:
    """Every run that is queued or running, the oldest first."""
    query = sa.select(runs).where(runs.c.status.in_(_ACTIVE)).order_by(runs.c.created_at, runs.c.run_id, *_NAME)
    return _fetch_runs(connection, query.where(runs.c.tenant_id == tenant_id) if tenant_id else query)


def latest_run(connection: sa.Connection, tenant_id: str, pipeline: str) -> IndexedRun | None:
    """The newest run of a pipeline."""
    of_pipeline = (runs.c.tenant_id == tenant_id, runs.c.pipeline == pipeline)
    matching = _fetch_runs(
        connection, sa.select(runs).where(*of_pipeline).order_by(runs.c.created_at.desc(), runs.c.run_id).limit(1)
    )
    return matching[0] if matching else None


def ended_by(connection: sa.Connection, run: IndexedRun, error_class: str, since: datetime) -> int:
    """How many runs of the same pipeline and days, including this one, ended with an error class since a moment."""
    part = {"tenant_id": run.tenant_id, "pipeline": run.pipeline, "first_day": run.first, "last_day": run.last}
    same = (runs.c[name] == value for name, value in part.items())
    query = sa.select(sa.func.count()).where(*same, runs.c.error_class == error_class, runs.c.created_at >= since)
    return int(connection.execute(query).scalar_one())


def tenants_with_unpublished(connection: sa.Connection, since: datetime) -> set[str]:
    """The tenants of runs that were created since a moment and failed or were canceled."""
    ended = runs.c.status.in_(("failed", "canceled"))
    query = sa.select(runs.c.tenant_id).where(ended, runs.c.created_at >= since).distinct()
    return set(connection.scalars(query))


def runs_page(connection: sa.Connection, criteria: RunFilter, limit: int = 100, after: str | None = None) -> Page:
    """The selected runs, the newest first; `after` is an earlier page's `next`. Raises ValueError for another one."""
    query = sa.select(runs)
    if criteria.tenant_id is not None:
        query = query.where(runs.c.tenant_id == criteria.tenant_id)
    if criteria.pipeline is not None:
        query = query.where(runs.c.pipeline == criteria.pipeline)
    if criteria.statuses:
        query = query.where(runs.c.status.in_(criteria.statuses))
    if criteria.since is not None:
        query = query.where(runs.c.created_at >= criteria.since)
    if after is not None:
        query = query.where(_after(after))
    newest_first = [column.desc() for column in (runs.c.created_at, runs.c.run_id, *_NAME)]
    matching = _fetch_runs(connection, query.order_by(*newest_first).limit(limit + 1))
    more = len(matching) > limit
    return Page(tuple(matching[:limit]), _cursor(matching[limit - 1]) if more else None)


def write_runs(connection: sa.Connection, changed: Iterable[IndexedRun]) -> None:
    """Insert or replace these rows."""
    rows = list(changed)
    if not rows:
        return
    key = (runs.c.run_id, *_NAME)
    query = sa.select(*key).where(runs.c.run_id.in_({run.run_id for run in rows}))
    there = {tuple(key_values) for key_values in connection.execute(query)}
    replaced = [run for run in rows if (run.run_id, run.tenant_id, run.pipeline) in there]
    inserted = [run for run in rows if (run.run_id, run.tenant_id, run.pipeline) not in there]
    if replaced:
        # In place: a transaction that waits for a row would not find one that was deleted and inserted.
        same_row = sa.and_(*(column == sa.bindparam(f"own_{column.name}") for column in key))
        values = [
            {f"own_{c.name}": row[c.name] for c in key} | {k: v for k, v in row.items() if k not in _KEY_NAMES}
            for row in map(_row, replaced)
        ]
        connection.execute(sa.update(runs).where(same_row), values)
    if inserted:
        connection.execute(sa.insert(runs), [_row(run) for run in inserted])


def mark_stuck(connection: sa.Connection, run_id: str, reason: str, now: datetime) -> list[IndexedRun]:
    """Record why a run is stuck, in the index and in the ledger's queue; returns its updated rows."""
    changed = [
        replace(run, stuck_reason=reason, updated_at=now) for run in parts_of(connection, run_id, to_change=True)
    ]
    write_runs(connection, changed)
    put_rows(connection, [ledger_row(run) for run in changed], now)
    return changed


def ledger_row(run: IndexedRun) -> LedgerRow:
    """The run's row of `x_meta_pipeline_runs`."""
    seconds = (run.ended_at - run.started_at).total_seconds() if run.ended_at and run.started_at else None
    values = {
        "pipeline_run_id": run.run_id,
        "tenant_id": run.tenant_id,
        "pipeline_id": run.pipeline,
        "status": run.status,
        "stuck_reason": run.stuck_reason,
        "trigger": run.trigger,
        "triggered_by": run.triggered_by,
        "partition_start": run.first.isoformat() if run.first else None,
        "partition_end": run.last.isoformat() if run.last else None,
        "config_version": run.config_version,
        "attempt": run.attempt,
        "started_at": _iso(run.started_at),
        "ended_at": _iso(run.ended_at),
        "duration_ms": round(seconds * 1000) if seconds is not None else None,
        "rows_published": run.rows_published,
        "bytes_billed": run.bytes_billed,
        "error_class": run.error_class,
        "error_message": redacted(run.error_message) if run.error_message else None,
        "created_at": _iso(run.created_at),
        "updated_at": _iso(run.updated_at),
    }
    return LedgerRow(run.tenant_id, RUNS_TABLE, f"{run.run_id}/{run.pipeline}", values)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _after(cursor: str) -> sa.ColumnElement[bool]:
    parts = cursor.split("|")
    if len(parts) != 4:
        raise ValueError(f"{cursor!r} is no cursor of this list; ask without one")
    moment = datetime.fromisoformat(parts[0])
    return sa.or_(
        runs.c.created_at < moment,
        sa.and_(
            runs.c.created_at == moment,
            sa.tuple_(runs.c.run_id, *_NAME) < sa.tuple_(*(sa.literal(part) for part in parts[1:])),
        ),
    )


def _cursor(run: IndexedRun) -> str:
    return "|".join((run.created_at.isoformat(), run.run_id, run.tenant_id, run.pipeline))


def _row(run: IndexedRun) -> dict[str, object]:
    row = dict(vars(run))
    return row | {"first_day": row.pop("first"), "last_day": row.pop("last")}


def _fetch_runs(connection: sa.Connection, query: sa.Select[Any]) -> list[IndexedRun]:
    parts = []
    for row in connection.execute(query).mappings():
        values = dict(row)
        parts.append(IndexedRun(first=values.pop("first_day"), last=values.pop("last_day"), **values))
    return parts
