"""What is served and published of tenants: definitions, recent days, how much they have."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from convergence_assets.control import publications
from convergence_assets.control.definitions import newest_definitions
from convergence_assets.control.store import ControlStore
from convergence_assets.local_days import last_finished_day
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import Definition, definition_of
from convergence_assets.tenancy.registry import load_accepted
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


@dataclass(frozen=True)
class ServedDefinitions:
    """Definitions by tenant and table: that of the newest publication, else that of the last accepted files."""

    by_table: Mapping[tuple[str, str], Definition]

    @classmethod
    def of(cls, settings: Settings, store: ControlStore, tenants: Mapping[str, Tenant]) -> "ServedDefinitions":
        """Those of these tenants. Raises `ControlError`, and OSError where accepted files cannot be read."""
        with store.read() as connection:
            contents = newest_definitions(connection)
        published = {name: Definition.stored(content) for name, content in contents.items() if name[0] in tenants}
        unknown = {
            tenant.tenant_id
            for tenant in tenants.values()
            for pipeline in tenant.pipelines
            for step in pipeline.steps
            if (tenant.tenant_id, step.table) not in published
        }
        accepted = load_accepted(settings, unknown).tenants if unknown else {}
        by_table = {
            (tenant.tenant_id, step.table): definition_of(tenant, step)
            for tenant in accepted.values()
            for pipeline in tenant.pipelines
            for step in pipeline.steps
        }
        return cls(by_table | published)

    def of_tenant(self, tenant_id: str) -> Mapping[str, Definition]:
        """By table."""
        return {table: definition for (tenant, table), definition in self.by_table.items() if tenant == tenant_id}


def recent_days(store: ControlStore, tenant: Tenant, number: int) -> Mapping[str, Sequence[date]]:
    """The last published days of each pipeline, at most `number`; of one that has none the last finished ones."""
    with store.read() as connection:
        published = publications.days_by_pipeline(connection, tenant.tenant_id)
        finished = last_finished_day(tenant.timezone, store.now())
    return {
        pipeline.name: sorted(published.get(pipeline.name, ()))[-number:] or _finished_days(pipeline, finished, number)
        for pipeline in tenant.pipelines
    }


def _finished_days(pipeline: TenantPipeline, last: date, number: int) -> list[date]:
    days = [last - timedelta(days=before) for before in reversed(range(number))]
    return [day for day in days if day >= pipeline.start_date]


def published_rows(store: ControlStore, tenant_ids: Collection[str]) -> Mapping[str, int]:
    """How many rows are published of each of these tenants, of all tables and days."""
    with store.read() as connection:
        counted = publications.rows_by_tenant(connection)
    return {tenant_id: counted.get(tenant_id, 0) for tenant_id in tenant_ids}
