"""A tenant in words that can be compared with what it was before."""

from collections.abc import Iterator

from convergence_assets.tenancy.tenant import Tenant, TenantPipeline

_SHOWN = 12


def described(tenant: Tenant) -> dict[str, str]:
    """What decides how a tenant is served, by a name that a person understands; no secret is among it."""
    plan = tenant.plan
    fields = {
        "files": tenant.config_version[:_SHOWN],
        "timezone": tenant.timezone,
        "dataset": dataset_of(tenant),
        "location": tenant.location or "the warehouse's own",
        "plan": f"{plan.max_concurrent_runs} at once, {plan.daily_runs} a day, {plan.monthly_runs} a month",
        "enabled": _yes_or_no(tenant.enabled),
        "paused": _yes_or_no(tenant.paused),
    }
    for pipeline in tenant.pipelines:
        fields |= dict(_pipeline_fields(pipeline))
    return fields


def dataset_of(tenant: Tenant, own_project: str | None = None) -> str:
    """The dataset of the tenant's tables, with the project where its file names another one than the deployment's."""
    return tenant.dataset if tenant.project in (None, own_project) else f"{tenant.project}.{tenant.dataset}"


def _pipeline_fields(pipeline: TenantPipeline) -> Iterator[tuple[str, str]]:
    name = f"pipeline {pipeline.name}"
    yield f"{name}: start date", str(pipeline.start_date)
    yield f"{name}: schedule", pipeline.schedule
    yield f"{name}: paused", _yes_or_no(pipeline.paused)
    yield f"{name}: longest run", f"{pipeline.max_pipeline_duration_minutes} minutes"
    for step in pipeline.steps:
        yield f"definition of {pipeline.name}/{step.table}", step.definition_hash


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"
