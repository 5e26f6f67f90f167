"""Sources that lie in another tenant's dataset, which a tenant reads by the operator's grant alone (SECURITY.md)."""

from collections.abc import Iterator
from dataclasses import replace

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.grants import refused_without
from convergence_assets.tenancy.tenant import Source, Tenant
from convergence_assets.tenancy.tenant_file import Access, is_reserved
from convergence_assets.warehouse.schema import TableRef

_SCHEMA_VIEWS = "information_schema"
_A_TABLE = "a table that is no other tenant's"


def unreadable(source: Source) -> Iterator[Problem]:
    """Tables that no tenant may read: the warehouse's own metadata, and hidden datasets."""
    declared = replace(source.declared, reaches_out=True)
    for name in source.tables:
        parts = name.lower().split(".")
        if _SCHEMA_VIEWS in parts:
            yield replace(declared, message=f"{name} describes everybody's tables", expected=_A_TABLE)
        elif parts[-2].startswith("_") or is_reserved(parts[-2]):
            yield replace(declared, message=f"{name} is the platform's own", expected=_A_TABLE)


def is_own(table: TableRef, tenant: Tenant, own_project: str | None) -> bool:
    """Whether a table lies in the tenant's own dataset, its project included."""
    home, read = tenant.project or own_project, table.project or own_project
    return table.dataset.lower() == tenant.dataset.lower() and home == read


class Owners:
    """The owner of each dataset.

    A name without a project is in `own_project`, the deployment's; where that is not known, it may be in any.
    """

    def __init__(self, own_project: str | None) -> None:
        self._own_project = own_project
        self._by_dataset: dict[str, list[tuple[str | None, str]]] = {}

    def add(self, tenant_id: str, dataset: str) -> None:
        """`dataset` is `project.dataset`, or `dataset`."""
        project, _, name = dataset.rpartition(".")
        self._by_dataset.setdefault(name.lower(), []).append((project or self._own_project, tenant_id))

    def other_owner(self, table: TableRef, tenant: Tenant) -> str | None:
        """The other tenant in whose dataset a table lies; None where there is none."""
        if is_own(table, tenant, self._own_project):
            return None
        read_from = table.project or self._own_project
        for project, owner in self._by_dataset.get(table.dataset.lower(), ()):
            if owner != tenant.tenant_id and (project == read_from or None in (project, read_from)):
                return owner
        return None


def foreign(tenant: Tenant, owners: Owners, access: Access) -> Iterator[Problem]:
    """A problem for each source that is another tenant's and not granted, or that may be anybody's: which tables a
    wildcard reads is known when it is read."""
    seen = set[tuple[str, str]]()
    for source in tenant.sources:
        for name in source.tables:
            if (source.name, name) in seen or access.gives(name):
                continue
            seen.add((source.name, name))
            table = TableRef.parse(name)
            owner = owners.other_owner(table, tenant)
            if owner is not None or table.prefix is not None:
                message = f"{name} is in the dataset of tenant {owner}" if owner else f"{name} may be anybody's tables"
                problem = replace(source.declared, message=message, expected=_A_TABLE, reaches_out=True)
                yield refused_without({"access": {tenant.tenant_id: {"tables": [name]}}}, problem)
