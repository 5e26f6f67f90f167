"""A tenant, pipeline or run by the name a person typed, or a one-line answer with the nearest right ones."""

from typing import TYPE_CHECKING

import typer

from convergence_assets.pipelines.problems import listing, nearest

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.tenancy.tenant import Tenant, TenantPipeline, TenantRegistry

_NAMED = 5


def tenant_of(registry: "TenantRegistry", tenant_id: str) -> "Tenant":
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


def running_tenant_of(registry: "TenantRegistry", tenant_id: str) -> "Tenant":
    """A tenant that has assets; raises `typer.BadParameter` for a disabled one too."""
    tenant = tenant_of(registry, tenant_id)
    if not tenant.enabled:
        raise typer.BadParameter(f"tenant {tenant_id} is disabled (`enabled: false` in its file): nothing of it runs")
    return tenant


def pipeline_of(tenant: "Tenant", name: str) -> "TenantPipeline":
    """Raises `typer.BadParameter` for one that the tenant does not run."""
    for pipeline in tenant.pipelines:
        if pipeline.name == name:
            return pipeline
    names = [p.name for p in tenant.pipelines]
    near = nearest(name, names)
    hint = f"; did you mean {near!r}?" if near else f"; expected {listing(names)}"
    raise typer.BadParameter(f"tenant {tenant.tenant_id} runs no pipeline {name!r}{hint}")


def run_of(instance: "dg.DagsterInstance", text: str) -> str:
    """A run's id, or a beginning of it that no other run has; raises `typer.BadParameter` where none or several are
    meant."""
    from convergence_assets.dagster_internals import run_records

    if run_records.run_exists(instance, text):
        return text
    all_runs = run_records.all_runs(instance)
    matching = [run_id for run_id in all_runs if text and run_id.startswith(text)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        shown = ", ".join(matching[:_NAMED]) + (" and more" if len(matching) > _NAMED else "")
        raise typer.BadParameter(f"{len(matching)} runs begin with {text!r}: {shown}; say more of it")
    near = nearest(text, all_runs)
    hint = (
        f"did you mean {near}?" if near else f"the newest one is {all_runs[0]}" if all_runs else "there is no run yet"
    )
    raise typer.BadParameter(f"there is no run {text!r}; {hint}")


def pipeline_named(registry: "TenantRegistry", text: str) -> tuple[str | None, str]:
    """`tenant/pipeline`, or a pipeline of any tenant (None); raises `typer.BadParameter` where none runs it."""
    tenant_id, _, name = text.rpartition("/")
    if tenant_id:
        pipeline_of(tenant_of(registry, tenant_id), name)
        return tenant_id, name
    names = sorted({pipeline.name for tenant in registry.tenants.values() for pipeline in tenant.pipelines})
    if name not in names:
        near = nearest(name, names)
        hint = f"; did you mean {near!r}?" if near else f"; expected {listing(names)}"
        raise typer.BadParameter(f"no tenant runs a pipeline {name!r}{hint}")
    return None, name
