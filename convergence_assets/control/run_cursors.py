"""The follower's progress: with each run, and with finding new ones."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from convergence_assets.control import history
from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.tables import followed_runs, ledger_progress, remediations, runs

NOT_SEEN_AGAIN, NOT_KNOWN_YET = "", "?"
"""In place of Dagster's status: the index is being rebuilt; the run's pipelines are not known yet."""
_NAME = "follower"


@dataclass(frozen=True)
class RunCursor:
    """How far a run was followed; see the table. `kept` are config version and stuck reason by tenant and pipeline."""

    run_id: str
    dagster_status: str
    ended: bool
    created_at: datetime
    wake_at: datetime
    read_through: int = -1
    read_beyond: tuple[int, ...] = ()
    memory: str = ""
    kept: Mapping[str, tuple[str | None, str | None]] | None = None
    unreadable: str | None = None


@dataclass(frozen=True)
class Progress:
    """`anchor` is a run before which every run was found; `tell_from` the moment from which run events are reported;
    `complete_at` when everything that had happened was last read, except old runs at a first start."""

    anchor: str | None
    anchor_created_at: datetime | None
    tell_from: datetime
    complete_at: datetime


def progress(connection: sa.Connection) -> Progress | None:
    text = connection.scalar(sa.select(ledger_progress.c.value).where(ledger_progress.c.name == _NAME))
    if text is None:
        return None
    values = json.loads(text)
    return Progress(values["anchor"], *(_moment(values[k]) for k in ("anchor_created_at", "tell_from", "complete_at")))  # type: ignore[arg-type]


def write_progress(connection: sa.Connection, current: Progress) -> None:
    value = json.dumps({k: v.isoformat() if isinstance(v, datetime) else v for k, v in vars(current).items()})
    update = sa.update(ledger_progress).where(ledger_progress.c.name == _NAME).values(value=value)
    if not connection.execute(update).rowcount:
        connection.execute(sa.insert(ledger_progress), {"name": _NAME, "value": value})


def place_of(connection: sa.Connection, run_id: str) -> RunCursor | None:
    by_run = places(connection, [run_id])
    return by_run.get(run_id)


def places(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, RunCursor]:
    return {
        p.run_id: p for p in _places(connection, sa.select(followed_runs).where(followed_runs.c.run_id.in_(run_ids)))
    }


def indexed(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, int]:
    """The attempts of those of these runs that the index has."""
    query = sa.select(runs.c.run_id, runs.c.attempt).where(runs.c.run_id.in_(run_ids))
    return {row.run_id: row.attempt for row in connection.execute(query)}


def to_refresh(connection: sa.Connection, now: datetime) -> list[RunCursor]:
    """Runs whose status may still change: those that have not ended, and those that ended a moment ago."""
    open_ones = sa.or_(sa.not_(followed_runs.c.ended), followed_runs.c.wake_at > now)
    return _places(
        connection, sa.select(followed_runs).where(open_ones, followed_runs.c.dagster_status != NOT_SEEN_AGAIN)
    )


def to_read(connection: sa.Connection, now: datetime, *, ended: bool, limit: int) -> list[RunCursor]:
    """Runs whose events are to be read: of the ended ones the newest first."""
    awake = (followed_runs.c.ended == sa.literal(ended), followed_runs.c.wake_at <= now)
    is_indexed = followed_runs.c.dagster_status.not_in((NOT_SEEN_AGAIN, NOT_KNOWN_YET))
    query = sa.select(followed_runs).where(*awake, is_indexed)
    if ended:
        query = query.order_by(followed_runs.c.created_at.desc()).limit(limit)
    return _places(connection, query)


def write_places(connection: sa.Connection, cursors: Sequence[RunCursor]) -> None:
    """Insert or replace these rows."""
    delete_places(connection, [place.run_id for place in cursors])
    if cursors:
        connection.execute(sa.insert(followed_runs), [_row(place) for place in cursors])


def delete_places(connection: sa.Connection, run_ids: Collection[str]) -> None:
    if run_ids:
        same_run = followed_runs.c.run_id == sa.bindparam("r")
        connection.execute(sa.delete(followed_runs).where(same_run), [{"r": run_id} for run_id in run_ids])


def not_seen_again(connection: sa.Connection, limit: int) -> list[str]:
    query = sa.select(followed_runs.c.run_id).where(followed_runs.c.dagster_status == NOT_SEEN_AGAIN).limit(limit)
    return list(connection.scalars(query))


def stuck_reasons(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, str]:
    """Why runs were found stuck, by run."""
    query = sa.select(remediations.c.run_id, remediations.c.kind).where(remediations.c.run_id.in_(run_ids))
    return {row.run_id: row.kind for row in connection.execute(query)}


def reset_index(connection: sa.Connection, now: datetime) -> None:
    """Empty the index and let every run of it be found again, preserving what Dagster does not store.

    Runs whose events were deleted stay as they are: nothing could be read of them again.
    """
    before = progress(connection)
    through = history.events_deleted_through(connection)
    of_runs = [runs.c.created_at > through] if through else []
    of_places = [followed_runs.c.created_at > through] if through else []
    preserved: dict[str, dict[str, tuple[str | None, str | None]]] = {}
    created: dict[str, datetime] = {}
    for row in connection.execute(sa.select(runs).where(*of_runs)):
        preserved.setdefault(row.run_id, {})[f"{row.tenant_id}/{row.pipeline}"] = (row.config_version, row.stuck_reason)
        created[row.run_id] = row.created_at
    for place in _places(connection, sa.select(followed_runs).where(followed_runs.c.dagster_status == NOT_SEEN_AGAIN)):
        preserved.setdefault(place.run_id, dict(place.kept or {}))
        created.setdefault(place.run_id, place.created_at)
    connection.execute(sa.delete(followed_runs).where(*of_places))
    connection.execute(sa.delete(runs).where(*of_runs))
    again = [
        RunCursor(run, NOT_SEEN_AGAIN, False, created[run], created[run], kept=preserved[run]) for run in preserved
    ]
    write_places(connection, again)
    if before:
        write_progress(connection, Progress(None, None, before.complete_at, now))


def counts(connection: sa.Connection, now: datetime) -> tuple[int, int]:
    """How many runs the index has, and how many ended ones have unread events."""
    indexed_runs = connection.scalar(sa.select(sa.func.count(sa.distinct(runs.c.run_id)))) or 0
    ended = (followed_runs.c.ended == sa.true(), followed_runs.c.wake_at <= now)
    return indexed_runs, connection.scalar(sa.select(sa.func.count()).select_from(followed_runs).where(*ended)) or 0


def unreadable(connection: sa.Connection) -> dict[str, str]:
    """Runs that are set aside, with the reason."""
    query = sa.select(followed_runs.c.run_id, followed_runs.c.unreadable).where(followed_runs.c.unreadable.is_not(None))
    return {row.run_id: row.unreadable for row in connection.execute(query)}


def preserved_of(part: IndexedRun, place: RunCursor | None) -> tuple[str | None, str | None]:
    """Config version and stuck reason of a run, those preserved from before a rebuild of the index first."""
    preserved = (place.kept or {}).get(f"{part.tenant_id}/{part.pipeline}") if place else None
    return preserved if preserved else (part.config_version, part.stuck_reason)


def _places(connection: sa.Connection, query: sa.Select[Any]) -> list[RunCursor]:
    return [
        RunCursor(
            row.run_id, row.dagster_status, row.ended, row.created_at, row.wake_at, row.read_through,
            tuple(json.loads(row.read_beyond)), row.steps,
            {k: tuple(v) for k, v in json.loads(row.kept).items()} if row.kept else None, row.unreadable,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def _row(place: RunCursor) -> dict[str, object]:
    row = dict(vars(place))
    return row | {
        "read_beyond": json.dumps(place.read_beyond),
        "steps": row.pop("memory"),
        "kept": json.dumps(place.kept) if place.kept else None,
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
