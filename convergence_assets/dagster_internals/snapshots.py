"""Removes snapshots of jobs and execution plans that no run refers to any more, on SQLite and Postgres.

Every change of definitions makes new ones, and Dagster (1.13) removes none. A run names its job's and its plan's; a job
that is a selection of another names that one, and a plan its job.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.runs.schema import RunsTable, SnapshotsTable
from sqlalchemy.engine import Connection

_JOB, _PLAN = "PIPELINE", "EXECUTION_PLAN"
_PARENT = re.compile(rb'"parent_snapshot_id":\s*"([^"]+)"')
_JOB_OF_PLAN = re.compile(rb'"pipeline_snapshot_id":\s*"([^"]+)"')
_PLAN_OF_RUN = re.compile(r'"execution_plan_snapshot_id":\s*"([^"]+)"')
"""Of serialized JSON, where a quote within a text is escaped: that of a whole location is 10 MB and more to parse."""
_PAGE = 100
_BODIES_AT_ONCE = 20


class OutOfTime(Exception):
    """There was no time left; the next call begins again with what is left."""


class Snapshots:
    """The snapshots of an instance. Every method may be repeated after it was killed."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._storage: Any = instance.run_storage

    def newest(self) -> int:
        """The number of the last one; 0 where there is none."""
        with self._storage.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(SnapshotsTable.c.id))) or 0

    def delete(self, through: int, out_of_time: Callable[[], bool] = lambda: False) -> int:
        """Delete those up to a number that nothing refers to; how many.

        Dagster writes a run after its snapshots: `through` leaves out those that may wait for their run. Raises
        `OutOfTime`.
        """
        with self._storage.connect() as connection:
            used = set(connection.scalars(sa.select(RunsTable.c.snapshot_id).distinct())) - {None}
            rows = connection.execute(sa.select(SnapshotsTable.c.snapshot_id, SnapshotsTable.c.snapshot_type)).all()
        plans = [row.snapshot_id for row in rows if row.snapshot_type == _PLAN]
        jobs_of_plans = dict(self._named_in(plans, _JOB_OF_PLAN, out_of_time))
        jobs, added = set(used), used
        while added:
            parents = {parent for _, parent in self._named_in(sorted(added), _PARENT, out_of_time)}
            added = parents - jobs
            jobs |= added
        unknown = set(plans) - jobs_of_plans.keys()
        kept = jobs | self._plans(jobs, jobs_of_plans) | unknown
        gone = [row.snapshot_id for row in rows if row.snapshot_id not in kept]
        deleted = 0
        for part in _parts(gone, _PAGE):
            if out_of_time():
                raise OutOfTime
            with self._storage.connect() as connection:
                deleted += _delete(connection, part, through)
        return deleted

    def _named_in(
        self, names: Sequence[str], reference: re.Pattern[bytes], out_of_time: Callable[[], bool]
    ) -> Iterator[tuple[str, str]]:
        """Of these snapshots, by name, what each refers to so; those that refer to nothing are left out."""
        for part in _parts(names, _BODIES_AT_ONCE):
            if out_of_time():
                raise OutOfTime
            bodies = sa.select(SnapshotsTable.c.snapshot_id, SnapshotsTable.c.snapshot_body)
            with self._storage.connect() as connection:
                for row in connection.execute(bodies.where(SnapshotsTable.c.snapshot_id.in_(part))):
                    for found in reference.findall(zlib.decompress(row.snapshot_body)):
                        yield row.snapshot_id, found.decode()

    def _plans(self, jobs: Collection[str], jobs_of_plans: dict[str, str]) -> set[str]:
        """Those that a run may refer to. A job has one, and one more for each run that was executed again in part."""
        plans_of = Counter(jobs_of_plans.values())
        several = [job for job in jobs if plans_of[job] > 1]
        kept = {plan for plan, job in jobs_of_plans.items() if job in jobs and plans_of[job] == 1}
        for part in _parts(several, _PAGE):
            bodies = sa.select(RunsTable.c.run_body).where(RunsTable.c.snapshot_id.in_(part))
            with self._storage.connect() as connection:
                for body in connection.scalars(bodies):
                    kept.update(_PLAN_OF_RUN.findall(body))
        return kept


def _delete(connection: Connection, names: Sequence[str], through: int) -> int:
    named = sa.and_(SnapshotsTable.c.snapshot_id.in_(names), SnapshotsTable.c.id <= through)
    # A run may have been made since.
    used = sa.exists().where(RunsTable.c.snapshot_id == SnapshotsTable.c.snapshot_id)
    return connection.execute(sa.delete(SnapshotsTable).where(named, ~used)).rowcount


def _parts(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (values[at : at + size] for at in range(0, len(values), size))
