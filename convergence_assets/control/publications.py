"""What was published last of every table's partition, and what had been published when its rows were read."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import publications as table


@dataclass(frozen=True)
class Publication:
    """A table's partition as it is: `version` is larger the later it was published, in all of the store.

    `read_through` is the newest version there was before its rows were read; `marker` is what its source said of late
    data then.
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


WRITING = "publications"
"""The key of the transactions in which a version is given."""
_NO_TABLE, _NO_DAY = "", date(1970, 1, 1)

Days = Mapping[tuple[str, date], Publication]
"""By table and day."""
Newest = Mapping[tuple[str, str], date]
"""By tenant and table the last day that is published."""


@dataclass(frozen=True)
class Tables:
    """The tables of a tenant's pipeline, each with the tables of the tenant that it reads and the day each begins."""

    reads: Mapping[str, Mapping[str, date]]

    def asked(self) -> frozenset[str]:
        """Every table whose publications decide."""
        return frozenset(self.reads).union(*self.reads.values())

    def is_current(self, day: date, found: Days) -> bool:
        """Whether every table is published, and read what is published now."""
        for name, upstream in self.reads.items():
            own = found.get((name, day))
            if own is None:
                return False
            read = (found.get((u, day)) for u in upstream)
            if any(p is not None and p.version > own.read_through for p in read):
                return False
        return True

    def are_by(self, run_id: str, day: date, found: Days) -> bool:
        """Whether the run published every table of the day, and nobody has since."""
        own = [found.get((name, day)) for name in self.reads]
        return all(p is not None and p.run_id == run_id for p in own)

    def missing(self, day: date, found: Days) -> tuple[str, ...]:
        """The tables of other pipelines that are read and that are not published on this day, where they have one."""
        upstream = {u: begins for read in self.reads.values() for u, begins in read.items() if u not in self.reads}
        return tuple(sorted(u for u, begins in upstream.items() if begins <= day and (u, day) not in found))


class Publications:
    """The publications of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def newest_version(self) -> int:
        """To be asked before the rows of a step are read."""
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
    ) -> None:
        """Say that a run has published these days of a table, in one transaction."""
        markers = markers or {}
        # One after the other, so that a version is not seen before a smaller one.
        with self._store.write(WRITING) as connection:
            version, now = newest_version(connection) + 1, self._store.now()
            own = (table.c.tenant_id == tenant_id, table.c.table_name == table_name)
            connection.execute(sa.delete(table).where(*own, table.c.day.in_(list(rows))))
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
                    }
                    for day, count in rows.items()
                ],
            )

    def between(self, tenant_id: str, tables: Collection[str], first: date, last: date) -> Days:
        """The publications of these tables on the days [first, last]."""
        with self._store.read() as connection:
            return between(connection, tenant_id, tables, first, last)


def newest_version(connection: sa.Connection) -> int:
    return connection.scalar(sa.select(sa.func.coalesce(sa.func.max(table.c.version), 0))) or 0


def between(
    connection: sa.Connection, tenant_id: str, tables: Collection[str], first: date, last: date
) -> dict[tuple[str, date], Publication]:
    wanted = sa.select(table).where(
        table.c.tenant_id == tenant_id, table.c.table_name.in_(tables), table.c.day >= first, table.c.day <= last
    )
    return {(p.table, p.day): p for p in _publications(connection, wanted)}


def days_by_pipeline(connection: sa.Connection, tenant_id: str) -> dict[str, set[date]]:
    """The days of which a tenant's pipelines have published a table."""
    wanted = sa.select(table.c.pipeline, table.c.day).where(
        table.c.tenant_id == tenant_id, table.c.table_name != _NO_TABLE
    )
    found: dict[str, set[date]] = {}
    for row in connection.execute(wanted.distinct()):
        found.setdefault(row.pipeline, set()).add(row.day)
    return found


def forget(connection: sa.Connection, tenant_id: str, now: datetime) -> int:
    """Forget all that a tenant has published; the version of this, newer than any before it.

    A row stays that has it, of no table: were the newest version to go, the next ones would be older than what the
    planner has read. Within a transaction that has waited for `WRITING`.
    """
    version = newest_version(connection) + 1
    connection.execute(sa.delete(table).where(table.c.tenant_id == tenant_id))
    mark = {
        "tenant_id": tenant_id, "table_name": _NO_TABLE, "day": _NO_DAY, "pipeline": "", "version": version,
        "read_through": version, "rows": 0, "run_id": "", "published_at": now,
    }  # fmt: skip
    connection.execute(sa.insert(table), mark)
    return version


def since(connection: sa.Connection, version: int) -> Sequence[tuple[str, str, date]]:
    """Tenant, table and day of every partition published after `version`."""
    wanted = sa.select(table.c.tenant_id, table.c.table_name, table.c.day).where(table.c.version > version)
    return [(row.tenant_id, row.table_name, row.day) for row in connection.execute(wanted)]


def newest_days(connection: sa.Connection, tenant_id: str | None = None) -> Newest:
    """By tenant and table the last day that is published."""
    wanted = sa.select(table.c.tenant_id, table.c.table_name, sa.func.max(table.c.day).label("day"))
    wanted = wanted.where(table.c.table_name != _NO_TABLE)
    if tenant_id:
        wanted = wanted.where(table.c.tenant_id == tenant_id)
    return {
        (row.tenant_id, row.table_name): row.day
        for row in connection.execute(wanted.group_by(table.c.tenant_id, table.c.table_name))
    }


def _publications(connection: sa.Connection, wanted: sa.Select[tuple[object, ...]]) -> Iterable[Publication]:
    for row in connection.execute(wanted):
        yield Publication(
            row.tenant_id, row.pipeline, row.table_name, row.day, row.version, row.read_through, row.rows, row.marker,
            row.run_id, row.published_at,
        )  # fmt: skip
