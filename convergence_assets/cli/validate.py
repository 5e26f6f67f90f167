"""`convergence validate`: every mistake in every file at once, and what is fine."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from convergence_assets.assets.structure import declared_structural
from convergence_assets.cli.costs import DOLLARS_PER_TIBIBYTE
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy.loading import LoadContext
from convergence_assets.tenancy.registry import load_registry
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline, TenantRegistry
from convergence_assets.tenancy.warnings import warnings_of

if TYPE_CHECKING:
    from convergence_assets.assets.dry_run import StepEstimate


def validate(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's problems and the shared ones")] = None,
    with_dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let the warehouse check every query, and say what a day would read")
    ] = False,
    with_tests: Annotated[
        bool,
        typer.Option("--tests", help="Run the tests of steps on the embedded engine, over the rows that they give"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with `problems` and `tenants`")] = False,
) -> None:
    """Check all tenant and pipeline files; exit code 1 if anything is wrong. Nothing is written.

    Warnings name what is right and does nothing: a pipeline folder that no tenant.yaml lists, a route whose variable is
    not set here. They change no exit code.

    Example: convergence validate --tenant acme
    """
    settings = Settings.from_env()
    today, context = datetime.now(UTC).date(), LoadContext.of(settings)
    registry = load_registry(settings.tenants, settings.accepted_tenants, today=today, context=context, keep=False)
    tenant_ids = {*registry.tenants, *registry.rejected}
    if tenant and tenant not in tenant_ids:
        near = nearest(tenant, tenant_ids)
        hint = f"; did you mean '{near}'?" if near else ""
        raise typer.BadParameter(f"{settings.tenants} has no tenant {tenant!r}{hint}")
    problems = _problems_of(registry, tenant)
    accepted = [t for t in registry.tenants.values() if t.tenant_id not in registry.rejected]
    served = [t for t in accepted if tenant in (None, t.tenant_id)]
    estimates = _dry_run(served, settings) if with_dry_run else []
    problems += tuple(e.problem for e in estimates if e.problem)
    tests = [(t, step) for t in served for p in t.pipelines for step in p.steps if step.tests] if with_tests else []
    problems += tuple(_failing_tests(tests))
    warnings = [w for w in warnings_of(settings.tenants, registry) if tenant is None or _is_of(w, settings, tenant)]
    if as_json:
        tenants = [{"tenant_id": t.tenant_id, "config_version": t.config_version} for t in served]
        fields: dict[str, object] = {
            "problems": [asdict(p) for p in problems],
            "warnings": [asdict(w) for w in warnings],
            "tenants": tenants,
        }
        if with_dry_run:
            fields["estimates"] = [asdict(e) for e in estimates]
        if with_tests:
            fields["tests"] = sum(len(step.tests) for _, step in tests)
        typer.echo(json.dumps(fields))
    else:
        _print_summary(problems, warnings, served)
        if with_tests:
            Console(soft_wrap=True, highlight=False).print(
                f"{_counted(sum(len(step.tests) for _, step in tests), 'test')} of steps run"
            )
        if estimates:
            _print_estimates(estimates)
    raise typer.Exit(1 if problems else 0)


def _dry_run(tenants: Sequence[Tenant], settings: Settings) -> "list[StepEstimate]":
    from rich.progress import Progress

    from convergence_assets.assets.dry_run import dry_run

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("dry runs", total=len(tenants))
        return dry_run(tenants, settings, now=datetime.now(UTC), progress=lambda: progress.advance(task))


def _failing_tests(steps: Sequence[tuple[Tenant, Step]]) -> Iterator[Problem]:
    from rich.progress import track

    from convergence_assets.assets.step_tests import failing_tests

    for tenant, step in track(steps, "tests", console=Console(stderr=True), transient=True):
        yield from failing_tests(tenant, step)


def _print_estimates(estimates: "Sequence[StepEstimate]") -> None:
    from convergence_assets.assets.dry_run import bytes_by_tenant

    console = Console(soft_wrap=True, highlight=False)
    table = Table("tenant", "pipeline", "table", Column("bytes a day", justify="right"), prose("advice"))
    for estimate in estimates:
        read = "not counted" if estimate.bytes_processed is None else f"{estimate.bytes_processed:,}"
        advice = "; ".join(a.message for a in estimate.advice)
        shown = "failed" if estimate.problem else advice
        table.add_row(estimate.tenant_id, estimate.pipeline, estimate.table, read, shown)
    print_table(table)
    for tenant, total in bytes_by_tenant(estimates).items():
        dollars = total / 2**40 * DOLLARS_PER_TIBIBYTE
        console.print(f"{tenant}: {total / 1e9:.3f} GB a day, {dollars:.4f} USD on demand")


def _print_summary(problems: Sequence[Problem], warnings: Sequence[Problem], served: Sequence[Tenant]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        where = f"{problem.file}:{problem.line}" if problem.line else problem.file
        # As Text, not as markup: a file may say "[/red]".
        console.print(Text.assemble((where, "bold"), problem.render().removeprefix(where)))
    for warning in warnings:
        console.print(Text.assemble(("warning: ", "yellow"), warning.render()))
    steps = [(t, p, s) for t in served for p in t.pipelines for s in p.steps]
    counts = (
        (len(served), "tenant"),
        (sum(len(t.pipelines) for t in served), "pipeline"),
        (len(steps), "table"),
        (sum(_checks(*step) for step in steps), "check"),
    )
    fine = f"fine: {', '.join(_counted(*c) for c in counts)}"
    if problems:
        console.print(Text.assemble((_counted(len(problems), "problem"), "red"), f"; {fine}"))
    else:
        console.print(Text.assemble((fine[:4], "green"), fine[4:]))


def _is_of(warning: Problem, settings: Settings, tenant_id: str) -> bool:
    path = warning.file.removeprefix(f"{settings.tenants.rstrip('/')}/")
    return path.partition("/")[0] in (tenant_id, "_defaults.yaml")


def _checks(tenant: Tenant, pipeline: TenantPipeline, step: Step) -> int:
    structural = declared_structural(
        "fail", reads_pipelines=bool(tenant.read_from_pipelines(pipeline, step)), reads_sources=bool(step.sources)
    )
    return len(step.suite.expectations) + len(structural)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _problems_of(registry: TenantRegistry, tenant: str | None) -> tuple[Problem, ...]:
    if tenant is None:
        return registry.problems
    others = {p for t, rejection in registry.rejected.items() if t != tenant for p in rejection.problems}
    own_problems = set(registry.rejected[tenant].problems) if tenant in registry.rejected else set()
    return tuple(p for p in registry.problems if p in own_problems or p not in others)
