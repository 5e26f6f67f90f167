"""The last publish of every table's partition, and what had been published when its rows were read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa

from convergence_assets.control.definitions import StoredDefinition, keep_definition
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import publications as table
from convergence_assets.local_days import day_end


@dataclass(frozen=True)
class Publication:
    """A table's partition as published: `version` grows with each publish in the store.

    `read_through` is the newest version before its rows were read; `marker` is its source's late-data marker at that
    time (None: it had none of the day, or a later run has found none); `definition` is the version of the table's
    definition that made it (None: by a release that kept none, or put back from before); `table_version` is the number
    of the table's version that it is of.
    """

    tenant_id: str
    pipeline: str
    table: str
    day: date
    version: int
    read_through: int
    rows: int
    marker: str | None
    run_id: str
    published_at: datetime
    definition: str | None = None
    table_version: int = 1

    def is_whole(self, timezone: str) -> bool:
        """Whether its day was over in this timezone when it was published: else it has only part of the day's rows."""
        return self.published_at >= day_end(self.day, timezone)


WRITING = "publications"
"""The key of the transactions that assign a version."""
_NO_TABLE, _NO_DAY = "", date(1970, 1, 1)

Days = Mapping[tuple[str, date], Publication]
"""By table and day."""
Newest = Mapping[tuple[str, str], date]
"""The last day that is published whole, by tenant and table."""


@dataclass(frozen=True)
class Tables:
    """The tables of a tenant's pipeline, each with the tables of the tenant that it reads and the day each begins.

    A day is one of `timezone`, the tenant's; what was published before its end counts as not published. `versions` are
    the numbers that steps declare: no run can make a day of another one again, but `convergence upgrade` will.
    """

    reads: Mapping[str, Mapping[str, date]]
    timezone: str
    versions: Mapping[str, int] = field(default_factory=dict)

    def all_tables(self) -> frozenset[str]:
        """Every table of the pipeline, and every one that it reads."""
        return frozenset(self.reads).union(*self.reads.values())

    def is_current(self, day: date, published: Days) -> bool:
        """Whether every table is published, and read what is published now."""
        for name, upstream in self.reads.items():
            publication = published.get((name, day))
            if publication is not None and self._is_of_another_version(publication):
                continue
            if publication is None or not publication.is_whole(self.timezone):
                return False
            read = (published.get((u, day)) for u in upstream)
            if any(p is not None and p.version > publication.read_through for p in read):
                return False
        return True

    def are_whole(self, day: date, published: Days) -> bool:
        """Whether every table of the pipeline is published with the whole day."""
        return all(self._is_whole(name, day, published) for name in self.reads)

    def why_not_current(self, day: date, published: Days) -> str:
        """Why a day that is not `is_current` is to be made (again)."""
        publications = [published[name, day] for name in self.reads if (name, day) in published]
        if any(not publication.is_whole(self.timezone) for publication in publications):
            return "it was published before the day was over"
        return "what it reads was published after it" if publications else "never published"

    def are_by(self, run_id: str, day: date, published: Days) -> bool:
        """Whether the run published every table of the day, and nobody has since."""
        publications = [published.get((name, day)) for name in self.reads]
        return all(p is not None and p.run_id == run_id for p in publications)

    def missing(self, day: date, published: Days) -> tuple[str, ...]:
        """The tables of other pipelines that are read and not published for this day, where they have it."""
        upstream = {u: begins for read in self.reads.values() for u, begins in read.items() if u not in self.reads}
        return tuple(
            sorted(u for u, begins in upstream.items() if begins <= day and not self._is_whole(u, day, published))
        )

    def _is_of_another_version(self, publication: Publication) -> bool:
        return self.versions.get(publication.table, publication.table_version) != publication.table_version

    def _is_whole(self, name: str, day: date, published: Days) -> bool:
        publication = published.get((name, day))
        return publication is not None and publication.is_whole(self.timezone)


class Publications:
    """The publications of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def newest_version(self) -> int:
        """To be called before the rows of a step are read."""
        with self._store.read() as connection:
            return newest_version(connection)

    def record(
        self,
        tenant_id: str,
        pipeline: str,
        table_name: str,
        rows: Mapping[date, int],
        *,
        run_id: str,
        read_through: int,
        markers: Mapping[date, str] | None = None,
        definition: StoredDefinition | None = None,
        table_version: int = 1,
    ) -> None:
        """Record that a run has published these days of a table, in one transaction."""
        markers = markers or {}
        # One after the other, so that a version is not seen before a smaller one.
        with self._store.write(WRITING) as connection:
            version, now = newest_version(connection) + 1, self._store.now()
            if definition:
                keep_definition(connection, definition, now)
            of_table = (table.c.tenant_id == tenant_id, table.c.table_name == table_name)
            connection.execute(sa.delete(table).where(*of_table, table.c.day.in_(list(rows))))
            connection.execute(
                sa.insert(table),
                [
                    {
                        "tenant_id": tenant_id,
                        "table_name": table_name,
                        "day": day,
                        "pipeline": pipeline,
                        "version": version,
                        "read_through": read_through,
                        "rows": count,
                        "marker": markers.get(day),
                        "run_id": run_id,
                        "published_at": now,
                        "definition": definition.version if definition else None,
                        "table_version": table_version,
                    }
                    for day, count in rows.items()
                ],
            )

    def forget_markers(self, tenant_id: str, table_name: str, days: Collection[date]) -> None:
        """Record that the source of these days has no rows of them any more; they stay published as they are."""
        with self._store.write(WRITING) as connection:
            of_table = (table.c.tenant_id == tenant_id, table.c.table_name == table_name)
            connection.execute(sa.update(table).where(*of_table, table.c.day.in_(list(days))).values(marker=None))

    def between(self, tenant_id: str, tables: Collection[str], first: date, last: date) -> Days:
        """The publications of these tables on the days [first, last]."""
        with self._store.read() as connection:
            return between(connection, tenant_id, tables, first, last)


def newest_version(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.coalesce(sa.func.max(table.c.version), 0))) or 0


def between(
    connection: sa.Connection, tenant_id: str, tables: Collection[str], first: date, last: date
) -> dict[tuple[str, date], Publication]:
    query = sa.select(table).where(
        table.c.tenant_id == tenant_id, table.c.table_name.in_(tables), table.c.day >= first, table.c.day <= last
    )
    return {(p.table, p.day): p for p in _publications(connection, query)}


def republished(
    connection: sa.Connection, tenant_id: str, tables: Collection[str], before: date, since: datetime
) -> list[tuple[date, int]]:
    """Day and version of what was published of these tables since a moment, of days before `before`."""
    query = sa.select(table.c.day, table.c.version).where(
        table.c.tenant_id == tenant_id, table.c.table_name.in_(tables), table.c.day < before,
        table.c.published_at >= since,
    )  # fmt: skip
    return [(row.day, row.version) for row in connection.execute(query)]


def publications_of(connection: sa.Connection, tenant_id: str) -> Sequence[Publication]:
    """All publications of a tenant, by table and day."""
    query = sa.select(table).where(table.c.tenant_id == tenant_id, table.c.table_name != _NO_TABLE)
    return list(_publications(connection, query.order_by(table.c.table_name, table.c.day)))


def days_by_pipeline(connection: sa.Connection, tenant_id: str) -> dict[str, set[date]]:
    """The days of which a tenant's pipelines have published a table."""
    query = sa.select(table.c.pipeline, table.c.day).where(
        table.c.tenant_id == tenant_id, table.c.table_name != _NO_TABLE
    )
    days: dict[str, set[date]] = {}
    for row in connection.execute(query.distinct()):
        days.setdefault(row.pipeline, set()).add(row.day)
    return days


def days_by_definition(
    connection: sa.Connection, tenant_id: str, starts: Mapping[str, date]
) -> dict[tuple[str, str | None], int]:
    """How many days of a tenant's tables each definition made, by table and definition; `starts` are the first days
    that count, by table."""
    counting = [sa.and_(table.c.table_name == name, table.c.day >= start) for name, start in starts.items()]
    of_tenant = (table.c.tenant_id == tenant_id, sa.or_(sa.false(), *counting))
    counted = sa.select(table.c.table_name, table.c.definition, sa.func.count().label("n")).where(*of_tenant)
    rows = connection.execute(counted.group_by(table.c.table_name, table.c.definition))
    return {(row.table_name, row.definition): row.n for row in rows}


def published_tables(connection: sa.Connection) -> set[tuple[str, str]]:
    """Tenant and table of all that has a published day."""
    query = sa.select(table.c.tenant_id, table.c.table_name).where(table.c.table_name != _NO_TABLE).distinct()
    return {(row.tenant_id, row.table_name) for row in connection.execute(query)}


def rows_by_tenant(connection: sa.Connection) -> dict[str, int]:
    """The rows of all days and tables that are published, by tenant."""
    query = sa.select(table.c.tenant_id, sa.func.sum(table.c.rows).label("n")).group_by(table.c.tenant_id)
    query = query.where(table.c.pipeline != "")  # versions of tables that are not read
    return {row.tenant_id: int(row.n) for row in connection.execute(query)}


def delete_publications(connection: sa.Connection, tenant_id: str, now: datetime) -> int:
    """Delete all publications of a tenant; returns the version of this, newer than any before it.

    A row of no table keeps that version: without it, the next versions could be older than what the planner has read.
    Call it within a transaction that has waited for `WRITING`.
    """
    version = newest_version(connection) + 1
    connection.execute(sa.delete(table).where(table.c.tenant_id == tenant_id))
    keep_version(connection, tenant_id, version, now)
    return version


def keep_version(connection: sa.Connection, tenant_id: str, version: int, now: datetime) -> None:
    """Keep a version that no publication has, in a row of no table."""
    mark = {
        "tenant_id": tenant_id, "table_name": _NO_TABLE, "day": _NO_DAY, "pipeline": "", "version": version,
        "read_through": version, "rows": 0, "run_id": "", "published_at": now,
    }  # fmt: skip
    of_no_table = (table.c.tenant_id == tenant_id, table.c.table_name == _NO_TABLE)
    connection.execute(sa.delete(table).where(*of_no_table))
    connection.execute(sa.insert(table), mark)


def published_since(connection: sa.Connection, version: int) -> Sequence[tuple[str, str, date]]:
    """Tenant, table and day of every partition published after `version`."""
    query = sa.select(table.c.tenant_id, table.c.table_name, table.c.day).where(table.c.version > version)
    return [(row.tenant_id, row.table_name, row.day) for row in connection.execute(query)]


def partial_days(connection: sa.Connection, timezones: Mapping[str, str]) -> Sequence[tuple[str, str, date]]:
    """Tenant, table and day of every partition that was published before its day was over, of the tenants in
    `timezones`. Scans all publications."""
    query = sa.select(table).where(table.c.table_name != _NO_TABLE)
    return [
        (p.tenant_id, p.table, p.day)
        for p in _publications(connection, query)
        if p.tenant_id in timezones and not p.is_whole(timezones[p.tenant_id])
    ]


def newest_days(connection: sa.Connection, timezones: Mapping[str, str]) -> Newest:
    """The last day that is published whole, by tenant (of those in `timezones`) and table."""
    newest = sa.select(table.c.tenant_id, table.c.table_name, sa.func.max(table.c.day).label("day"))
    newest = newest.where(table.c.table_name != _NO_TABLE)
    if len(timezones) == 1:
        newest = newest.where(table.c.tenant_id.in_(timezones))
    last = newest.group_by(table.c.tenant_id, table.c.table_name).subquery()
    is_last = sa.and_(*(last.c[name] == table.c[name] for name in ("tenant_id", "table_name", "day")))
    newest_by_table: dict[tuple[str, str], date] = {}
    for publication in list(_publications(connection, sa.select(table).join(last, is_last))):
        timezone = timezones.get(publication.tenant_id)
        if timezone is None:
            continue
        whole = publication if publication.is_whole(timezone) else _newest_whole(connection, publication, timezone)
        if whole:
            newest_by_table[whole.tenant_id, whole.table] = whole.day
    return newest_by_table


def _newest_whole(connection: sa.Connection, newest: Publication, timezone: str) -> Publication | None:
    of_table = (table.c.tenant_id == newest.tenant_id, table.c.table_name == newest.table)
    earlier = _publications(connection, sa.select(table).where(*of_table).order_by(table.c.day.desc()))
    return next((publication for publication in earlier if publication.is_whole(timezone)), None)


def _publications(connection: sa.Connection, query: sa.Select[tuple[object, ...]]) -> Iterable[Publication]:
    for row in connection.execute(query):
        yield Publication(
            row.tenant_id, row.pipeline, row.table_name, row.day, row.version, row.read_through, row.rows, row.marker,
            row.run_id, row.published_at, row.definition, row.table_version,
        )  # fmt: skip
