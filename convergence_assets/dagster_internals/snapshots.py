"""Removes snapshots of jobs and execution plans that no run refers to any more, on SQLite and Postgres.

Every change of definitions makes new ones, and Dagster (1.13) removes none. A run names its job's and its plan's; a job
that is a selection of another names that one, and a plan its job.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.storage.runs.schema import RunsTable, SnapshotsTable
from sqlalchemy.engine import Connection

_JOB, _PLAN = "PIPELINE", "EXECUTION_PLAN"
_PLAN_OF_RUN = re.compile(r'"execution_plan_snapshot_id": "([^"]+)"')
_PAGE = 100


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
            jobs = set(connection.scalars(sa.select(RunsTable.c.snapshot_id).distinct())) - {None}
        parents, jobs_of_plans = {}, {}
        for row in self._all(out_of_time):
            body = json.loads(zlib.decompress(row.snapshot_body))
            if row.snapshot_type == _PLAN:
                jobs_of_plans[row.snapshot_id] = body["pipeline_snapshot_id"]
            else:
                parents[row.snapshot_id] = (body.get("lineage_snapshot") or {}).get("parent_snapshot_id")
        for job in list(jobs):
            while (job := parents.get(job)) and job not in jobs:
                jobs.add(job)
        kept = jobs | self._plans(jobs, jobs_of_plans)
        gone = sorted((parents.keys() | jobs_of_plans.keys()) - kept)
        deleted = 0
        for at in range(0, len(gone), _PAGE):
            if out_of_time():
                raise OutOfTime
            with self._storage.connect() as connection:
                deleted += _delete(connection, gone[at : at + _PAGE], through)
        return deleted

    def _all(self, out_of_time: Callable[[], bool]) -> Iterator[Any]:
        last = 0
        while True:
            if out_of_time():
                raise OutOfTime
            page = sa.select(SnapshotsTable).where(SnapshotsTable.c.id > last).order_by(SnapshotsTable.c.id)
            with self._storage.connect() as connection:
                rows = connection.execute(page.limit(_PAGE)).all()
            yield from rows
            if not rows:
                return
            last = rows[-1].id

    def _plans(self, jobs: set[str], jobs_of_plans: dict[str, str]) -> set[str]:
        """Those that a run may refer to. A job has one, and one more for each run that was executed again in part."""
        plans_of = Counter(jobs_of_plans.values())
        several = [job for job in jobs if plans_of[job] > 1]
        kept = {plan for plan, job in jobs_of_plans.items() if job in jobs and plans_of[job] == 1}
        for at in range(0, len(several), _PAGE):
            bodies = sa.select(RunsTable.c.run_body).where(RunsTable.c.snapshot_id.in_(several[at : at + _PAGE]))
            with self._storage.connect() as connection:
                for body in connection.scalars(bodies):
                    kept.update(_PLAN_OF_RUN.findall(body))
        return kept


def _delete(connection: Connection, names: list[str], through: int) -> int:
    named = sa.and_(SnapshotsTable.c.snapshot_id.in_(names), SnapshotsTable.c.id <= through)
    # A run may have been made since.
    used = sa.exists().where(RunsTable.c.snapshot_id == SnapshotsTable.c.snapshot_id)
    return connection.execute(sa.delete(SnapshotsTable).where(named, ~used)).rowcount
