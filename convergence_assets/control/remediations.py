"""What was done about stuck runs: each rung of the ladder once a run, by whoever came first."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.runs import partition_of
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import remediations as table
from convergence_assets.redaction import redacted

TAKEN_OVER_AFTER = timedelta(minutes=3)
"""A rung that was begun and not done for so long is begun again: who began it is gone."""
KEPT = timedelta(days=90)


@dataclass(frozen=True)
class Part:
    """A run's part in a pipeline; `first` and `last` None where it names no partition."""

    tenant_id: str
    pipeline: str
    first: date | None
    last: date | None

    @property
    def partition(self) -> str | None:
        return partition_of(self.first, self.last)


@dataclass(frozen=True)
class Rung:
    """One rung taken for a run; `done_at` None while somebody is at it."""

    rung: str
    kind: str
    part: Part
    begun_at: datetime
    done_at: datetime | None
    outcome: str


class Remediations:
    """The rungs of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def of(self, run_ids: Collection[str]) -> Mapping[str, Mapping[str, Rung]]:
        """By run and rung; runs that nothing was done about are left out."""
        with self._store.read() as connection:
            return rungs_of(connection, run_ids)

    def unfinished(self, last_rung: str) -> Mapping[str, Mapping[str, Rung]]:
        """The runs whose ladder somebody began and nobody brought to its last rung."""
        finished = sa.select(table.c.run_id).where(table.c.rung == last_rung, table.c.done_at.is_not(None))
        with self._store.read() as connection:
            wanted = sa.select(table.c.run_id).where(table.c.run_id.not_in(finished)).distinct()
            return rungs_of(connection, list(connection.scalars(wanted)))

    def begin(self, connection: sa.Connection, run_id: str, rung: str, kind: str, part: Part) -> bool:
        """Whether the caller is the one to take this rung now; within a transaction of `write(key(run_id))`."""
        now = self._store.now()
        own = (table.c.run_id == run_id, table.c.rung == rung)
        found = connection.execute(sa.select(table.c.begun_at, table.c.done_at).where(*own)).one_or_none()
        if found is not None and (found.done_at is not None or found.begun_at > now - TAKEN_OVER_AFTER):
            return False
        connection.execute(sa.delete(table).where(*own))
        row = {
            "run_id": run_id, "rung": rung, "tenant_id": part.tenant_id, "pipeline": part.pipeline,
            "first_day": part.first, "last_day": part.last, "kind": kind, "begun_at": now, "outcome": "",
        }  # fmt: skip
        connection.execute(sa.insert(table), row)
        return True

    def done(self, connection: sa.Connection, run_id: str, rung: str, outcome: str) -> None:
        """Say how a rung went."""
        own = sa.update(table).where(table.c.run_id == run_id, table.c.rung == rung)
        connection.execute(own.values(done_at=self._store.now(), outcome=redacted(outcome)))

    def taken_since(self, connection: sa.Connection, rung: str, part: Part, since: datetime) -> int:
        """How often a rung was taken for runs over any of these days."""
        wanted = sa.select(sa.func.count()).where(
            table.c.rung == rung,
            table.c.tenant_id == part.tenant_id,
            table.c.pipeline == part.pipeline,
            table.c.begun_at >= since,
            table.c.first_day <= part.last,
            table.c.last_day >= part.first,
        )
        return connection.scalar(wanted) or 0

    def forget(self) -> None:
        """Drop what is long past."""
        with self._store.write() as connection:
            connection.execute(sa.delete(table).where(table.c.begun_at < self._store.now() - KEPT))


def key(run_id: str) -> str:
    """The transaction that rungs of a run are begun in."""
    return f"stuck:{run_id}"


def kind_of(connection: sa.Connection, run_id: str) -> str | None:
    """As what a run was found stuck, if it was."""
    return connection.scalar(sa.select(table.c.kind).where(table.c.run_id == run_id).limit(1))


def rungs_of(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, dict[str, Rung]]:
    found: dict[str, dict[str, Rung]] = {}
    for row in connection.execute(sa.select(table).where(table.c.run_id.in_(run_ids)).order_by(table.c.begun_at)):
        part = Part(row.tenant_id, row.pipeline, row.first_day, row.last_day)
        rung = Rung(row.rung, row.kind, part, row.begun_at, row.done_at, row.outcome)
        found.setdefault(row.run_id, {})[row.rung] = rung
    return found
