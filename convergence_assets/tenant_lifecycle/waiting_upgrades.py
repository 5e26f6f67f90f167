"""Tables whose step declares another version than the one that is read, as far as the control store knows."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convergence_assets.control.store import ControlStore
from convergence_assets.control.table_versions import VersionDays, days_by_version
from convergence_assets.tenancy.tenant import Tenant


@dataclass(frozen=True)
class WaitingTable:
    """A table, the versions that are read and declared, and how many of its published days are built of the latter."""

    tenant_id: str
    table: str
    read: int
    declared: int
    days: int
    built: int

    @property
    def next_command(self) -> str:
        """What a person gives next."""
        if self.declared < self.read:
            return f"convergence upgrade {self.tenant_id} --rollback --table {self.table}"
        return f"convergence upgrade {self.tenant_id} {'--apply' if self.built else '--plan'}"

    def __str__(self) -> str:
        unfinished = f"; an upgrade was begun, {self.built} of {self.days} days are built" if self.built else ""
        return (
            f"tenant {self.tenant_id}, table {self.table}: version {self.read} is read, and version {self.declared} is "
            f"declared{unfinished}"
        )


def waiting_tables(store: ControlStore, tenants: Iterable[Tenant]) -> Iterator[WaitingTable]:
    """Those of these tenants; none of a table without a published day. Raises `ControlError`."""
    with store.read() as connection:
        known = days_by_version(connection)
    for tenant in tenants:
        for step in (step for pipeline in tenant.pipelines for step in pipeline.steps):
            days = known.get((tenant.tenant_id, step.table), VersionDays())
            declared = step.spec.version
            if days.published and days.read != declared:
                built = days.built.get(declared, 0)
                yield WaitingTable(tenant.tenant_id, step.table, days.read, declared, days.published, built)
