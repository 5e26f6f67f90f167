"""Removes history that is older than it is kept: Dagster's events, runs, ticks and snapshots, and the rows of the runs
index and the ledger.

State stays: of each table's day the newest materialisation and check results, and what was published. Nothing below
CONVERGENCE_LANDING is touched.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control import history
from convergence_assets.control.store import ControlStore
from convergence_assets.dagster_internals.history import DagsterHistory
from convergence_assets.dagster_internals.snapshots import OutOfTime, Snapshots
from convergence_assets.ledger.tables import API_KEYS, TABLES
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import NotFound, WarehouseError
from convergence_assets.warehouse.interface import Job
from convergence_assets.warehouse.schema import TableRef

EVERY = timedelta(days=1)
_LEDGER_SECONDS = 30.0
_LEAST_SECONDS = 5.0
"""No statement is begun with less time than this."""
_OVERLAP = timedelta(seconds=1)
"""Runs of one moment may be on both sides of a cursor; their events are deleted once more."""


@dataclass
class Pruned:
    """What was removed: counts, and tenants whose ledger could not be reached, with the reason."""

    runs_without_events: int = 0
    events: int = 0
    runs: int = 0
    backfills: int = 0
    snapshots: int = 0
    index_rows: int = 0
    ledger_tables: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    finished: bool = False
    """Whether all of it was done; else the next call continues."""

    def __str__(self) -> str:
        text = (
            f"{self.events} events of {self.runs_without_events} runs, {self.runs} runs, {self.backfills} backfills, "
            f"{self.snapshots} snapshots, {self.index_rows} rows of the runs index; "
            f"{self.ledger_tables} ledger tables looked at"
        )
        failures = "; ".join(f"{tenant_id}: {why}" for tenant_id, why in self.failed.items())
        return f"{text}; not reached: {failures}" if failures else text


@dataclass(frozen=True)
class History:
    """The history of a deployment. Whatever kills it, the next call continues."""

    instance: dg.DagsterInstance
    store: ControlStore
    settings: Settings

    @property
    def events_before(self) -> datetime:
        """The moment before which runs lose their events."""
        return self.store.now() - timedelta(days=self.settings.keep_events_days)

    @property
    def runs_before(self) -> datetime:
        """The moment before which runs, and rows of the ledger, are deleted."""
        return self.store.now() - timedelta(days=self.settings.keep_runs_days)

    def prune(
        self,
        tenants: Iterable[Tenant],
        seconds: float | None = None,
        advance: Callable[[str], None] = lambda what: None,
    ) -> Pruned:
        """Remove what is old; stops after some seconds (None: never). `advance` is called after each run and table.

        Raises the errors of Dagster's storage and of the control store.
        """
        end = time.monotonic() + seconds if seconds is not None else float("inf")
        pruned, dagster = Pruned(), DagsterHistory(self.instance)
        if not self._delete_events(dagster, pruned, end, advance) or not self._delete_runs(
            dagster, pruned, end, advance
        ):
            return pruned
        pruned.backfills = dagster.delete_backfills(self.runs_before)
        dagster.delete_ticks(self.events_before)
        if not self._delete_snapshots(pruned, end):
            return pruned
        with self.store.write() as connection:
            pruned.index_rows = history.delete_runs_before(connection, self.runs_before)
        pruned.finished = self._delete_ledger_rows(tenants, pruned, end, advance)
        if pruned.finished:
            with self.store.write() as connection:
                history.write_completed_at(connection, self.store.now())
        return pruned

    def is_due(self) -> bool:
        """Whether the last complete removal was a day ago."""
        with self.store.read() as connection:
            last = history.completed_at(connection)
        return last is None or self.store.now() - last >= EVERY

    def _delete_events(
        self, dagster: DagsterHistory, pruned: Pruned, end: float, advance: Callable[[str], None]
    ) -> bool:
        with self.store.read() as connection:
            since = history.events_deleted_through(connection)
        for record in dagster.runs_before(self.events_before, since - _OVERLAP if since else None):
            if time.monotonic() > end:
                return False
            if record.dagster_run.is_finished:
                pruned.events += dagster.delete_events(record.dagster_run.run_id)
                pruned.runs_without_events += 1
            with self.store.write() as connection:
                history.write_events_deleted_through(connection, record.create_timestamp)
            advance(f"events of run {record.dagster_run.run_id}")
        return True

    def _delete_runs(self, dagster: DagsterHistory, pruned: Pruned, end: float, advance: Callable[[str], None]) -> bool:
        newest = self.instance.get_run_records(limit=1)
        kept = {record.dagster_run.run_id for record in newest}  # the ledger finds new runs by it
        for record in dagster.runs_before(self.runs_before):
            if time.monotonic() > end:
                return False
            run = record.dagster_run
            if run.run_id not in kept and run.is_finished and not dagster.makes_a_partition_red(run.run_id):
                pruned.events += dagster.delete_events(run.run_id)
                dagster.delete_run(run.run_id)
                pruned.runs += 1
            advance(f"run {run.run_id}")
        return True

    def _delete_snapshots(self, pruned: Pruned, end: float) -> bool:
        """Those that no run needs, and that were there when history was last removed: their runs have been made."""
        snapshots = Snapshots(self.instance)
        newest = snapshots.newest()
        with self.store.read() as connection:
            through = history.snapshots_through(connection)
        try:
            pruned.snapshots = snapshots.delete(through, lambda: time.monotonic() > end)
        except OutOfTime:
            return False
        with self.store.write() as connection:
            history.write_snapshots_through(connection, newest)
        return True

    def _delete_ledger_rows(
        self, tenants: Iterable[Tenant], pruned: Pruned, end: float, advance: Callable[[str], None]
    ) -> bool:
        in_order = sorted(tenants, key=lambda tenant: tenant.tenant_id)
        with self.store.read() as connection:
            done = history.tenants_done(connection)
        for number, tenant in enumerate(in_order):
            if number < done:
                continue
            try:
                pruned.ledger_tables += self._delete_rows_of(tenant, end)
            except OutOfTime:
                return False
            except WarehouseError as error:
                pruned.failed[tenant.tenant_id] = str(error)
            with self.store.write() as connection:
                history.write_tenants_done(connection, number + 1)
            advance(f"ledger of {tenant.tenant_id}")
        with self.store.write() as connection:
            history.write_tenants_done(connection, 0)
        return True

    def _delete_rows_of(self, tenant: Tenant, end: float) -> int:
        day, tables = self.runs_before.date(), 0
        labels = {"tenant": tenant.tenant_id, "purpose": "prune"}
        budget = min(_LEDGER_SECONDS, end - time.monotonic())
        if budget < _LEAST_SECONDS:
            raise OutOfTime
        with open_warehouse(self.settings, tenant.location, budget_seconds=budget) as warehouse:
            for name, table in TABLES.items():
                if name == API_KEYS:
                    continue
                left = min(_LEDGER_SECONDS, end - time.monotonic())
                if left < _LEAST_SECONDS:
                    raise OutOfTime
                job = Job(f"prune-{tenant.tenant_id}-{day}", labels, left)
                with suppress(NotFound):
                    warehouse.delete_before(TableRef(tenant.dataset, name, tenant.project), table.schema, day, job)
                    tables += 1
        return tables
