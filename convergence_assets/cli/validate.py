"""`convergence validate`: every mistake in every file at once, and what is fine."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from convergence_assets.pipelines.problems import Problem, nearest
from convergence_assets.pipelines.suites import RESERVED_CHECKS
from convergence_assets.settings import Settings
from convergence_assets.tenancy.model import Tenant, TenantRegistry
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
    known = {*registry.tenants, *registry.rejected}
    if tenant and tenant not in known:
        near = nearest(tenant, known)
        hint = f"; did you mean '{near}'?" if near else ""
        raise typer.BadParameter(f"{settings.tenants} has no tenant {tenant!r}{hint}")
    problems = _chosen(registry, tenant)
    served = [t for t in registry.tenants.values() if tenant in (None, t.tenant_id)]
    if as_json:
        tenants = [{"tenant_id": t.tenant_id, "config_version": t.config_version} for t in served]
        typer.echo(json.dumps({"problems": [asdict(p) for p in problems], "tenants": tenants}))
    else:
        _print(problems, served)
    raise typer.Exit(1 if problems else 0)


def _print(problems: Sequence[Problem], served: Sequence[Tenant]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        where = f"{problem.file}:{problem.line}" if problem.line else problem.file
        # As Text, not as markup: a file may say "[/red]".
        console.print(Text.assemble((where, "bold"), problem.render().removeprefix(where)))
    steps = [s for t in served for p in t.pipelines for s in p.steps]
    counts = (
        (len(served), "tenant"),
        (sum(len(t.pipelines) for t in served), "pipeline"),
        (len(steps), "table"),
        (sum(len(s.suite.expectations) + len(RESERVED_CHECKS) for s in steps), "check"),
    )
    fine = f"fine: {', '.join(_counted(*c) for c in counts)}"
    if problems:
        console.print(Text.assemble((_counted(len(problems), "problem"), "red"), f"; {fine}"))
    else:
        console.print(Text.assemble((fine[:4], "green"), fine[4:]))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _chosen(registry: TenantRegistry, tenant: str | None) -> tuple[Problem, ...]:
    if tenant is None:
        return registry.problems
    others = {p for t, rejection in registry.rejected.items() if t != tenant for p in rejection.problems}
    own = set(registry.rejected[tenant].problems) if tenant in registry.rejected else set()
    return tuple(p for p in registry.problems if p in own or p not in others)
