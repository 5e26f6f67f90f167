"""A tenant's files to a `Tenant`, or to every problem they have."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from convergence_assets.pipelines.catalog import LoadedTemplate, load_template
from convergence_assets.pipelines.models import PipelineSpec
from convergence_assets.pipelines.parameters import template_variables
from convergence_assets.pipelines.problems import Problem, listing, nearest
from convergence_assets.pipelines.validation import check
from convergence_assets.pipelines.yaml_source import Source, read_yaml
from convergence_assets.tenancy import step_dependencies
from convergence_assets.tenancy import template_binding as bind
from convergence_assets.tenancy.alert_addresses import refused_addresses
from convergence_assets.tenancy.allowances import (
    excess_problems,
    plan_of,
    project_of,
    service_account_of,
    within_bounds,
)
from convergence_assets.tenancy.file_places import FilePlaces
from convergence_assets.tenancy.folder import Files
from convergence_assets.tenancy.shared_sources import apply_shares
from convergence_assets.tenancy.template_binding import Binding, one_tenants_sql
from convergence_assets.tenancy.tenant import Step, StuckLimits, Tenant, TenantPipeline, alert_routes
from convergence_assets.tenancy.tenant_file import Defaults, TenantPipelineSpec, TenantSpec
from convergence_assets.tenancy.variables import refused_variables


def build_tenant(
    tenant_id: str, folder: str, files: Files, defaults: Defaults, library: Mapping[str, LoadedTemplate], today: date,
    *, landing: Path, read: bool = False, own_project: str | None = None, confusable: Collection[str] = (),
) -> tuple[Tenant | None, list[Problem]]:  # fmt: skip
    """`files` are the folder's by relative path; the tenant is None where there is any problem.

    `landing` is where files arrive, in a folder of each tenant; `own_project` is the deployment's, `confusable` are ids
    whose variables may look like another tenant's.

    With `read` its SQL is not checked for what it reads, or for what engines do not answer alike: the same files were
    accepted before.
    """
    if "tenant.yaml" not in files:
        return None, [Problem(folder, None, "", "no tenant.yaml in this folder", "tenant.yaml")]
    source = read_yaml(f"{folder}/tenant.yaml", files["tenant.yaml"])
    spec, problems = check(source, TenantSpec)
    own_templates, own_problems = _own_templates(folder, files)
    problems += own_problems
    if spec is None:
        return None, problems
    problems += _spec_problems(tenant_id, spec, source, defaults, today)
    problems += excess_problems(tenant_id, spec, source, own_templates, defaults, own_project)
    problems += refused_addresses(spec, source)
    problems += refused_variables(tenant_id, spec, source, defaults.secrets.get(tenant_id, ()), confusable)
    templates = {**library, **own_templates}
    bindings: list[Binding] = []
    for i, pipeline_spec in enumerate(spec.pipelines):
        loaded = templates.get(pipeline_spec.template)
        at = ("pipelines", i, "template")
        if loaded is None:
            problems.append(
                Problem(
                    source.file,
                    source.line(at),
                    f"pipelines[{i}].template",
                    f"unknown template {pipeline_spec.template!r}",
                    listing(templates),
                    nearest(pipeline_spec.template, templates),
                )
            )
        elif loaded.template is None:
            problems += [p for p in loaded.problems if pipeline_spec.template not in own_templates]
        else:
            template = loaded.template
            if pipeline_spec.template in own_templates:
                template = replace(template, spec=within_bounds(tenant_id, template.spec, defaults))
            bindings.append(Binding(template, pipeline_spec, source, ("pipelines", i)))
    is_complete = len(bindings) == len(spec.pipelines)
    places = FilePlaces(tenant_id, landing / tenant_id, defaults.access_of(tenant_id).files)
    with one_tenants_sql():
        pipelines, pipeline_problems = _pipelines(bindings, defaults, places, is_complete=is_complete, read=read)
    problems += pipeline_problems
    if not problems:
        pipelines, shares, share_problems = apply_shares(tenant_id, pipelines, defaults, own_project)
        problems += share_problems
    if problems:
        return None, list(dict.fromkeys(problems))
    return replace(_tenant(spec, defaults, pipelines, version_of(files)), shares=shares), []


def _pipelines(
    bindings: list[Binding], defaults: Defaults, places: FilePlaces, *, is_complete: bool, read: bool
) -> tuple[tuple[TenantPipeline, ...], list[Problem]]:
    problems = list(_shared_tables(bindings))
    tenant_tables = {s.table: s.columns for b in bindings for s in b.template.spec.steps}
    pipelines = []
    for binding in bindings:
        steps, step_problems = _steps(binding, tenant_tables, places, is_complete=is_complete, read=read)
        problems += step_problems
        template, tenant_spec = binding.template, binding.tenant_spec
        pipelines.append(
            TenantPipeline(
                name=template.name,
                description=template.spec.description,
                folder=template.folder,
                steps=steps,
                start_date=tenant_spec.start_date,
                schedule=tenant_spec.schedule or defaults.schedule,
                max_pipeline_duration_minutes=_longest(tenant_spec, defaults, template.spec),
                maximum_gigabytes_billed=template.spec.maximum_gigabytes_billed,
                slow_seconds=template.spec.slow_seconds,
                heavy_gigabytes=template.spec.heavy_gigabytes,
                validate_in_warehouse_above_rows=template.spec.validate_in_warehouse_above_rows,
                wait_at_most_hours=tenant_spec.wait_at_most_hours or template.spec.wait_at_most_hours,
                paused=tenant_spec.paused,
                stuck=_stuck(tenant_spec, defaults, template.spec),
                late_after=timedelta(
                    minutes=tenant_spec.late_after_minutes
                    or defaults.late_after_minutes
                    or template.spec.late_after_minutes
                    or 240
                ),
            )
        )
    if not problems:
        cycle = step_dependencies.find_cycle(
            {step.table: step.upstream for pipeline in pipelines for step in pipeline.steps}
        )
        if cycle:
            reader = next(b for b in bindings if any(step.table == cycle[0] for step in b.template.spec.steps))
            message = f"pipelines read one another in a circle: {' -> '.join(cycle)}"
            problems.append(reader.problem(("template",), message))
    return tuple(pipelines), problems


def _longest(tenant_spec: TenantPipelineSpec, defaults: Defaults, template: PipelineSpec) -> int:
    return (
        tenant_spec.max_pipeline_duration_minutes
        or defaults.max_pipeline_duration_minutes
        or template.max_pipeline_duration_minutes
    )


def _stuck(tenant_spec: TenantPipelineSpec, defaults: Defaults, template: PipelineSpec) -> StuckLimits:
    """Each limit from the tenant's file, else the deployment's, else the template's."""
    specs, usual = (tenant_spec.stuck, defaults.stuck, template.stuck), StuckLimits()

    def first(name: str) -> float | None:
        return next((value for spec in specs if (value := getattr(spec, name)) is not None), None)

    def limit(name: str, otherwise: timedelta) -> timedelta:
        minutes = first(f"{name}_minutes")
        return otherwise if minutes is None else timedelta(minutes=minutes)

    again = first("request_again")
    return StuckLimits(
        queued=limit("queued", usual.queued),
        starting=limit("starting", usual.starting),
        running=timedelta(minutes=_longest(tenant_spec, defaults, template)),
        no_progress=limit("no_progress", usual.no_progress),
        canceling=limit("canceling", usual.canceling),
        request_again=usual.request_again if again is None else int(again),
    )


def _steps(
    binding: Binding,
    tenant_tables: step_dependencies.TableColumns,
    places: FilePlaces,
    *,
    is_complete: bool,
    read: bool,
) -> tuple[tuple[Step, ...], list[Problem]]:
    values, problems = bind.parameters(binding)
    suites, new_problems = bind.merged_suites(binding)
    problems += new_problems
    if problems:
        return (), problems
    variables = {**template_variables(binding.template.spec.parameters, values), **binding.template.reference}
    sources, problems = bind.bound_sources(binding, variables)
    paths, new_problems = bind.bound_paths(binding, values, places)
    problems += new_problems
    compiled, new_problems = bind.compiled_steps(binding, variables)
    late_data, late_problems = bind.compiled_late_data(binding, variables)
    new_problems += late_problems
    problems += new_problems
    if not new_problems and not read:
        problems += step_dependencies.reading_problems(
            binding, compiled, suites, tenant_tables, late_data, is_complete=is_complete
        )
    tables, new_problems = step_dependencies.order(binding, compiled, suites)
    problems += new_problems
    if problems:
        return (), problems
    steps = bind.bound_steps(
        binding, tables, compiled, paths, suites, sources, values, frozenset(tenant_tables), late_data, places
    )
    return steps, []


def _own_templates(folder: str, files: Files) -> tuple[dict[str, LoadedTemplate], list[Problem]]:
    contents: dict[str, dict[str, bytes]] = {}
    for path, raw in files.items():
        parts = path.split("/", 2)
        if len(parts) == 3 and parts[0] == "pipelines":
            contents.setdefault(parts[1], {})[parts[2]] = raw
    loaded = {
        name: load_template(name, f"{folder}/pipelines/{name}", template_files)
        for name, template_files in contents.items()
    }
    return loaded, [problem for template in loaded.values() for problem in template.problems]


def _spec_problems(
    tenant_id: str, spec: TenantSpec, source: Source, defaults: Defaults, today: date
) -> Iterator[Problem]:
    if spec.tenant_id != tenant_id:
        yield Problem(
            source.file,
            source.line(("tenant_id",)),
            "tenant_id",
            f"{spec.tenant_id!r} is not the folder's name",
            f"'{tenant_id}'",
        )
    if spec.plan is not None and spec.plan not in defaults.plans:
        yield Problem(
            source.file,
            source.line(("plan",)),
            "plan",
            f"unknown plan {spec.plan!r}",
            listing(defaults.plans),
            nearest(spec.plan, defaults.plans),
        )
    seen: dict[str, int] = {}
    for i, pipeline in enumerate(spec.pipelines):
        line = source.line(("pipelines", i, "template"))
        if pipeline.template in seen:
            yield Problem(
                source.file,
                line,
                f"pipelines[{i}].template",
                f"pipeline {pipeline.template} is listed twice (first as pipelines[{seen[pipeline.template]}])",
            )
        seen.setdefault(pipeline.template, i)
        if pipeline.start_date > today:
            yield Problem(
                source.file,
                source.line(("pipelines", i, "start_date")),
                f"pipelines[{i}].start_date",
                f"{pipeline.start_date} is in the future",
                f"a date up to {today}",
            )


def _shared_tables(bindings: list[Binding]) -> Iterator[Problem]:
    by_table: dict[str, Binding] = {}
    called: dict[str, str] = {}
    for binding in bindings:
        for step in binding.template.spec.steps:
            name = f"{binding.template.name}/{step.table}"
            other_table = called.setdefault(name.replace("/", "__"), name)
            if other_table != name:
                yield binding.problem(("template",), f"{name} and {other_table} have one name in Dagster")
            other = by_table.setdefault(step.table.lower(), binding)
            if other is not binding and other.template.name != binding.template.name:
                yield binding.problem(
                    ("template",),
                    f"pipelines {other.template.name} and {binding.template.name} both make table {step.table}",
                )


def _tenant(spec: TenantSpec, defaults: Defaults, pipelines: tuple[TenantPipeline, ...], version: str) -> Tenant:
    private_hosts = defaults.access_of(spec.tenant_id).hosts
    has_own_alerts = spec.alerts is not None
    routes = alert_routes(spec.alerts or defaults.alerts, private_hosts if has_own_alerts else None)
    return Tenant(
        tenant_id=spec.tenant_id,
        display_name=spec.display_name,
        timezone=spec.timezone,
        project=project_of(spec.tenant_id, spec.bigquery.project, defaults),
        dataset=spec.bigquery.dataset or spec.tenant_id,
        location=spec.bigquery.location,
        plan=plan_of(spec.tenant_id, spec.plan, defaults),
        owners=spec.owners,
        enabled=spec.enabled,
        paused=spec.paused,
        pipelines=pipelines,
        alert_routes=routes,
        config_version=version,
        private_hosts=private_hosts,
        service_account=service_account_of(spec.tenant_id, defaults),
        grants=defaults.grants_of(spec.tenant_id),
    )


def version_of(files: Files) -> str:
    """A hash of a tenant's files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return digest.hexdigest()
