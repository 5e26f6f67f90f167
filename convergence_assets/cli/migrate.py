"""`convergence tenants migrate`: a timezone or dataset that changes after days were published."""

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.cli.instance import open_instance
from convergence_assets.pipelines.problems import nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from convergence_assets.tenant_lifecycle.migrating import Migration


def migrate(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be done, and do nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; needs --plan or --yes")] = False,
) -> None:
    """Apply a changed timezone or dataset of a tenant whose days were published with the old one.

    Until then such a file is set aside and the tenant is served as before. Every published day is requested again by
    the planner, as the tenant's plan allows. No table is changed or deleted by this command: a former
    dataset stays as it is, with its ledger; after a new timezone, which lets days begin at other hours, a table holds
    days of both until all have run. Refused while a run of the tenant is at work: pause the tenant first.

    Exit code 1 where it could not be done.

    Example: convergence tenants migrate acme --plan
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.tenant_lifecycle.code_location import reloaded
    from convergence_assets.tenant_lifecycle.migrating import TenantAtWork, migration_of
    from convergence_assets.tenant_lifecycle.migrating import migrate as migrate_tenant

    if as_json and not (plan or yes):
        raise typer.BadParameter("--json asks nobody; say --plan or --yes too")
    settings = Settings.from_env()
    chosen = _as_its_file_is(settings, tenant)
    store = ControlStore.open(settings)
    migration = migration_of(store, settings, chosen)
    if migration is None:
        message = "nothing to migrate: its file agrees with what is published, or nothing is published yet"
        typer.echo(
            json.dumps(_as_json(tenant, None, done=False, next_step=None)) if as_json else f"{tenant}: {message}"
        )
        return
    if not as_json:
        for line in _lines(migration):
            typer.echo(line)
    next_step = None
    if not plan:
        if not yes:
            typer.confirm("Migrate it?", abort=True)
        try:
            with open_instance(settings) as instance:
                migrate_tenant(store, instance, migration, getpass.getuser())
        except TenantAtWork as error:
            typer.echo(
                f"error: {error}; nothing was changed. Next: convergence pause {tenant}, wait for its runs, then the "
                "same command",
                err=True,
            )
            raise typer.Exit(1) from None
        done, next_step = reloaded(settings, chosen)
        if not as_json:
            typer.echo(
                f"migrated: {migration.count} days are requested again; convergence schedule {tenant} shows them"
            )
            typer.echo(done or f"Next: {next_step}")
    if as_json:
        typer.echo(json.dumps(_as_json(tenant, migration, done=not plan, next_step=next_step)))


def _as_its_file_is(settings: Settings, tenant: str) -> Tenant:
    from convergence_assets.tenant_lifecycle.migrating import registry_with

    registry = registry_with(settings, tenant)
    if tenant in registry.rejected:
        for problem in registry.rejected[tenant].problems:
            typer.echo(problem.render(), err=True)
        raise typer.BadParameter(f"the files of tenant {tenant} are wrong beside their timezone and dataset")
    if tenant not in registry.tenants:
        near = nearest(tenant, registry.tenants)
        hint = f"; did you mean {near!r}?" if near else "; `convergence tenants list` shows all"
        raise typer.BadParameter(f"there is no tenant {tenant!r}{hint}")
    return registry.tenants[tenant]


def _lines(migration: "Migration") -> list[str]:
    lines = [f"tenant {migration.tenant.tenant_id}: {migration.sentence}"]
    for name, days in migration.days.items():
        if days:
            lines.append(f"  {name}: {len(days)} published days ({days[0]}...{days[-1]}) are requested again")
    if migration.before.dataset != migration.after.dataset:
        lines.append(f"  dataset {migration.before.dataset} stays as it is, and nothing is written to it any more")
    else:
        lines.append(f"  dataset {migration.after.dataset} holds days of both timezones until all of them have run")
    limit = migration.tenant.plan.daily_runs
    lines.append(f"  its plan allows {limit} runs a day; sources have to reach back as far as its days do")
    if migration.tenant.paused or not migration.tenant.enabled:
        lines.append("  it is paused or disabled in its file: its days wait until it is not")
    return lines


def _as_json(tenant: str, migration: "Migration | None", *, done: bool, next_step: str | None) -> dict[str, object]:
    return {
        "tenant": tenant,
        "from": vars(migration.before) if migration else None,
        "to": vars(migration.after) if migration else None,
        "days": {name: [str(day) for day in days] for name, days in migration.days.items()} if migration else {},
        "done": done,
        "next_step": next_step,
    }
