"""What was done about stuck runs: each step once per run, by the first process."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import sqlalchemy as sa

from convergence_assets.control.runs import partition_of
from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import remediations as table
from convergence_assets.redaction import redacted

TAKEN_OVER_AFTER = timedelta(minutes=3)
"""A step that was begun this long ago and is not done is begun again: its process is gone."""
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
class RemediationStep:
    """One step taken for a run; `done_at` None while it is in progress."""

    step: str
    kind: str
    part: Part
    begun_at: datetime
    done_at: datetime | None
    outcome: str


class Remediations:
    """The steps of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def of(self, run_ids: Collection[str]) -> Mapping[str, Mapping[str, RemediationStep]]:
        """By run and step; runs without a step are left out."""
        with self._store.read() as connection:
            return steps_of(connection, run_ids)

    def unfinished(self, last_step: str) -> Mapping[str, Mapping[str, RemediationStep]]:
        """The runs whose remediation was begun and has not reached its last step."""
        finished = sa.select(table.c.run_id).where(table.c.step == last_step, table.c.done_at.is_not(None))
        with self._store.read() as connection:
            query = sa.select(table.c.run_id).where(table.c.run_id.not_in(finished)).distinct()
            return steps_of(connection, list(connection.scalars(query)))

    def begin(self, connection: sa.Connection, run_id: str, step: str, kind: str, part: Part) -> bool:
        """Whether the caller is to take this step now; within a transaction of `write(key(run_id))`."""
        now = self._store.now()
        is_step = (table.c.run_id == run_id, table.c.step == step)
        begun = connection.execute(sa.select(table.c.begun_at, table.c.done_at).where(*is_step)).one_or_none()
        if begun is not None and (begun.done_at is not None or begun.begun_at > now - TAKEN_OVER_AFTER):
            return False
        connection.execute(sa.delete(table).where(*is_step))
        row = {
            "run_id": run_id, "step": step, "tenant_id": part.tenant_id, "pipeline": part.pipeline,
            "first_day": part.first, "last_day": part.last, "kind": kind, "begun_at": now, "outcome": "",
        }  # fmt: skip
        connection.execute(sa.insert(table), row)
        return True

    def record_outcome(self, connection: sa.Connection, run_id: str, step: str, outcome: str) -> None:
        """Record a step's outcome."""
        update = sa.update(table).where(table.c.run_id == run_id, table.c.step == step)
        connection.execute(update.values(done_at=self._store.now(), outcome=redacted(outcome)))

    def taken_since(self, connection: sa.Connection, step: str, part: Part, since: datetime) -> int:
        """How often a step was taken for runs over any of these days."""
        query = sa.select(sa.func.count()).where(
            table.c.step == step,
            table.c.tenant_id == part.tenant_id,
            table.c.pipeline == part.pipeline,
            table.c.begun_at >= since,
            table.c.first_day <= part.last,
            table.c.last_day >= part.first,
        )
        return connection.scalar(query) or 0

    def prune_steps(self) -> None:
        """Delete old steps."""
        with self._store.write() as connection:
            connection.execute(sa.delete(table).where(table.c.begun_at < self._store.now() - KEPT))


def key(run_id: str) -> str:
    """The key of the transactions that begin steps of a run."""
    return f"stuck:{run_id}"


def kind_of(connection: sa.Connection, run_id: str) -> str | None:
    """The kind as which a run was found stuck, if it was."""
    return connection.scalar(sa.select(table.c.kind).where(table.c.run_id == run_id).limit(1))


def steps_of(connection: sa.Connection, run_ids: Collection[str]) -> dict[str, dict[str, RemediationStep]]:
    steps: dict[str, dict[str, RemediationStep]] = {}
    for row in connection.execute(sa.select(table).where(table.c.run_id.in_(run_ids)).order_by(table.c.begun_at)):
        part = Part(row.tenant_id, row.pipeline, row.first_day, row.last_day)
        step = RemediationStep(row.step, row.kind, part, row.begun_at, row.done_at, row.outcome)
        steps.setdefault(row.run_id, {})[row.step] = step
    return steps
