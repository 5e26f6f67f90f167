"""Which process executes each run, so that a monitor on its host can check it and end it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from convergence_assets.control.store import ControlStore
from convergence_assets.control.tables import workers as table
from convergence_assets.process import Owner, is_gone

KEPT = timedelta(days=7)


@dataclass(frozen=True)
class Worker:
    """A run's process, the last one where it had several; `end_requested_at` is when its end was requested."""

    run_id: str
    owner: Owner
    began_at: datetime
    end_requested_at: datetime | None = None


class Workers:
    """The workers of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def record(self, run_id: str, owner: Owner) -> None:
        """Record that a process executes a run from now on; old rows are deleted."""
        row = {
            "run_id": run_id,
            "host": owner.host,
            "boot_id": owner.boot_id,
            "process_space": owner.space,
            "process": owner.process,
            "process_started": owner.started,
            "began_at": self._store.now(),
        }
        with self._store.write() as connection:
            old = sa.or_(table.c.run_id == run_id, table.c.began_at < self._store.now() - KEPT)
            connection.execute(sa.delete(table).where(old))
            connection.execute(sa.insert(table), row)

    def find(self, run_id: str) -> Worker | None:
        """The process of a run, if one was ever recorded."""
        return self.of([run_id]).get(run_id)

    def of(self, run_ids: Collection[str]) -> Mapping[str, Worker]:
        """By run; runs without a known process are left out."""
        with self._store.read() as connection:
            workers = _workers(connection, sa.select(table).where(table.c.run_id.in_(run_ids)))
            return {worker.run_id: worker for worker in workers}

    def living(self) -> list[Worker]:
        """Those whose process is alive on this host."""
        with self._store.read() as connection:
            return [worker for worker in _workers(connection, sa.select(table)) if is_gone(worker.owner) is False]

    def request_end(self, run_id: str) -> bool:
        """Request that the host of a run's process end it; whether there is such a process."""
        with self._store.write() as connection:
            update = sa.update(table).where(table.c.run_id == run_id)
            return bool(connection.execute(update.values(end_requested_at=self._store.now())).rowcount)


def _workers(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Worker]:
    for row in connection.execute(query):
        owner = Owner(row.host, row.boot_id, row.process_space, row.process, row.process_started)
        yield Worker(row.run_id, owner, row.began_at, row.end_requested_at)
