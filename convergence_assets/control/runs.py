"""The runs index: each run of a pipeline as Dagster last told of it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from convergence_assets.control.ledger_rows import LedgerRow, put
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

    `dagster_status` is Dagster's own word (QUEUED, STARTING, STARTED, CANCELING, ...). `trigger` is schedule, manual,
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
class Asked:
    """Which runs are wanted; None is any. `since` is about when they were created."""

    tenant_id: str | None = None
    pipeline: str | None = None
    statuses: Collection[RunStatus] = ()
    since: datetime | None = None


@dataclass(frozen=True)
class Page:
    """Runs, the newest first; `next` is what the next page is asked for with, None where there is none."""

    runs: tuple[IndexedRun, ...]
    next: str | None


def parts_of(connection: sa.Connection, run_id: str, *, to_change: bool = False) -> list[IndexedRun]:
    """A run's rows, one a pipeline; empty where it is not known. With `to_change` nobody else changes them until the
    transaction's end."""
    wanted = sa.select(runs).where(runs.c.run_id == run_id).order_by(*_NAME)
    return _read(connection, wanted.with_for_update() if to_change else wanted)


def active(connection: sa.Connection, tenant_id: str | None = None) -> list[IndexedRun]:
    """Every run that is queued or running, the oldest first."""
    wanted = sa.select(runs).where(runs.c.status.in_(_ACTIVE)).order_by(runs.c.created_at, runs.c.run_id, *_NAME)
    return _read(connection, wanted.where(runs.c.tenant_id == tenant_id) if tenant_id else wanted)


def latest(connection: sa.Connection, tenant_id: str, pipeline: str) -> IndexedRun | None:
    """The newest run of a pipeline."""
    own = (runs.c.tenant_id == tenant_id, runs.c.pipeline == pipeline)
    found = _read(connection, sa.select(runs).where(*own).order_by(runs.c.created_at.desc(), runs.c.run_id).limit(1))
    return found[0] if found else None


def ended_by(connection: sa.Connection, run: IndexedRun, error_class: str, since: datetime) -> int:
    """How many runs of the same pipeline and days, this one among them, ended with an error class since a moment."""
    own = {"tenant_id": run.tenant_id, "pipeline": run.pipeline, "first_day": run.first, "last_day": run.last}
    same = (runs.c[name] == value for name, value in own.items())
    wanted = sa.select(sa.func.count()).where(*same, runs.c.error_class == error_class, runs.c.created_at >= since)
    return int(connection.execute(wanted).scalar_one())


def tenants_with_unpublished(connection: sa.Connection, since: datetime) -> set[str]:
    """The tenants of runs that were made since a moment and failed or were canceled."""
    ended = runs.c.status.in_(("failed", "canceled"))
    wanted = sa.select(runs.c.tenant_id).where(ended, runs.c.created_at >= since).distinct()
    return set(connection.scalars(wanted))


def page(connection: sa.Connection, asked: Asked, limit: int = 100, after: str | None = None) -> Page:
    """Runs that fit, the newest first; `after` is an earlier page's `next`. Raises ValueError for another `after`."""
    wanted = sa.select(runs)
    if asked.tenant_id is not None:
        wanted = wanted.where(runs.c.tenant_id == asked.tenant_id)
    if asked.pipeline is not None:
        wanted = wanted.where(runs.c.pipeline == asked.pipeline)
    if asked.statuses:
        wanted = wanted.where(runs.c.status.in_(asked.statuses))
    if asked.since is not None:
        wanted = wanted.where(runs.c.created_at >= asked.since)
    if after is not None:
        wanted = wanted.where(_after(after))
    newest_first = [column.desc() for column in (runs.c.created_at, runs.c.run_id, *_NAME)]
    found = _read(connection, wanted.order_by(*newest_first).limit(limit + 1))
    more = len(found) > limit
    return Page(tuple(found[:limit]), _cursor(found[limit - 1]) if more else None)


def write(connection: sa.Connection, changed: Iterable[IndexedRun]) -> None:
    """Insert or replace these rows."""
    rows = list(changed)
    if not rows:
        return
    key = (runs.c.run_id, *_NAME)
    wanted = sa.select(*key).where(runs.c.run_id.in_({run.run_id for run in rows}))
    there = {tuple(found) for found in connection.execute(wanted)}
    replaced = [run for run in rows if (run.run_id, run.tenant_id, run.pipeline) in there]
    inserted = [run for run in rows if (run.run_id, run.tenant_id, run.pipeline) not in there]
    if replaced:
        # In place: who waits for a row to be free would not find one that was deleted and inserted.
        own = sa.and_(*(column == sa.bindparam(f"own_{column.name}") for column in key))
        values = [
            {f"own_{c.name}": row[c.name] for c in key} | {k: v for k, v in row.items() if k not in _KEY_NAMES}
            for row in map(_row, replaced)
        ]
        connection.execute(sa.update(runs).where(own), values)
    if inserted:
        connection.execute(sa.insert(runs), [_row(run) for run in inserted])


def mark_stuck(connection: sa.Connection, run_id: str, reason: str, now: datetime) -> list[IndexedRun]:
    """Note why a run is stuck, in the index and on its way to the ledger; its rows as they are then."""
    changed = [
        replace(run, stuck_reason=reason, updated_at=now) for run in parts_of(connection, run_id, to_change=True)
    ]
    write(connection, changed)
    put(connection, [ledger_row(run) for run in changed], now)
    return changed


def ledger_row(run: IndexedRun) -> LedgerRow:
    """The run as `x_meta_pipeline_runs` has it."""
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
    said = cursor.split("|")
    if len(said) != 4:
        raise ValueError(f"{cursor!r} is no cursor of this list; ask without one")
    moment = datetime.fromisoformat(said[0])
    return sa.or_(
        runs.c.created_at < moment,
        sa.and_(
            runs.c.created_at == moment,
            sa.tuple_(runs.c.run_id, *_NAME) < sa.tuple_(*(sa.literal(part) for part in said[1:])),
        ),
    )


def _cursor(run: IndexedRun) -> str:
    return "|".join((run.created_at.isoformat(), run.run_id, run.tenant_id, run.pipeline))


def _row(run: IndexedRun) -> dict[str, object]:
    row = dict(vars(run))
    return row | {"first_day": row.pop("first"), "last_day": row.pop("last")}


def _read(connection: sa.Connection, wanted: sa.Select[Any]) -> list[IndexedRun]:
    found = []
    for row in connection.execute(wanted).mappings():
        said = dict(row)
        found.append(IndexedRun(first=said.pop("first_day"), last=said.pop("last_day"), **said))
    return found
