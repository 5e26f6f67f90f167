"""What is served and published of tenants: definitions, recent days, how much they have."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from convergence_assets.control import publications
from convergence_assets.control.change_log import DEFINITION, states_of_tenant
from convergence_assets.control.definitions import newest_definitions
from convergence_assets.control.store import ControlStore
from convergence_assets.local_days import last_finished_day
from convergence_assets.settings import Settings
from convergence_assets.tenancy.definition import Definition, definition_of
from convergence_assets.tenancy.registry import load_accepted
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


@dataclass(frozen=True)
class ServedDefinitions:
    """Definitions by tenant and table: that of the newest publication, else that of the last accepted files; and the
    tables of which days are published."""

    by_table: Mapping[tuple[str, str], Definition]
    published: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, settings: Settings, store: ControlStore, tenants: Mapping[str, Tenant]) -> "ServedDefinitions":
        """Those of these tenants. Raises `ControlError`, and OSError where accepted files cannot be read."""
        with store.read() as connection:
            contents = newest_definitions(connection)
            published = publications.published_tables(connection)
        known = {name: Definition.stored(content) for name, content in contents.items() if name[0] in tenants}
        now = {
            (tenant.tenant_id, step.table): definition_of(tenant, step)
            for tenant in tenants.values()
            for pipeline in tenant.pipelines
            for step in pipeline.steps
        }
        unknown = {name for name in now if name not in known}
        loaded = _loaded(store, tenants, unknown)
        same = {name: now[name] for name in unknown if loaded.get(name) == now[name].text}
        accepted = load_accepted(settings, {tenant_id for tenant_id, _ in unknown - same.keys()}).tenants
        by_table = {
            (tenant.tenant_id, step.table): definition_of(tenant, step)
            for tenant in accepted.values()
            for pipeline in tenant.pipelines
            for step in pipeline.steps
        }
        return cls(by_table | same | known, frozenset(published))

    def of_tenant(self, tenant_id: str) -> Mapping[str, Definition]:
        """By table."""
        return {table: definition for (tenant, table), definition in self.by_table.items() if tenant == tenant_id}

    def published_by(self, tenant_id: str) -> set[str]:
        """The tenant's tables of which days are published."""
        return {table for tenant, table in self.published if tenant == tenant_id}


def _loaded(
    store: ControlStore, tenants: Mapping[str, Tenant], names: Collection[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """The text that was loaded last of these tables, which a release noted that kept no definition with a day."""
    loaded: dict[tuple[str, str], str] = {}
    for tenant_id in {tenant_id for tenant_id, _ in names}:
        with store.read() as connection:
            states = states_of_tenant(connection, tenant_id)
        for pipeline in tenants[tenant_id].pipelines if states else ():
            for step in pipeline.steps:
                text = states[-1][1].get(f"{DEFINITION} {pipeline.name}/{step.table}")
                if text and (tenant_id, step.table) in names:
                    loaded[tenant_id, step.table] = text
    return loaded


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
