"""Migrates a tenant whose timezone or dataset changes after days were published: requests all of them again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

import dagster as dg

from convergence_assets.control import audit, partition_states, publications, published_locations
from convergence_assets.control.audit import AuditEntry
from convergence_assets.control.partition_states import PendingPartition
from convergence_assets.control.published_locations import PublishedLocation
from convergence_assets.control.store import ControlStore
from convergence_assets.scheduling.requesting import PipelineDays
from convergence_assets.scheduling.targets import Target, targets_of
from convergence_assets.settings import Settings
from convergence_assets.tenancy.description import dataset_of
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Tenant, TenantRegistry
from convergence_assets.tenant_lifecycle.offboarding import runs_at_work


class TenantAtWork(Exception):
    """Runs of the tenant are not over, or days are requested; nothing was changed."""


@dataclass(frozen=True)
class Migration:
    """From the location of its published days to that of the tenant's file; `days` are those by pipeline."""

    tenant: Tenant
    before: PublishedLocation
    after: PublishedLocation
    days: Mapping[str, tuple[date, ...]]

    @property
    def count(self) -> int:
        return sum(map(len, self.days.values()))

    @property
    def sentence(self) -> str:
        """What changes."""
        pairs = (
            ("timezone", self.before.timezone, self.after.timezone),
            ("dataset", self.before.dataset, self.after.dataset),
        )
        return "; ".join(f"{what} {old} -> {new}" for what, old, new in pairs if old != new)


def registry_with(settings: Settings, tenant_id: str) -> TenantRegistry:
    """The tenants of the current files, this one at its file's location; accepts nothing."""
    context = LoadContext.of(settings)
    others = {name: place for name, place in context.places.items() if name != tenant_id}
    today = datetime.now(UTC).date()
    return load_registry(settings.tenants, None, today=today, context=replace(context, places=others))


def migration_of(store: ControlStore, settings: Settings, tenant: Tenant) -> Migration | None:
    """The migration; None where nothing was published yet, or all of it at the file's location."""
    after = PublishedLocation(tenant.timezone, dataset_of(tenant, settings.project))
    with store.read() as connection:
        before = published_locations.place_of(connection, tenant.tenant_id)
        published = publications.days_by_pipeline(connection, tenant.tenant_id)
    if before in (None, after):
        return None
    assert before is not None
    starts = {pipeline.name: pipeline.start_date for pipeline in tenant.pipelines}
    days = {
        name: tuple(sorted(day for day in published_days if day >= starts[name]))
        for name, published_days in sorted(published.items())
        if name in starts
    }
    return Migration(tenant, before, after, days)


def migrate(store: ControlStore, instance: dg.DagsterInstance, migration: Migration, by: str) -> None:
    """Set the tenant's new location, delete its publications, and request every published day again.

    All in one transaction; no table is touched. Raises `TenantAtWork` and `ControlError`.
    """
    tenant_id = migration.tenant.tenant_id
    if runs := runs_at_work(instance, store, tenant_id):
        raise TenantAtWork(f"runs of tenant {tenant_id} are not over ({', '.join(runs[:5])})")
    targets = {target.pipeline: target for target in targets_of([replace(migration.tenant, enabled=True)])}
    with store.write("planner") as connection:
        waiting = partition_states.all_outstanding(connection, tenant_id)
        if requested := [row for row in waiting if row.state == "requested"]:
            raise TenantAtWork(
                f"tenant {tenant_id}: {requested[0].pipeline} {requested[0].day} is {requested[0].reason}"
            )
        store.wait_for(connection, publications.WRITING)
        now = store.now()
        version = publications.delete_publications(connection, tenant_id, now)
        for name, days in _days_again(migration, targets, waiting).items():
            PipelineDays.of(connection, targets[name], days, now).migrate(targets[name], version)
        published_locations.set_location(connection, tenant_id, migration.after, now)
        outcome = f"{migration.sentence}: {migration.count} days are requested again"
        audit.record_entry(connection, AuditEntry(by, "tenant.migrate", outcome, tenant_id), now)


def _days_again(
    migration: Migration, targets: Mapping[str, Target], waiting: list[PendingPartition]
) -> Mapping[str, set[date]]:
    """The days to request by pipeline: those that were published, and those that are outstanding."""
    days = {name: set(days_of_name) for name, days_of_name in migration.days.items() if days_of_name}
    for row in waiting:
        if row.pipeline in targets:
            days.setdefault(row.pipeline, set()).add(row.day)
    return days
