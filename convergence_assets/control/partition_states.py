"""What the planner stores between its ticks: each pipeline's progress, its outstanding days, pauses."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

import sqlalchemy as sa

from convergence_assets.control.run_requests import Outcome
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import cursors, partitions, pauses, pipelines, requests
from convergence_assets.settings import Shard

State = Literal["waiting", "due", "requested", "gave_up"]
Name = tuple[str, str]
"""Tenant and pipeline."""
_PUBLICATIONS = "planner: publications"
_PARTIAL_DAYS = "planner: partial days"


@dataclass(frozen=True)
class Progress:
    """A pipeline's progress: every day of [opened_from, opened_through], and `newest_opened`, is published as it should
    be or outstanding. `first_seen_at` is when the planner first saw it (None: before that was recorded)."""

    opened_from: date
    opened_through: date
    newest_opened: date | None = None
    served_at: datetime | None = None
    late_data_asked_at: datetime | None = None
    first_seen_at: datetime | None = None

    def has_opened(self, day: date) -> bool:
        return self.opened_from <= day <= self.opened_through or day == self.newest_opened


@dataclass(frozen=True)
class PendingPartition:
    """A day that is due and not published as it should be.

    `wake_at` is when it is checked again, None where something else has to happen first; `data_version` is the newest
    publication that it is to be made from, or that it replaces; `asked_by` is the API key that requested it;
    `interruptions` counts its runs that their platform ended, which are no attempts.
    """

    tenant_id: str
    pipeline: str
    day: date
    state: State
    reason: str
    wake_at: datetime | None = None
    attempts: int = 0
    data_version: int = 0
    request_key: str | None = None
    asked_by: str | None = None
    interruptions: int = 0

    @property
    def name(self) -> Name:
        return self.tenant_id, self.pipeline


@dataclass(frozen=True)
class Request:
    """A run that the planner requested and whose end it has not seen; `run_id` is None until it has begun, `outcome` is
    what its own process reported."""

    key: str
    tenant_id: str
    pipeline: str
    first: date
    last: date
    trigger: str
    requested_at: datetime
    run_id: str | None
    outcome: Outcome | None
    asked_by: str | None = None


@dataclass(frozen=True)
class Pause:
    """Who paused a tenant's pipeline, or all of them (`pipeline` None), and why."""

    tenant_id: str
    pipeline: str | None
    paused_by: str
    reason: str
    paused_at: datetime


def progress(connection: sa.Connection) -> dict[Name, Progress]:
    return {
        (row.tenant_id, row.pipeline): Progress(
            row.opened_from,
            row.opened_through,
            row.newest_opened,
            row.served_at,
            row.late_data_asked_at,
            row.first_seen_at,
        )
        for row in connection.execute(sa.select(pipelines))
    }


def was_looked_at(connection: sa.Connection, name: Name) -> bool:
    """Whether a planner ever opened a day of this pipeline; it knows only what its code location has loaded."""
    of_pipeline = (pipelines.c.tenant_id == name[0], pipelines.c.pipeline == name[1])
    return connection.execute(sa.select(pipelines.c.pipeline).where(*of_pipeline)).first() is not None


def write_progress(connection: sa.Connection, name: Name, current: Progress, now: datetime) -> None:
    of_pipeline = (pipelines.c.tenant_id == name[0], pipelines.c.pipeline == name[1])
    values = {
        "opened_from": current.opened_from,
        "opened_through": current.opened_through,
        "newest_opened": current.newest_opened,
        "served_at": current.served_at,
        "late_data_asked_at": current.late_data_asked_at,
    }
    if not connection.execute(sa.update(pipelines).where(*of_pipeline).values(values)).rowcount:
        connection.execute(
            sa.insert(pipelines), {"tenant_id": name[0], "pipeline": name[1], "first_seen_at": now} | values
        )


def mark_late_data_asked(connection: sa.Connection, name: Name, now: datetime) -> None:
    of_pipeline = (pipelines.c.tenant_id == name[0], pipelines.c.pipeline == name[1])
    connection.execute(sa.update(pipelines).where(*of_pipeline).values(late_data_asked_at=now))


def outstanding(
    connection: sa.Connection, tenant_id: str, pipeline: str, days: Collection[date]
) -> list[PendingPartition]:
    """The outstanding ones among these days."""
    of_days = (partitions.c.tenant_id == tenant_id, partitions.c.pipeline == pipeline, partitions.c.day.in_(days))
    return list(_outstanding(connection, sa.select(partitions).where(*of_days)))


def all_outstanding(connection: sa.Connection, tenant_id: str | None = None) -> list[PendingPartition]:
    query = sa.select(partitions).order_by(partitions.c.tenant_id, partitions.c.pipeline, partitions.c.day)
    return list(_outstanding(connection, query.where(partitions.c.tenant_id == tenant_id) if tenant_id else query))


def due_to_look_at(
    connection: sa.Connection, now: datetime, recent: date, a_tenant: int, in_all: int,
    tenants: Collection[str] | None = None,
) -> list[PendingPartition]:  # fmt: skip
    """The days to check: every one from `recent` on, and of each tenant the requested ones, then the oldest.

    Of the older days at most `a_tenant` per tenant and `in_all` together, every tenant's oldest before any tenant's
    second: no tenant's hundreds of days hide another's one. `tenants` limits them (None: all).
    """
    due = partitions.c.wake_at <= now
    if tenants is not None:
        due = sa.and_(due, partitions.c.tenant_id.in_(sorted(tenants)))
    unasked = sa.case((partitions.c.asked_by.is_(None), 1), else_=0)
    rank = sa.func.row_number().over(partition_by=partitions.c.tenant_id, order_by=(unasked, partitions.c.day))
    older = sa.select(partitions, rank.label("rank")).where(due, partitions.c.day < recent).subquery()
    first = sa.select(older).where(older.c.rank <= a_tenant).order_by(older.c.rank, older.c.wake_at).limit(in_all)
    new = sa.select(partitions).where(due, partitions.c.day >= recent).order_by(partitions.c.wake_at).limit(in_all)
    return [*_outstanding(connection, new), *_outstanding(connection, first)]


def write_outstanding(connection: sa.Connection, rows: Sequence[PendingPartition]) -> None:
    """Insert or replace these rows."""
    delete_outstanding(connection, rows)
    if rows:
        connection.execute(sa.insert(partitions), [vars(row) for row in rows])


def delete_outstanding(connection: sa.Connection, rows: Sequence[PendingPartition]) -> None:
    if rows:
        same_row = sa.and_(
            partitions.c.tenant_id == sa.bindparam("t"),
            partitions.c.pipeline == sa.bindparam("p"),
            partitions.c.day == sa.bindparam("d"),
        )
        connection.execute(
            sa.delete(partitions).where(same_row), [{"t": r.tenant_id, "p": r.pipeline, "d": r.day} for r in rows]
        )


def open_requests(connection: sa.Connection) -> list[Request]:
    """The planner's requests whose end it has not seen."""
    planned = requests.c.trigger.in_(("schedule", "catch_up", "api"))
    seen = sa.select(partitions.c.request_key).where(partitions.c.state == "requested")
    unseen = sa.or_(requests.c.outcome.is_(None), requests.c.request_key.in_(seen))
    query = sa.select(requests).where(planned, unseen)
    return [
        Request(
            row.request_key, row.tenant_id, row.pipeline, row.first_day, row.last_day, row.trigger, row.requested_at,
            row.run_id, row.outcome, row.asked_by,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def read_through(connection: sa.Connection, shard: Shard) -> int:
    """The newest publication that the planner of a shard has seen.

    One that has seen none begins where all shards of the former sharding had arrived.
    """
    versions = _read_through(connection)
    before = [seen for other, seen in versions.items() if other.of != shard.of]
    return versions.get(shard, min(before, default=0))


def read_through_of(connection: sa.Connection, tenant_id: str) -> int:
    """The newest publication that the planner of a tenant's shard has seen."""
    # A shard of a former sharding has not advanced since.
    return max((seen for shard, seen in _read_through(connection).items() if shard.holds(tenant_id)), default=0)


def write_read_through(connection: sa.Connection, version: int, shard: Shard) -> None:
    update = sa.update(cursors).where(cursors.c.name == _cursor(shard)).values(value=version)
    if not connection.execute(update).rowcount:
        connection.execute(sa.insert(cursors), {"name": _cursor(shard), "value": version})


def first_look_for_partial_days(connection: sa.Connection, shard: Shard, version: int) -> bool:
    """Whether the planner of a shard is to scan all publications, up to this version, for days published before they
    were over: once, since it sees later ones as it follows the publications."""
    name = f"{_PARTIAL_DAYS} {shard}"
    if connection.scalar(sa.select(cursors.c.value).where(cursors.c.name == name)) is not None:
        return False
    connection.execute(sa.insert(cursors), {"name": name, "value": version})
    return True


def _read_through(connection: sa.Connection) -> dict[Shard, int]:
    versions: dict[Shard, int] = {}
    for name, value in connection.execute(sa.select(cursors.c.name, cursors.c.value)):
        if name.startswith(_PUBLICATIONS):
            number, _, of = name.removeprefix(_PUBLICATIONS).strip().partition("/")
            versions[Shard(int(number), int(of)) if of else Shard()] = value
    return versions


def _cursor(shard: Shard) -> str:
    return _PUBLICATIONS if shard.of == 1 else f"{_PUBLICATIONS} {shard}"


def delete_tenant(connection: sa.Connection, tenant_id: str) -> None:
    """Delete the progress and the outstanding days of all the tenant's pipelines."""
    for table in (partitions, pipelines):
        connection.execute(sa.delete(table).where(table.c.tenant_id == tenant_id))


class Pauses:
    """The pauses of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def pause(self, tenant_id: str, pipeline: str | None, by: str, reason: str) -> None:
        """Request no days of the pipeline, or of all the tenant's."""
        with self._store.write() as connection:
            connection.execute(sa.delete(pauses).where(*_of_pipeline(tenant_id, pipeline)))
            row = {
                "tenant_id": tenant_id, "pipeline": pipeline or "", "paused_by": by, "reason": reason,
                "paused_at": self._store.now(),
            }  # fmt: skip
            connection.execute(sa.insert(pauses), row)

    def resume(self, tenant_id: str, pipeline: str | None) -> bool:
        """Whether it was paused. Its days are checked in the next tick."""
        with self._store.write() as connection:
            resumed = connection.execute(sa.delete(pauses).where(*_of_pipeline(tenant_id, pipeline))).rowcount
            due_rows = [partitions.c.tenant_id == tenant_id, partitions.c.state == "due"]
            if pipeline:
                due_rows.append(partitions.c.pipeline == pipeline)
            connection.execute(sa.update(partitions).where(*due_rows).values(wake_at=self._store.now()))
            return bool(resumed)

    def all(self) -> Mapping[Name, Pause]:
        """By tenant and pipeline; the pipeline is empty where all the tenant's are paused."""
        with self._store.read() as connection:
            return all_pauses(connection)


def all_pauses(connection: sa.Connection, tenant_id: str | None = None) -> Mapping[Name, Pause]:
    query = sa.select(pauses)
    return {
        (row.tenant_id, row.pipeline): Pause(
            row.tenant_id, row.pipeline or None, row.paused_by, row.reason, row.paused_at
        )
        for row in connection.execute(query.where(pauses.c.tenant_id == tenant_id) if tenant_id else query)
    }


def pause_of(pauses: Mapping[Name, Pause], name: Name) -> Pause | None:
    """The pause of a pipeline: its own, or that of all its tenant's."""
    return pauses.get(name) or pauses.get((name[0], ""))


def _of_pipeline(tenant_id: str, pipeline: str | None) -> tuple[sa.ColumnElement[bool], ...]:
    return pauses.c.tenant_id == tenant_id, pauses.c.pipeline == (pipeline or "")


def _outstanding(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[PendingPartition]:
    for row in connection.execute(query):
        yield PendingPartition(
            row.tenant_id, row.pipeline, row.day, row.state, row.reason, row.wake_at, row.attempts, row.data_version,
            row.request_key, row.asked_by, row.interruptions,
        )  # fmt: skip
