"""Sources that lie in another tenant's dataset, which a tenant reads by the operator's grant alone (SECURITY.md)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from convergence_assets.pipelines.problems import Problem
from convergence_assets.tenancy.model import Source, Tenant
from convergence_assets.tenancy.models import Access, is_reserved
from convergence_assets.warehouse.schema import TableRef

_SCHEMA_VIEWS = "information_schema"


def unreadable(source: Source) -> Iterator[Problem]:
    """Tables that are no tenant's to read, whoever has them: what the warehouse says of itself, and hidden datasets."""
    for name in source.tables:
        parts = name.lower().split(".")
        if _SCHEMA_VIEWS in parts:
            yield replace(source.declared, message=f"{name} describes everybody's tables", expected=_A_TABLE)
        elif parts[-2].startswith("_") or is_reserved(parts[-2]):
            yield replace(source.declared, message=f"{name} is the platform's own", expected=_A_TABLE)


def foreign(
    tenant: Tenant, owners: Mapping[str, Iterable[str]], access: Access | None, own_project: str | None
) -> Iterator[Problem]:
    """A problem for each source that is another tenant's and not granted.

    `owners` are the datasets of the other tenants by tenant, each as `project.dataset`, or as `dataset` in
    `own_project`, the deployment's.
    """
    granted = [pattern.lower() for pattern in access.tables] if access else []
    seen = set[tuple[str, str]]()
    for source in (s for pipeline in tenant.pipelines for step in pipeline.steps for s in step.sources.values()):
        for name in source.tables:
            if (source.name, name) in seen or any(fnmatchcase(name.lower(), pattern) for pattern in granted):
                continue
            seen.add((source.name, name))
            table = TableRef.parse(name)
            if table.dataset.lower() == tenant.dataset.lower():
                continue
            owner = next(
                (o for o, datasets in owners.items() if any(_lies_in(table, d, own_project) for d in datasets)), None
            )
            if owner is not None:
                grant = f"access: {{{tenant.tenant_id}: {{tables: [{name}]}}}}"
                yield replace(
                    source.declared,
                    message=f"{name} is in the dataset of tenant {owner}",
                    expected=f"{_A_TABLE}, or the operator's line in _defaults.yaml: {grant}",
                )


_A_TABLE = "a table that is no other tenant's"


def _lies_in(table: TableRef, dataset: str, own_project: str | None) -> bool:
    """Where the deployment's project is not known, a name without one may be in any."""
    project, _, name = dataset.rpartition(".")
    projects = {table.project or own_project, project or own_project}
    return (len(projects) == 1 or None in projects) and table.dataset.lower() == name.lower()
