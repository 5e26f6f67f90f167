"""Checks of what costs: the plan, project and bounds that a tenant's files request, against the operator's lines."""

from collections.abc import Iterator, Mapping
from typing import Any

from convergence_assets.pipelines.catalog import LoadedTemplate
from convergence_assets.pipelines.models import BigQueryStep, PipelineSpec
from convergence_assets.pipelines.problems import Problem
from convergence_assets.pipelines.yaml_source import Path, Source, spelled
from convergence_assets.tenancy.grants import refused_without
from convergence_assets.tenancy.tenant_file import (
    DEFAULTS_FILE,
    Allowance,
    Defaults,
    Limits,
    Plan,
    TenantSpec,
    is_service_account,
)

_NOTHING = Allowance()
_USUAL: Mapping[str, int] = {
    "maximum_gigabytes_billed": 100,
    "max_pipeline_duration_minutes": 240,
    "validate_in_warehouse_above_rows": 1_000_000,
    "look_back_days": 90,
}
"""The bounds where the operator's file has none."""


def plan_of(tenant_id: str, requested: str | None, defaults: Defaults) -> Plan:
    """The tenant's plan: from its file, else from the operator's line for it, else the shared one."""
    return defaults.plans[requested or _allowed(tenant_id, defaults).plan or defaults.plan]


def project_of(tenant_id: str, requested: str | None, defaults: Defaults) -> str | None:
    """The project of the tenant's dataset; None is the deployment's own."""
    return requested or _allowed(tenant_id, defaults).project


def service_account_of(tenant_id: str, defaults: Defaults) -> str | None:
    """As whom the tenant's statements run: the operator's line for it, else what the pattern makes of its id."""
    account = _allowed(tenant_id, defaults).service_account
    if account or not defaults.service_account:
        return account
    return defaults.service_account.replace("{tenant}", tenant_id.replace("_", "-"))


def named_accounts(defaults: Defaults) -> dict[str, str]:
    """By tenant the service account that a line of its own gives it."""
    return {name: allowed.service_account for name, allowed in defaults.tenants.items() if allowed.service_account}


def bound(tenant_id: str, name: str, defaults: Defaults) -> int:
    """The largest value of a field of `Limits` that the tenant's files may say."""
    for limits in (_allowed(tenant_id, defaults).limits, defaults.limits):
        value: int | None = getattr(limits, name)
        if value is not None:
            return value
    return _USUAL[name]


def within_bounds(tenant_id: str, spec: PipelineSpec, defaults: Defaults) -> PipelineSpec:
    """A tenant's own pipeline, with what it leaves out lowered to the operator's bounds."""
    names = [n for n in Limits.model_fields if n in PipelineSpec.model_fields and n not in spec.model_fields_set]
    return spec.model_copy(update={n: min(getattr(spec, n), bound(tenant_id, n, defaults)) for n in names})


def excess_problems(
    tenant_id: str,
    spec: TenantSpec,
    source: Source,
    own_templates: Mapping[str, LoadedTemplate],
    defaults: Defaults,
    own_project: str | None,
) -> Iterator[Problem]:
    """A problem for each key of a tenant's files that requests more than the operator allows."""
    yield from _plan(tenant_id, spec, source, defaults)
    yield from _project(tenant_id, spec, source, defaults, own_project)
    yield from _service_account(tenant_id, spec, source, defaults)
    name = "max_pipeline_duration_minutes"
    for i, pipeline in enumerate(spec.pipelines):
        yield from _above(
            tenant_id, name, pipeline.max_pipeline_duration_minutes, source, ("pipelines", i, name), defaults
        )
    for loaded in own_templates.values():
        if loaded.template is not None:
            yield from _above_in_template(tenant_id, loaded, defaults)


def _plan(tenant_id: str, spec: TenantSpec, source: Source, defaults: Defaults) -> Iterator[Problem]:
    requested, most = spec.plan, _allowed(tenant_id, defaults).plan or defaults.plan
    if requested is None or requested not in defaults.plans or _within(defaults.plans[requested], defaults.plans[most]):
        return
    message = f"plan {requested} allows more than {most}, the operator's for this tenant"
    problem = Problem(source.file, source.line(("plan",)), "plan", message, most)
    yield _refused(tenant_id, {"plan": requested}, problem)


def _project(
    tenant_id: str, spec: TenantSpec, source: Source, defaults: Defaults, own_project: str | None
) -> Iterator[Problem]:
    requested, allowed = spec.bigquery.project, _allowed(tenant_id, defaults).project or own_project
    if requested is None or requested == allowed:
        return
    at: Path = ("bigquery", "project")
    message = f"the project {requested!r} is the operator's to give"
    problem = Problem(source.file, source.line(at), "bigquery.project", message, allowed or "none")
    yield _refused(tenant_id, {"project": requested}, problem)


def _service_account(tenant_id: str, spec: TenantSpec, source: Source, defaults: Defaults) -> Iterator[Problem]:
    requested, allowed = spec.service_account, service_account_of(tenant_id, defaults)
    if requested is not None and requested != allowed:
        line, message = source.line(("service_account",)), "the service account is the operator's to give"
        problem = Problem(source.file, line, "service_account", message, allowed or "none", reaches_out=True)
        yield _refused(tenant_id, {"service_account": requested}, problem)
    if allowed is not None and not is_service_account(allowed):
        line, message = (
            source.line(("tenant_id",)),
            f"{allowed} is no service account: 6 to 30 of a-z, 0-9 and - come first",
        )
        expected = f"the operator's line in {DEFAULTS_FILE}: tenants: {{{tenant_id}: {{service_account: ...}}}}"
        yield Problem(source.file, line, "tenant_id", message, expected)


def _above_in_template(tenant_id: str, loaded: LoadedTemplate, defaults: Defaults) -> Iterator[Problem]:
    assert loaded.template
    spec, source = loaded.template.spec, loaded.template.source
    for name in Limits.model_fields:
        if name in spec.model_fields_set:
            yield from _above(tenant_id, name, getattr(spec, name), source, (name,), defaults)
    for i, step in enumerate(spec.steps):
        if isinstance(step, BigQueryStep) and step.late_data:
            at = ("steps", i, "late_data", "look_back_days")
            yield from _above(tenant_id, "look_back_days", step.late_data.look_back_days, source, at, defaults)


def _above(
    tenant_id: str, name: str, requested: int | None, source: Source, at: Path, defaults: Defaults
) -> Iterator[Problem]:
    most = bound(tenant_id, name, defaults)
    if requested is not None and requested > most:
        message = f"{requested} is above the operator's bound"
        problem = Problem(source.file, source.line(at), spelled(at), message, f"at most {most}")
        yield _refused(tenant_id, {"limits": {name: requested}}, problem)


def _refused(tenant_id: str, allowance: Mapping[str, Any], problem: Problem) -> Problem:
    return refused_without({"tenants": {tenant_id: allowance}}, problem)


def _within(plan: Plan, other: Plan) -> bool:
    return all(getattr(plan, name) <= getattr(other, name) for name in Plan.model_fields)


def _allowed(tenant_id: str, defaults: Defaults) -> Allowance:
    return defaults.tenants.get(tenant_id, _NOTHING)
