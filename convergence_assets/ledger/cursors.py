"""How far the follower has come: with each run, and with finding new ones."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from convergence_assets.control.runs import IndexedRun
from convergence_assets.control.tables import followed_runs, ledger_progress, remediations, runs

NOT_SEEN_AGAIN, NOT_KNOWN_YET = "", "?"
"""In place of Dagster's status: the index is built again; the run's pipelines cannot be told yet."""
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
    """`anchor` is a run before which every run was found; `tell_from` when facts begin to be told; `complete_at` when
    everything that had happened was last read, old runs at a first start excepted."""

    anchor: str | None
    anchor_created_at: datetime | None
    tell_from: datetime
    complete_at: datetime


def progress(connection: sa.Connection) -> Progress | None:
    text = connection.scalar(sa.select(ledger_progress.c.value).where(ledger_progress.c.name == _NAME))
    if text is None:
        return None
    said = json.loads(text)
    return Progress(said["anchor"], *(_moment(said[k]) for k in ("anchor_created_at", "tell_from", "complete_at")))  # type: ignore[arg-type]


def write_progress(connection: sa.Connection, said: Progress) -> None:
    value = json.dumps({k: v.isoformat() if isinstance(v, datetime) else v for k, v in vars(said).items()})
    own = sa.update(ledger_progress).where(ledger_progress.c.name == _NAME).values(value=value)
    if not connection.execute(own).rowcount:
        connection.execute(sa.insert(ledger_progress), {"name": _NAME, "value": value})


def place_of(connection: sa.Connection, run_id: str) -> RunCursor | None:
    found = places(connection, [run_id])
    return found.get(run_id)


def places(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, RunCursor]:
    return {
        p.run_id: p for p in _places(connection, sa.select(followed_runs).where(followed_runs.c.run_id.in_(run_ids)))
    }


def indexed(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, int]:
    """The attempts of those among these runs that the index has."""
    wanted = sa.select(runs.c.run_id, runs.c.attempt).where(runs.c.run_id.in_(run_ids))
    return {row.run_id: row.attempt for row in connection.execute(wanted)}


def to_refresh(connection: sa.Connection, now: datetime) -> list[RunCursor]:
    """Runs whose status may still change: those that have not ended, and those that ended a moment ago."""
    open_ones = sa.or_(sa.not_(followed_runs.c.ended), followed_runs.c.wake_at > now)
    return _places(
        connection, sa.select(followed_runs).where(open_ones, followed_runs.c.dagster_status != NOT_SEEN_AGAIN)
    )


def to_read(connection: sa.Connection, now: datetime, *, ended: bool, limit: int) -> list[RunCursor]:
    """Runs whose events are to be read: of the ended ones the newest first."""
    awake = (followed_runs.c.ended == sa.literal(ended), followed_runs.c.wake_at <= now)
    known = followed_runs.c.dagster_status.not_in((NOT_SEEN_AGAIN, NOT_KNOWN_YET))
    wanted = sa.select(followed_runs).where(*awake, known)
    if ended:
        wanted = wanted.order_by(followed_runs.c.created_at.desc()).limit(limit)
    return _places(connection, wanted)


def write_places(connection: sa.Connection, said: Sequence[RunCursor]) -> None:
    """Insert or replace these rows."""
    forget(connection, [place.run_id for place in said])
    if said:
        connection.execute(sa.insert(followed_runs), [_row(place) for place in said])


def forget(connection: sa.Connection, run_ids: Collection[str]) -> None:
    if run_ids:
        own = followed_runs.c.run_id == sa.bindparam("r")
        connection.execute(sa.delete(followed_runs).where(own), [{"r": run_id} for run_id in run_ids])


def not_seen_again(connection: sa.Connection, limit: int) -> list[str]:
    wanted = sa.select(followed_runs.c.run_id).where(followed_runs.c.dagster_status == NOT_SEEN_AGAIN).limit(limit)
    return list(connection.scalars(wanted))


def stuck_reasons(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, str]:
    """Why runs were taken for stuck, by run."""
    wanted = sa.select(remediations.c.run_id, remediations.c.kind).where(remediations.c.run_id.in_(run_ids))
    return {row.run_id: row.kind for row in connection.execute(wanted)}


def start_again(connection: sa.Connection, now: datetime) -> None:
    """Empty the index and let every run of it be found again, keeping what Dagster cannot tell a second time."""
    found = progress(connection)
    kept: dict[str, dict[str, tuple[str | None, str | None]]] = {}
    created: dict[str, datetime] = {}
    for row in connection.execute(sa.select(runs)):
        kept.setdefault(row.run_id, {})[f"{row.tenant_id}/{row.pipeline}"] = (row.config_version, row.stuck_reason)
        created[row.run_id] = row.created_at
    for place in _places(connection, sa.select(followed_runs).where(followed_runs.c.dagster_status == NOT_SEEN_AGAIN)):
        kept.setdefault(place.run_id, dict(place.kept or {}))
        created.setdefault(place.run_id, place.created_at)
    connection.execute(sa.delete(followed_runs))
    connection.execute(sa.delete(runs))
    again = [RunCursor(run, NOT_SEEN_AGAIN, False, created[run], created[run], kept=kept[run]) for run in kept]
    write_places(connection, again)
    if found:
        write_progress(connection, Progress(None, None, found.complete_at, now))


def counts(connection: sa.Connection, now: datetime) -> tuple[int, int]:
    """How many runs the index has, and of how many ended ones the events are to be read."""
    found = connection.scalar(sa.select(sa.func.count(sa.distinct(runs.c.run_id)))) or 0
    ended = (followed_runs.c.ended == sa.true(), followed_runs.c.wake_at <= now)
    return found, connection.scalar(sa.select(sa.func.count()).select_from(followed_runs).where(*ended)) or 0


def unreadable(connection: sa.Connection) -> dict[str, str]:
    """Runs that are set aside, with the reason."""
    wanted = sa.select(followed_runs.c.run_id, followed_runs.c.unreadable).where(
        followed_runs.c.unreadable.is_not(None)
    )
    return {row.run_id: row.unreadable for row in connection.execute(wanted)}


def with_kept(part: IndexedRun, place: RunCursor | None) -> tuple[str | None, str | None]:
    """Config version and stuck reason of a run that was known before the index was built again."""
    said = (place.kept or {}).get(f"{part.tenant_id}/{part.pipeline}") if place else None
    return said if said else (part.config_version, part.stuck_reason)


def _places(connection: sa.Connection, wanted: sa.Select[Any]) -> list[RunCursor]:
    return [
        RunCursor(
            row.run_id, row.dagster_status, row.ended, row.created_at, row.wake_at, row.read_through,
            tuple(json.loads(row.read_beyond)), row.steps,
            {k: tuple(v) for k, v in json.loads(row.kept).items()} if row.kept else None, row.unreadable,
        )
        for row in connection.execute(wanted)
    ]  # fmt: skip


def _row(place: RunCursor) -> dict[str, object]:
    row = dict(vars(place))
    return row | {
        "read_beyond": json.dumps(place.read_beyond),
        "steps": row.pop("memory"),
        "kept": json.dumps(place.kept) if place.kept else None,
    }


def _moment(said: str | None) -> datetime | None:
    return datetime.fromisoformat(said) if said else None
