"""`convergence upgrade`: a new version of a table beside the old one, which it then replaces."""

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from convergence_assets.cli.backfill_stale import chosen_tenants
from convergence_assets.cli.day_runs import progress_bar
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.tenancy.tenant import Tenant
    from convergence_assets.tenant_lifecycle.table_versions import TableVersion
    from convergence_assets.tenant_lifecycle.upgrading import Upgrade


def upgrade(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; absent: all")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show which tables need it, and change nothing")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Build the new versions, and switch to them")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Switch back to the versions before")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a table")] = False,
) -> None:
    """Upgrade tables whose columns changed otherwise than by added ones: their step has a higher `version`.

    The new version is built beside the old one, by the same checks as a run, and takes its place where the sums of
    every day agree: a reader sees the old or the new table, whole. The old one stays as `<table>__v1`. Started again,
    it goes on. Exit code 1 where a table was not upgraded.

    Example: convergence upgrade acme --plan
    """
    from convergence_assets.control.locks import LockLost, Refused
    from convergence_assets.tenant_lifecycle.upgrading import NotUpgraded

    if only_plan + apply + rollback != 1:
        raise typer.BadParameter("say one of --plan, --apply and --rollback")
    settings = replace(Settings.from_env(), only_tenants=None)
    failed = False
    for one in chosen_tenants(load_tenants(settings), [tenant] if tenant else None):
        with _upgrade(settings, one) as (work, versions):
            found = [v for v in versions if rollback or v.needs_upgrade]
            if only_plan:
                _print_plan(found, as_json=as_json)
                failed = failed or any(v.problem for v in found)
                continue
            for version in reversed(found) if rollback else found:
                try:
                    outcome = _switched(work, version, rollback=rollback, as_json=as_json)
                except (NotUpgraded, Refused, LockLost) as error:
                    typer.echo(f"error: {error}", err=True)
                    failed = True
                    break  # what reads this table is made of its new columns
                if outcome and as_json:
                    fields = {"tenant": one.tenant_id, "table": version.step.table, "outcome": outcome}
                    typer.echo(json.dumps(fields))
                elif outcome:
                    typer.echo(f"{one.tenant_id} {version.step.table}: {outcome}")
    raise typer.Exit(1 if failed else 0)


@contextmanager
def _upgrade(settings: Settings, tenant: "Tenant") -> "Iterator[tuple[Upgrade, list[TableVersion]]]":
    from convergence_assets.assets.publish_guard import outcome_of
    from convergence_assets.assets.warehouse_factory import open_warehouse
    from convergence_assets.control.lock_session import holding
    from convergence_assets.tenant_lifecycle.table_versions import table_versions
    from convergence_assets.tenant_lifecycle.upgrading import Upgrade

    session = holding(settings)
    with (
        open_instance(settings) as instance,
        open_warehouse(settings, tenant.location, service_account=tenant.service_account) as warehouse,
    ):
        ended = lambda run_id: outcome_of(instance, run_id) is not None  # noqa: E731
        versions = list(table_versions(session.store, warehouse, tenant))
        yield Upgrade(settings, warehouse, session, ended, getpass.getuser()), versions


def _switched(work: "Upgrade", version: "TableVersion", *, rollback: bool, as_json: bool) -> str | None:
    """What was done; None where nothing was to do."""
    before, declared = version.version, version.step.spec.version
    if rollback:
        if before < 2 or work.warehouse.existing_schema(version.of_version(before - 1)) is None:
            return None
        work.roll_back(version)
        return f"version {before} -> {before - 1}; version {before} is kept as {version.of_version(before)}"
    with progress_bar(as_json) as progress:
        task = progress.add_task(f"{version.tenant.tenant_id} {version.step.table}", total=len(version.days))
        work.apply(version, lambda days: progress.advance(task, days))
    return f"version {before} -> {declared}; version {before} is kept as {version.of_version(before)}"


def _print_plan(found: "list[TableVersion]", *, as_json: bool) -> None:
    table = Table("tenant", "table", "versions", "days", "rows", prose("problem"))
    for one in found:
        fields = {
            "tenant": one.tenant.tenant_id, "table": one.step.table, "from": one.version,
            "to": one.step.spec.version, "days": len(one.days), "rows": one.rows, "problem": one.problem,
        }  # fmt: skip
        if as_json:
            typer.echo(json.dumps(fields))
        versions = f"{one.version} -> {one.step.spec.version}"
        numbers = (f"{len(one.days):,}", f"{one.rows:,}")
        table.add_row(one.tenant.tenant_id, one.step.table, versions, *numbers, one.problem or "")
    if found and not as_json:
        print_table(table)
