"""Removes what runs have staged once they are over, unless the rows are evidence."""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from convergence_assets.assets.materialize import QUALITY_FAILED
from convergence_assets.assets.no_data import has_no_data
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.control.store import ControlStore
from convergence_assets.ledger.rows import plain
from convergence_assets.ledger.run_reducer import error_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.interface import STAGING_KEPT_DAYS
from convergence_assets.warehouse.schema import Dataset

KEPT = timedelta(days=STAGING_KEPT_DAYS)
SETTLED = timedelta(minutes=10)
"""How long after its end a run may be retried, and its retry uses what was staged."""
UNKNOWN_FOR = timedelta(days=1)
"""How long rows of a run that Dagster does not know are kept: a command's, or one of another Dagster."""
_WAREHOUSE_SECONDS = 10.0
_ROOT_RUN_TAG = "dagster/root_run_id"
_SAY_WHAT_STOPPED = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.ASSET_OBSERVATION}


@dataclass(frozen=True)
class Sweeper:
    """Checks tenants' staged rows. Raises the errors of Dagster's storage and of the control store; a warehouse that
    does not answer is left for the next time."""

    instance: dg.DagsterInstance
    store: ControlStore
    settings: Settings

    def sweep(self, tenants: Iterable[Tenant], seconds: float) -> list[str]:
        """Remove staged rows; what was removed, in words. Stops after some seconds and resumes at another tenant."""
        end, done = time.monotonic() + seconds, []
        in_random_order = list(tenants)
        random.shuffle(in_random_order)
        for tenant in in_random_order:
            if time.monotonic() > end:
                break
            try:
                done += self._of(tenant)
            except (WarehouseError, OSError) as error:
                done.append(f"{tenant.tenant_id}: not looked at: {error}")
        return done

    def drop(self, tenant: Tenant, run_id: str) -> None:
        """What one run has staged. Raises `WarehouseError`."""
        with open_warehouse(self.settings, tenant.location, budget_seconds=_WAREHOUSE_SECONDS) as warehouse:
            warehouse.drop_staged(Dataset(tenant.dataset, tenant.project), run_id)

    def _of(self, tenant: Tenant) -> list[str]:
        dataset = Dataset(tenant.dataset, tenant.project)
        with open_warehouse(self.settings, tenant.location, budget_seconds=_WAREHOUSE_SECONDS) as warehouse:
            gone = self._not_needed(warehouse.staged_runs(dataset))
            for run_id in gone:
                warehouse.drop_staged(dataset, run_id)
        return [f"{tenant.tenant_id}: rows that run {run_id} had staged" for run_id in gone]

    def _not_needed(self, staged: Mapping[str, datetime]) -> list[str]:
        return [run_id for run_id, at in staged.items() if self.is_not_needed(run_id, at)]

    def is_not_needed(self, run_id: str, staged_at: datetime) -> bool:
        """Whether nobody will use, nor look at, what a run staged."""
        now, attempts = self.store.now(), self._attempts(run_id)
        if now - staged_at > KEPT:
            return True
        if not attempts:
            return now - staged_at > UNKNOWN_FOR
        ends = [datetime.fromtimestamp(one.end_time, UTC) for one in attempts if one.end_time]
        if len(ends) < len(attempts) or not all(one.dagster_run.is_finished for one in attempts):
            return False
        return now - max(ends) > SETTLED and not self._are_evidence(attempts)

    def has_evidence(self, run_id: str) -> bool:
        """Whether the run, or a retry of it, was stopped by a check: people look at what it staged."""
        return self._are_evidence(self._attempts(run_id))

    def _are_evidence(self, attempts: Sequence[dg.RunRecord]) -> bool:
        # Dagster's own records: the runs index may be behind, or about to be rebuilt.
        return any(
            _was_stopped_by_checks(entry.dagster_event)
            for one in attempts
            for entry in self.instance.all_logs(one.dagster_run.run_id, of_type=_SAY_WHAT_STOPPED)
            if entry.dagster_event
        )

    def _attempts(self, run_id: str) -> Sequence[dg.RunRecord]:
        """The run with every other one of its group, which a person or Dagster retried from the same first run."""
        records = self.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
        if not records:
            return records
        root = records[0].dagster_run.root_run_id or run_id
        again = self.instance.get_run_records(dg.RunsFilter(tags={_ROOT_RUN_TAG: root}))
        return [*records, *(one for one in again if one.dagster_run.run_id != run_id)]


def _was_stopped_by_checks(event: dg.DagsterEvent) -> bool:
    if event.event_type == dg.DagsterEventType.STEP_FAILURE:
        return error_of(event)[0] == QUALITY_FAILED
    stopped_by = event.asset_observation_data.asset_observation.metadata.get("stopped_by")
    return stopped_by is not None and not has_no_data(plain(stopped_by))
