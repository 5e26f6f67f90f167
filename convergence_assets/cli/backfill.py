"""`convergence backfill`: every day of a range that is not published yet, in runs of many days each."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from convergence_assets.assets.window import days_of
from convergence_assets.cli.day_runs import DayRuns, progress_bar
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_of, running_tenant_of
from convergence_assets.cli.run import Definitions, finished_days_between
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline


def backfill(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; default with --stale: all")] = None,
    pipeline: Annotated[str | None, typer.Argument(help="Pipeline name; default with --stale: all")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day, e.g. 2026-01-01")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day")] = None,
    again: Annotated[bool, typer.Option("--again", help="Also the days that are published already")] = False,
    stale: Annotated[
        bool, typer.Option("--stale", help="The published days that an older definition made, of any range")
    ] = False,
    newest_first: Annotated[bool, typer.Option("--newest-first", help="With --stale: the newest days first")] = False,
    only_plan: Annotated[bool, typer.Option("--plan", help="With --stale: show what would be made")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --stale: make them without asking")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a run")] = False,
) -> None:
    """Materialise a range of days, oldest first; started again, it goes on with those that are not published.

    A run that fails does not stop the next one; exit code 1 if a day was not published.

    With --stale, the days that an older definition made are made again (`convergence preview --stale` lists them),
    after their estimate, behind days that are due, and beside the daily and monthly runs of the tenant's plan.

    Example: convergence backfill acme gcp_billing --from 2026-10-01 --to 2026-10-31
    """
    if stale:
        from convergence_assets.cli.backfill_stale import backfill_stale

        if first or last or again:
            raise typer.BadParameter("--stale finds its days itself, without --from, --to and --again")
        backfill_stale(tenant, pipeline, newest_first=newest_first, only_plan=only_plan, yes=yes, as_json=as_json)
    if newest_first or only_plan or yes:
        raise typer.BadParameter("--newest-first, --plan and --yes go with --stale")
    if tenant is None or pipeline is None or first is None or last is None:
        raise typer.BadParameter("say a tenant, a pipeline, --from and --to; or --stale")
    settings = replace(Settings.from_env(), only_tenants=frozenset({tenant}))
    chosen = running_tenant_of(load_for_a_run(settings), tenant)
    chosen_pipeline = pipeline_of(chosen, pipeline)
    start, end = finished_days_between(chosen, chosen_pipeline, first, last)
    days = days_of(start, end)
    definitions = Definitions(settings)
    with open_instance(settings) as instance, progress_bar(as_json) as progress:
        before = set() if again else published_days(settings, chosen, chosen_pipeline, start, end)
        pending = [day for day in days if day not in before]
        task = progress.add_task(f"{tenant} {pipeline}", total=len(days), completed=len(days) - len(pending))
        missing = DayRuns(definitions, instance, chosen, chosen_pipeline).run(pending, progress, task, as_json)
    if not as_json:
        _print_summary(len(days), len(pending), sorted(missing))
    raise typer.Exit(1 if missing else 0)


def published_days(settings: Settings, tenant: Tenant, pipeline: TenantPipeline, first: date, last: date) -> set[date]:
    """The days of [first, last] of which every table is published, and read what is published now."""
    from convergence_assets.control.publications import Publications
    from convergence_assets.control.store import ControlStore
    from convergence_assets.scheduling.targets import tables_of

    tables = tables_of(tenant, pipeline)
    publications = Publications(ControlStore.open(settings)).between(tenant.tenant_id, tables.all_tables(), first, last)
    return {day for day in days_of(first, last) if tables.is_current(day, publications)}


def _print_summary(requested: int, pending: int, missing: Sequence[date]) -> None:
    table = Table("days", "count")
    table.add_row("requested", str(requested))
    table.add_row("published before", str(requested - pending))
    table.add_row("published now", str(pending - len(missing)))
    table.add_row("not published", str(len(missing)), style="red" if missing else None)
    console = Console(soft_wrap=True, highlight=False)
    print_table(table)
    if missing:
        named = ", ".join(map(str, missing[:10])) + (" ..." if len(missing) > 10 else "")
        console.print(f"not published: {named}. Next: read the reasons above, then give the same command again")
