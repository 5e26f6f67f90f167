"""`convergence validate`: every mistake in every file at once, and what is fine."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from convergence_assets.pipelines.problems import Problem
from convergence_assets.settings import Settings
from convergence_assets.tenancy.model import TenantRegistry
from convergence_assets.tenancy.registry import load_registry


def validate(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's problems and the shared ones")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with `problems` and `tenants`")] = False,
) -> None:
    """Check all tenant and pipeline files; exit code 1 if anything is wrong. Nothing is written.

    Example: convergence validate --tenant acme
    """
    settings = Settings.from_env()
    registry = load_registry(settings.tenants, None, today=datetime.now(UTC).date())
    if tenant and tenant not in registry.tenants and tenant not in registry.rejected:
        raise typer.BadParameter(f"{settings.tenants} has no tenant {tenant!r}")
    problems = _chosen(registry, tenant)
    served = [t for t in registry.tenants.values() if tenant in (None, t.tenant_id)]
    if as_json:
        tenants = [{"tenant_id": t.tenant_id, "config_version": t.config_version} for t in served]
        typer.echo(json.dumps({"problems": [asdict(p) for p in problems], "tenants": tenants}))
    else:
        console = Console(soft_wrap=True, highlight=False)
        for problem in problems:
            where = f"{problem.file}:{problem.line}" if problem.line else problem.file
            console.print(f"[bold]{where}[/bold]", problem.render().removeprefix(where), sep="")
        steps = [s for t in served for p in t.pipelines for s in p.steps]
        checks = sum(len(s.suite.expectations) + 2 for s in steps)
        pipelines = sum(len(t.pipelines) for t in served)
        fine = f"{len(served)} tenants, {pipelines} pipelines, {len(steps)} tables, {checks} checks"
        console.print(
            f"[red]{len(problems)} problems[/red]; fine: {fine}" if problems else f"[green]fine[/green]: {fine}"
        )
    raise typer.Exit(1 if problems else 0)


def _chosen(registry: TenantRegistry, tenant: str | None) -> tuple[Problem, ...]:
    if tenant is None:
        return registry.problems
    others = {p for t, rejection in registry.rejected.items() if t != tenant for p in rejection.problems}
    own = set(registry.rejected[tenant].problems) if tenant in registry.rejected else set()
    return tuple(p for p in registry.problems if p in own or p not in others)
