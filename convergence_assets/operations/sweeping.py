"""What runs have staged and nobody will look at: removed once a run is over, unless its rows are evidence."""

import random
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from convergence_assets.assets.materialize import QUALITY_FAILED, STAGING_KEPT_DAYS
from convergence_assets.assets.opening import open_warehouse
from convergence_assets.control import runs
from convergence_assets.control.store import ControlStore
from convergence_assets.settings import Settings
from convergence_assets.tenancy.model import Tenant
from convergence_assets.warehouse.errors import WarehouseError
from convergence_assets.warehouse.schema import Dataset

KEPT = timedelta(days=STAGING_KEPT_DAYS)
SETTLED = timedelta(minutes=10)
"""So long after its last sign a run that is over may be repeated, and its repetition takes up what was staged."""
UNKNOWN_FOR = timedelta(days=1)
"""So long rows of a run that Dagster does not know are kept: a command's, or one of another Dagster."""
_WAREHOUSE_SECONDS = 10.0
_ROOT_RUN_TAG = "dagster/root_run_id"


@dataclass(frozen=True)
class Sweeper:
    """Looks at tenants' staged rows. Raises what Dagster's storage and the control store raise; a warehouse that does
    not answer is left for the next time."""

    instance: dg.DagsterInstance
    store: ControlStore
    settings: Settings

    def sweep(self, tenants: Iterable[Tenant], seconds: float) -> list[str]:
        """What was removed, in words; stops after some seconds, and begins at another tenant the next time."""
        end, done = time.monotonic() + seconds, []
        mine = list(tenants)
        random.shuffle(mine)
        for tenant in mine:
            if time.monotonic() > end:
                break
            try:
                done += self._of(tenant)
            except WarehouseError as error:
                done.append(f"{tenant.tenant_id}: not looked at: {error}")
        return done

    def drop(self, tenant: Tenant, run_id: str) -> None:
        """What one run, or the run that it repeats, has staged. Raises `WarehouseError`."""
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
        now = self.store.now()
        return [run_id for run_id, at in staged.items() if now - at > KEPT or self._is_over(run_id, now - at)]

    def _is_over(self, run_id: str, age: timedelta) -> bool:
        run = self.instance.get_run_by_id(run_id)
        if run is None:
            return age > UNKNOWN_FOR
        repetitions = self.instance.get_runs(dg.RunsFilter(tags={_ROOT_RUN_TAG: run_id}))
        if age <= SETTLED or not all(one.is_finished for one in (run, *repetitions)):
            return False
        with self.store.read() as connection:
            parts = [part for one in (run, *repetitions) for part in runs.parts_of(connection, one.run_id)]
        return bool(parts) and all(part.error_class != QUALITY_FAILED for part in parts)
