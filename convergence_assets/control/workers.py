"""Which process works on each run, so that whoever is on its host can look after it and end it."""

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
    """A run's process, the last one where it had several; `end_requested_at` is when its end was asked for."""

    run_id: str
    owner: Owner
    began_at: datetime
    end_requested_at: datetime | None = None


class Workers:
    """The workers of a store. Every method raises `ControlError` where the store fails."""

    def __init__(self, store: ControlStore) -> None:
        self._store = store

    def record(self, run_id: str, owner: Owner) -> None:
        """Say that a process works on a run from now on; old rows are dropped."""
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
        """The process of a run, if one ever said so."""
        return self.of([run_id]).get(run_id)

    def of(self, run_ids: Collection[str]) -> Mapping[str, Worker]:
        """By run; runs without a known process are left out."""
        with self._store.read() as connection:
            found = _workers(connection, sa.select(table).where(table.c.run_id.in_(run_ids)))
            return {worker.run_id: worker for worker in found}

    def living(self) -> list[Worker]:
        """Those whose process lives on this host."""
        with self._store.read() as connection:
            return [worker for worker in _workers(connection, sa.select(table)) if is_gone(worker.owner) is False]

    def request_end(self, run_id: str) -> bool:
        """Ask the host of a run's process to end it; whether there is such a process."""
        with self._store.write() as connection:
            own = sa.update(table).where(table.c.run_id == run_id)
            return bool(connection.execute(own.values(end_requested_at=self._store.now())).rowcount)


def _workers(connection: sa.Connection, wanted: sa.Select[Any]) -> Iterator[Worker]:
    for row in connection.execute(wanted):
        owner = Owner(row.host, row.boot_id, row.process_space, row.process, row.process_started)
        yield Worker(row.run_id, owner, row.began_at, row.end_requested_at)
