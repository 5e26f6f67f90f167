"""The days of a table's versions that are not read: those that are built for the next one, and those of former ones.

They are publications under the version's own name and of no pipeline, so that no reader of a table sees them. A day
that is built has as `version` the newest publication before its rows were read: the table's own publication is newer
where it was published since. Under the name of the version that is read there are days only while a switch to it has
not ended.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from convergence_assets.control.audit import fitted
from convergence_assets.control.definitions import StoredDefinition, keep_definition
from convergence_assets.control.lock_session import LockSession
from convergence_assets.control.locks import Lock
from convergence_assets.control.publications import (
    WRITING,
    Publication,
    keep_version,
    newest_version,
    publications_of,
)
from convergence_assets.control.tables import audit
from convergence_assets.control.tables import publications as table

SWITCHED_BY = "upgrade-"
"""What the ids begin with under which tables are switched."""
SWITCH = "table.upgrade"
"""The action of the audit log's entry of a switch."""
_BUILT, _COPIED = "built-", "copied-"
_OF_NO_PIPELINE = ""


@dataclass(frozen=True)
class BuiltDay:
    """A day of a version that is built: `seen` is the newest publication before its rows were read, `by` the version
    of the definition that was asked for it, `table_version` the number of the version. A copied day has what
    `publication` says of the one that it copies."""

    day: date
    rows: int
    seen: int
    by: str
    table_version: int
    marker: str | None = None
    definition: StoredDefinition | None = None
    publication: Publication | None = None


@dataclass
class VersionDays:
    """How many days of a table are published, the number of its version that is read, and how many days are built of
    others, by number."""

    published: int = 0
    read: int = 1
    built: dict[int, int] = field(default_factory=dict)


def days_by_version(connection: sa.Connection, tenant_id: str | None = None) -> dict[tuple[str, str], VersionDays]:
    """What is published and built, by tenant (all, or this one) and table."""
    is_built = sa.or_(table.c.run_id.startswith(_BUILT), table.c.run_id.startswith(_COPIED))
    counted = sa.select(
        table.c.tenant_id, table.c.table_name, table.c.pipeline, table.c.table_version, sa.func.count().label("n")
    ).where(sa.or_(table.c.pipeline != _OF_NO_PIPELINE, is_built))
    if tenant_id is not None:
        counted = counted.where(table.c.tenant_id == tenant_id)
    by_table: dict[tuple[str, str], VersionDays] = {}
    for row in connection.execute(
        counted.group_by(table.c.tenant_id, table.c.table_name, table.c.pipeline, table.c.table_version)
    ):
        built = row.pipeline == _OF_NO_PIPELINE
        name = row.table_name.rpartition("__v")[0] if built else row.table_name
        days = by_table.setdefault((row.tenant_id, name), VersionDays())
        if built:
            days.built[row.table_version] = row.n
        else:
            days.published += row.n
            days.read = max(days.read, row.table_version)
    return by_table


def days_of_table(connection: sa.Connection, tenant_id: str, name: str) -> dict[date, Publication]:
    """What is published of a table, by day."""
    return {
        one.day: one
        for one in publications_of(connection, tenant_id)
        if one.table == name and one.pipeline != _OF_NO_PIPELINE
    }


def days_of_version(connection: sa.Connection, tenant_id: str, name: str) -> dict[date, Publication]:
    """What is recorded of a version that is not read, by day: publications of a step that had such a name are not."""
    return {
        one.day: one
        for one in publications_of(connection, tenant_id)
        if one.table == name and one.pipeline == _OF_NO_PIPELINE
    }


def is_built_day(one: Publication) -> bool:
    """Whether a recorded day belongs to a version that is built, and not to a former one."""
    return one.run_id.startswith((_BUILT, _COPIED))


def is_switched_day(one: Publication) -> bool:
    """Whether a published day is as an upgrade has left it."""
    return one.run_id.startswith(SWITCHED_BY)


def stands(built: Publication | None, published: Publication, by: str) -> bool:
    """Whether a built day was made by this definition and beside what is published now."""
    if built is None or built.version < published.version:
        return False
    return built.run_id in (f"{_BUILT}{by}", f"{_COPIED}{by}")


def forget_built(session: LockSession, lock: Lock, name: str, days: Collection[date]) -> None:
    """Forget days of a version that is built, before other rows take their place. Raises `LockLost` and
    `ControlError`."""
    tenant_id = lock.claim.tenant_id
    with session.store.write(WRITING) as connection:
        session.locks.refuse_lost(connection, lock)
        connection.execute(_of_version(tenant_id, name).where(table.c.day.in_(days)))


def record_built(session: LockSession, lock: Lock, name: str, days: Collection[BuiltDay]) -> None:
    """Record days of a version that is built, in one transaction. Raises `LockLost` and `ControlError`."""
    tenant_id = lock.claim.tenant_id
    with session.store.write(WRITING) as connection:
        session.locks.refuse_lost(connection, lock)
        now = session.store.now()
        for definition in {one.definition for one in days if one.definition}:
            keep_definition(connection, definition, now)
        _delete(connection, tenant_id, name, [one.day for one in days])
        _write(connection, [_built(tenant_id, name, one, now) for one in days])


def forget_version(session: LockSession, lock: Lock, name: str) -> None:
    """Forget all days of a version, before its table is dropped. Raises `LockLost` and `ControlError`."""
    with session.store.write(WRITING) as connection:
        session.locks.refuse_lost(connection, lock)
        connection.execute(_of_version(lock.claim.tenant_id, name))
    session.locks.confirm(lock)


def unfinished_switch(connection: sa.Connection, tenant_id: str, name: str) -> bool:
    """Whether a switch to the version of this name, which is read now, has not ended."""
    of_version = (table.c.tenant_id == tenant_id, table.c.table_name == name, table.c.pipeline == _OF_NO_PIPELINE)
    query = sa.select(table.c.day).where(*of_version)
    return connection.execute(query.limit(1)).first() is not None


def last_switch(connection: sa.Connection, tenant_id: str, name: str) -> datetime | None:
    """When a table was last switched to another version; None where that is not known, or long ago."""
    of_table = (audit.c.tenant_id == tenant_id, audit.c.subject == fitted(name), audit.c.action == SWITCH)
    newest: datetime | None = connection.scalar(sa.select(sa.func.max(audit.c.moment)).where(*of_table))
    return newest


def take_place(
    connection: sa.Connection, tenant_id: str, pipeline: str, names: tuple[str, str, str], run_id: str, now: datetime
) -> list[date]:
    """Let the days of the new version be those of the table, and its days those of the former one; `names` are table,
    new and former. Returns the days that were published and are not in the new version: they are no longer published.

    Within a transaction that has waited for `WRITING`.
    """
    name, new, former = names
    assert run_id.startswith(SWITCHED_BY), run_id
    published, built = days_of_table(connection, tenant_id, name), days_of_version(connection, tenant_id, new)
    assert built, new
    current = [one for day, one in built.items() if day not in published or published[day].version <= one.version]
    rows = [_row(one, name, pipeline) | {"run_id": run_id} for one in current]
    made = {one.day for one in current if one.run_id.startswith(_BUILT)}
    # A copied day has the rows that it had, and could be made empty: what reads it is not to be made again.
    copied = {day: one.version for day, one in published.items() if day not in made}
    _switch(connection, tenant_id, name, rows, made, copied, now)
    _delete(connection, tenant_id, new)
    _delete(connection, tenant_id, former)
    _write(connection, [_row(one, former, _OF_NO_PIPELINE) for one in published.values()])
    return sorted(published.keys() - {one.day for one in current})


def days_not_in_former(published: Mapping[date, Publication], former: Mapping[date, Publication]) -> list[date]:
    """The days that a former version lacks, or has as they were before they were published again."""
    return sorted(
        {day for day, one in published.items() if day not in former or not is_switched_day(one)}
        | (former.keys() - published.keys())
    )


def put_back(
    connection: sa.Connection, tenant_id: str, pipeline: str, names: tuple[str, str], now: datetime
) -> list[date]:
    """Let the days of a former version be those of the table again; `names` are table and former. Returns the days that
    it lacks or has as they were before: they are no longer published.

    Within a transaction that has waited for `WRITING`.
    """
    name, former = names
    published, kept = days_of_table(connection, tenant_id, name), days_of_version(connection, tenant_id, former)
    assert kept, former
    lacking = days_not_in_former(published, kept)
    # Each keeps the run that published it, by which it is known what an even older version lacks.
    rows = [_row(one, name, pipeline) for day, one in kept.items() if day not in lacking]
    newest = max(one.version for one in kept.values())
    last = {day for day, one in kept.items() if one.version == newest}
    copied = {
        day: one.version for day, one in kept.items() if day in published and published[day].version == one.version
    }
    _switch(connection, tenant_id, name, rows, last, copied, now)
    _delete(connection, tenant_id, former)
    return lacking


def _switch(
    connection: sa.Connection, tenant_id: str, name: str, rows: Sequence[dict[str, Any]], newest: Collection[date],
    copied: Mapping[date, int], now: datetime,
) -> None:  # fmt: skip
    """The days of a table are these, published now, so that what reads them is to be made again, but for those that are
    `copied`, each with the version that it keeps. Those in `newest` come last, as the definition that made them is the
    table's."""
    version = newest_version(connection) + 1
    _delete(connection, tenant_id, name)
    _write(connection, [row | {"version": copied.get(row["day"], version + (row["day"] in newest))} for row in rows])
    if all(row["day"] in copied for row in rows):
        keep_version(connection, tenant_id, version, now)


def _built(tenant_id: str, name: str, one: BuiltDay, now: datetime) -> dict[str, Any]:
    row = {
        "tenant_id": tenant_id, "table_name": name, "day": one.day, "pipeline": _OF_NO_PIPELINE, "version": one.seen,
        "read_through": one.seen, "rows": one.rows, "marker": one.marker, "run_id": f"{_BUILT}{one.by}",
        "published_at": now, "definition": one.definition.version if one.definition else None,
        "table_version": one.table_version,
    }  # fmt: skip
    if one.publication:
        copied = _row(one.publication, name, _OF_NO_PIPELINE)
        own = {"version": one.seen, "rows": one.rows, "table_version": one.table_version}
        return copied | own | {"run_id": f"{_COPIED}{one.by}"}
    return row


def _row(one: Publication, name: str, pipeline: str) -> dict[str, Any]:
    return {
        "tenant_id": one.tenant_id, "table_name": name, "day": one.day, "pipeline": pipeline, "version": one.version,
        "read_through": one.read_through, "rows": one.rows, "marker": one.marker, "run_id": one.run_id,
        "published_at": one.published_at, "definition": one.definition, "table_version": one.table_version,
    }  # fmt: skip


def _write(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _of_version(tenant_id: str, name: str) -> sa.Delete:
    named = (table.c.tenant_id == tenant_id, table.c.table_name == name)
    return sa.delete(table).where(*named, table.c.pipeline == _OF_NO_PIPELINE)


def _delete(connection: sa.Connection, tenant_id: str, name: str, days: Collection[date] | None = None) -> None:
    """Delete what is in the way of other days of this name; of a step that had a version's name, no table is left."""
    deleted = sa.delete(table).where(table.c.tenant_id == tenant_id, table.c.table_name == name)
    connection.execute(deleted if days is None else deleted.where(table.c.day.in_(days)))
