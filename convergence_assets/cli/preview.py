"""`convergence preview`: what a change of files would do to the published rows of all tenants."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import running_tenant_of
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.control.store import ControlStore
    from convergence_assets.preview.sampling import Touched
    from convergence_assets.tenancy.tenant import Tenant, TenantRegistry

MONEY_CHANGES = 3
"""Exit code where an amount of a published table changes."""


def preview(
    tenant: Annotated[list[str] | None, typer.Option(help="Only this one; may be given several times")] = None,
    days: Annotated[int, typer.Option(help="So many of the last published days of each pipeline", min=1, max=90)] = 7,
    sample: Annotated[
        int | None,
        typer.Option(
            help="Run only so many of the touched tenants, chosen to cover every kind of change and size", min=1
        ),
    ] = None,
    ref: Annotated[str | None, typer.Option(help="Preview the files of a commit, not those of the folder")] = None,
    max_gigabytes: Annotated[
        int | None, typer.Option(help="On BigQuery no statement may be billed for more than is left of it", min=1)
    ] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="List the published days that an older definition made; run nothing")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; with --stale one a table")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="A comment for a pull request")] = False,
) -> None:
    """Show what the files here would change in published tables: rows, money, checks, columns. Nothing is published.

    Compared with the definitions that made the newest published days, by content: a comment or a format touches
    nothing. The touched tables, and those made of them, are made in staging of their own, which is removed. Exit code
    3 where money changes, 1 where a table could not be previewed.

    Example: convergence preview --days 3 --sample 10
    """
    from convergence_assets.cli.preview_output import PreviewReport
    from convergence_assets.control.store import ControlStore
    from convergence_assets.preview.candidate import NoSuchRef, load_candidate
    from convergence_assets.preview.fleet import Fleet
    from convergence_assets.preview.table_preview import changes_money
    from convergence_assets.preview.tenant_run import BytesBudget
    from convergence_assets.warehouse.interface import GIGABYTE

    if as_json and as_markdown:
        raise typer.BadParameter("say --json or --markdown, not both")
    if stale:
        from convergence_assets.cli.stale import print_stale

        if ref or sample or max_gigabytes or as_markdown:
            raise typer.BadParameter("--stale goes with --tenant and --json alone")
        print_stale(tenant, as_json=as_json)
        return
    settings = replace(Settings.from_env(), only_tenants=None)
    store = ControlStore.open(settings)
    try:
        registry = load_candidate(settings, ref)
    except NoSuchRef as error:
        raise typer.BadParameter(str(error)) from None
    budget = BytesBudget(max_gigabytes * GIGABYTE if max_gigabytes else None)
    with open_instance(settings) as instance:
        fleet = Fleet(settings, store, instance, _chosen(registry, tenant), days)
        touched = fleet.touched()
        run = _sampled(touched, store, sample)
        with Progress(console=Console(stderr=True, soft_wrap=True, highlight=False), transient=True) as progress:
            task = progress.add_task("preview", total=sum(map(len, run.values())))
            previews = list(
                fleet.previews(run, budget, lambda name: progress.update(task, advance=1, description=name))
            )
    refused = {name: one for name, one in registry.rejected.items() if not tenant or name in tenant}
    report = PreviewReport(touched, previews, refused)
    if as_json or as_markdown:
        typer.echo(report.as_json() if as_json else report.as_markdown())
    else:
        report.print()
    failed = refused or any(one.problem for one in previews)
    raise typer.Exit(1 if failed else MONEY_CHANGES if changes_money(previews) else 0)


def _chosen(registry: "TenantRegistry", names: list[str] | None) -> "dict[str, Tenant]":
    """The enabled tenants whose files are right, or those that are named."""
    if names:
        return {name: running_tenant_of(registry, name) for name in names if name not in registry.rejected}
    return {n: t for n, t in registry.tenants.items() if t.enabled and n not in registry.rejected}


def _sampled(touched: "Touched", store: "ControlStore", number: int | None) -> "Touched":
    from convergence_assets.preview.sampling import sample
    from convergence_assets.preview.served import published_rows

    if number is None:
        return touched
    chosen = sample(touched, published_rows(store, list(touched)), number)
    return {name: touched[name] for name in chosen}
