"""A preview of all chosen tenants: what is touched, and what became of the tables that were made."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

from convergence_assets.control.publications import Publications
from convergence_assets.control.store import ControlStore
from convergence_assets.preview.published_checks import FailedChecks, failed_checks
from convergence_assets.preview.sampling import Touched
from convergence_assets.preview.served import ServedDefinitions, recent_days
from convergence_assets.preview.table_preview import TablePreview
from convergence_assets.preview.tenant_run import BytesBudget, TenantPreview
from convergence_assets.preview.touched import TouchedTable, touched_tables
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Fleet:
    """The tenants of a candidate, previewed over their last `days` published days."""

    settings: Settings
    store: ControlStore
    instance: "dg.DagsterInstance"
    tenants: Mapping[str, Tenant]
    days: int

    def touched(self) -> Touched:
        """The tables that the candidate touches, by tenant; of tenants that it leaves alone there is nothing."""
        served = ServedDefinitions.of(self.settings, self.store, self.tenants)
        touched = {
            name: touched_tables(tenant, served.of_tenant(name), served.published_by(name))
            for name, tenant in self.tenants.items()
        }
        return {name: tables for name, tables in touched.items() if tables}

    def previews(
        self, touched: Touched, budget: BytesBudget, progress: Callable[[str], None]
    ) -> Iterator[TablePreview]:
        """The touched tables, one tenant after the other; `progress` gets each tenant's name as a table of it is
        done."""
        for tenant_id, tables in touched.items():
            tenant = self.tenants[tenant_id]
            days, failed_before = recent_days(self.store, tenant, self.days), partial(self._failed_before, tenant)
            run = TenantPreview(self.settings, tenant, days, failed_before, budget)
            yield from run.run(tables, partial(progress, tenant_id))

    def _failed_before(self, tenant: Tenant, touched: TouchedTable, days: Sequence[date]) -> FailedChecks:
        from convergence_assets.assets.factory import asset_key

        table = touched.step.table
        published = Publications(self.store).between(tenant.tenant_id, [table], min(days), max(days))
        run_ids = {day: publication.run_id for (_, day), publication in published.items() if day in days}
        return failed_checks(self.instance, asset_key(tenant, touched.pipeline, table), run_ids)
