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
from convergence_assets.tenancy import parsing
from convergence_assets.tenancy import template_binding as bind
from convergence_assets.tenancy.alert_addresses import refused_addresses
from convergence_assets.tenancy.allowances import plan_of, project_of, service_account_of, too_much, within_bounds
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

    With `read` nobody looks for what its SQL reads that is not there, or that engines do not answer alike: the same
    files were accepted before.
    """
    if "tenant.yaml" not in files:
        return None, [Problem(folder, None, "", "no tenant.yaml in this folder", "tenant.yaml")]
    source = read_yaml(f"{folder}/tenant.yaml", files["tenant.yaml"])
    spec, problems = check(source, TenantSpec)
    own, own_problems = _own_templates(folder, files)
    problems += own_problems
    if spec is None:
        return None, problems
    problems += _spec_problems(tenant_id, spec, source, defaults, today)
    problems += too_much(tenant_id, spec, source, own, defaults, own_project)
    problems += refused_addresses(spec, source)
    problems += refused_variables(tenant_id, spec, source, defaults.secrets.get(tenant_id, ()), confusable)
    templates = {**library, **own}
    bindings: list[Binding] = []
    for i, said in enumerate(spec.pipelines):
        loaded = templates.get(said.template)
        at = ("pipelines", i, "template")
        if loaded is None:
            problems.append(
                Problem(
                    source.file,
                    source.line(at),
                    f"pipelines[{i}].template",
                    f"unknown template {said.template!r}",
                    listing(templates),
                    nearest(said.template, templates),
                )
            )
        elif loaded.template is None:
            problems += [p for p in loaded.problems if said.template not in own]
        else:
            template = loaded.template
            if said.template in own:
                template = replace(template, spec=within_bounds(tenant_id, template.spec, defaults))
            bindings.append(Binding(template, said, source, ("pipelines", i)))
    whole = len(bindings) == len(spec.pipelines)
    places = FilePlaces(tenant_id, landing / tenant_id, defaults.access_of(tenant_id).files)
    with one_tenants_sql():
        pipelines, pipeline_problems = _pipelines(bindings, defaults, places, all_made=whole, read=read)
    problems += pipeline_problems
    if not problems:
        pipelines, shares, found = apply_shares(tenant_id, pipelines, defaults, own_project)
        problems += found
    if problems:
        return None, list(dict.fromkeys(problems))
    return replace(_tenant(spec, defaults, pipelines, version_of(files)), shares=shares), []


def _pipelines(
    bindings: list[Binding], defaults: Defaults, places: FilePlaces, *, all_made: bool, read: bool
) -> tuple[tuple[TenantPipeline, ...], list[Problem]]:
    problems = list(_shared_tables(bindings))
    made = {s.table: s.columns for b in bindings for s in b.template.spec.steps}
    pipelines = []
    for binding in bindings:
        steps, found = _steps(binding, made, places, all_made=all_made, read=read)
        problems += found
        template, said = binding.template, binding.said
        pipelines.append(
            TenantPipeline(
                name=template.name,
                description=template.spec.description,
                folder=template.folder,
                steps=steps,
                start_date=said.start_date,
                schedule=said.schedule or defaults.schedule,
                max_pipeline_duration_minutes=_longest(said, defaults, template.spec),
                maximum_gigabytes_billed=template.spec.maximum_gigabytes_billed,
                slow_seconds=template.spec.slow_seconds,
                heavy_gigabytes=template.spec.heavy_gigabytes,
                validate_in_warehouse_above_rows=template.spec.validate_in_warehouse_above_rows,
                wait_at_most_hours=said.wait_at_most_hours or template.spec.wait_at_most_hours,
                paused=said.paused,
                stuck=_stuck(said, defaults, template.spec),
                late_after=timedelta(
                    minutes=said.late_after_minutes
                    or defaults.late_after_minutes
                    or template.spec.late_after_minutes
                    or 240
                ),
            )
        )
    if not problems:
        cycle = parsing.circle({step.table: step.upstream for pipeline in pipelines for step in pipeline.steps})
        if cycle:
            reader = next(b for b in bindings if any(step.table == cycle[0] for step in b.template.spec.steps))
            said_so = f"pipelines read one another in a circle: {' -> '.join(cycle)}"
            problems.append(reader.problem(("template",), said_so))
    return tuple(pipelines), problems


def _longest(said: TenantPipelineSpec, defaults: Defaults, template: PipelineSpec) -> int:
    return (
        said.max_pipeline_duration_minutes
        or defaults.max_pipeline_duration_minutes
        or template.max_pipeline_duration_minutes
    )


def _stuck(said: TenantPipelineSpec, defaults: Defaults, template: PipelineSpec) -> StuckLimits:
    """The tenant's word, else the deployment's, else the template's, for each limit by itself."""
    specs, usual = (said.stuck, defaults.stuck, template.stuck), StuckLimits()

    def first(name: str) -> float | None:
        return next((value for spec in specs if (value := getattr(spec, name)) is not None), None)

    def limit(name: str, otherwise: timedelta) -> timedelta:
        minutes = first(f"{name}_minutes")
        return otherwise if minutes is None else timedelta(minutes=minutes)

    again = first("request_again")
    return StuckLimits(
        queued=limit("queued", usual.queued),
        starting=limit("starting", usual.starting),
        running=timedelta(minutes=_longest(said, defaults, template)),
        no_progress=limit("no_progress", usual.no_progress),
        canceling=limit("canceling", usual.canceling),
        request_again=usual.request_again if again is None else int(again),
    )


def _steps(
    binding: Binding, made: parsing.Made, places: FilePlaces, *, all_made: bool, read: bool
) -> tuple[tuple[Step, ...], list[Problem]]:
    values, problems = bind.parameters(binding)
    suites, found = bind.merged_suites(binding)
    problems += found
    if problems:
        return (), problems
    variables = template_variables(binding.template.spec.parameters, values)
    sources, problems = bind.bound_sources(binding, variables)
    paths, found = bind.bound_paths(binding, values, places)
    problems += found
    compiled, found = bind.compiled_steps(binding, variables)
    late_data, also = bind.compiled_late_data(binding, variables)
    found += also
    problems += found
    if not found and not read:
        problems += parsing.reading_problems(binding, compiled, suites, made, late_data, all_made=all_made)
    tables, found = parsing.order(binding, compiled, suites)
    problems += found
    if problems:
        return (), problems
    steps = bind.bound_steps(
        binding, tables, compiled, paths, suites, sources, values, frozenset(made), late_data, places
    )
    return steps, []


def _own_templates(folder: str, files: Files) -> tuple[dict[str, LoadedTemplate], list[Problem]]:
    contents: dict[str, dict[str, bytes]] = {}
    for path, raw in files.items():
        parts = path.split("/", 2)
        if len(parts) == 3 and parts[0] == "pipelines":
            contents.setdefault(parts[1], {})[parts[2]] = raw
    loaded = {name: load_template(name, f"{folder}/pipelines/{name}", found) for name, found in contents.items()}
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
    for i, said in enumerate(spec.pipelines):
        line = source.line(("pipelines", i, "template"))
        if said.template in seen:
            yield Problem(
                source.file,
                line,
                f"pipelines[{i}].template",
                f"pipeline {said.template} is listed twice (first as pipelines[{seen[said.template]}])",
            )
        seen.setdefault(said.template, i)
        if said.start_date > today:
            yield Problem(
                source.file,
                source.line(("pipelines", i, "start_date")),
                f"pipelines[{i}].start_date",
                f"{said.start_date} is in the future",
                f"a date up to {today}",
            )


def _shared_tables(bindings: list[Binding]) -> Iterator[Problem]:
    made: dict[str, Binding] = {}
    called: dict[str, str] = {}
    for binding in bindings:
        for step in binding.template.spec.steps:
            own = f"{binding.template.name}/{step.table}"
            other_table = called.setdefault(own.replace("/", "__"), own)
            if other_table != own:
                yield binding.problem(("template",), f"{own} and {other_table} have one name in Dagster")
            other = made.setdefault(step.table.lower(), binding)
            if other is not binding and other.template.name != binding.template.name:
                yield binding.problem(
                    ("template",),
                    f"pipelines {other.template.name} and {binding.template.name} both make table {step.table}",
                )


def _tenant(spec: TenantSpec, defaults: Defaults, pipelines: tuple[TenantPipeline, ...], version: str) -> Tenant:
    private_hosts = defaults.access_of(spec.tenant_id).hosts
    own = spec.alerts is not None
    routes = alert_routes(spec.alerts or defaults.alerts, private_hosts if own else None)
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
        given=defaults.given_to(spec.tenant_id),
    )


def version_of(files: Files) -> str:
    """A hash of a tenant's files."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return digest.hexdigest()
