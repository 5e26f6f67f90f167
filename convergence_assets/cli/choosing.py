"""A tenant and a pipeline by the names a person typed, or a one-line answer with the nearest right ones."""

import typer

from convergence_assets.pipelines.problems import listing, nearest
from convergence_assets.tenancy.model import Tenant, TenantPipeline, TenantRegistry


def tenant_of(registry: TenantRegistry, tenant_id: str) -> Tenant:
    """Raises `typer.BadParameter` for one that is unknown or rejected."""
    if tenant_id in registry.tenants:
        return registry.tenants[tenant_id]
    if tenant_id in registry.rejected:
        raise typer.BadParameter(
            f"tenant {tenant_id} is rejected; `convergence validate --tenant {tenant_id}` says why"
        )
    near = nearest(tenant_id, registry.tenants)
    hint = f"; did you mean {near!r}?" if near else f"; expected {listing(registry.tenants)}"
    raise typer.BadParameter(f"there is no tenant {tenant_id!r}{hint}")


def pipeline_of(tenant: Tenant, name: str) -> TenantPipeline:
    """Raises `typer.BadParameter` for one that the tenant does not run."""
    for pipeline in tenant.pipelines:
        if pipeline.name == name:
            return pipeline
    names = [p.name for p in tenant.pipelines]
    near = nearest(name, names)
    hint = f"; did you mean {near!r}?" if near else f"; expected {listing(names)}"
    raise typer.BadParameter(f"tenant {tenant.tenant_id} runs no pipeline {name!r}{hint}")
