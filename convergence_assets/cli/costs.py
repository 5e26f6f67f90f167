"""`convergence costs`: what the runs of each pipeline were billed."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from convergence_assets.cli.datetimes import end_of, moment
from convergence_assets.cli.ledger import NOT_BEGUN
from convergence_assets.cli.lookup import pipeline_named, pipeline_of, tenant_of
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.control.costs import Cost

# https://cloud.google.com/bigquery/pricing, on-demand queries in the US
DOLLARS_PER_TIBIBYTE = 6.25
_LOOKED_BACK = timedelta(days=30)


def costs(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's")] = None,
    pipeline: Annotated[str | None, typer.Option(help="Only this pipeline's")] = None,
    begins: Annotated[str, typer.Option("--from", help="A date, a moment in UTC, or how long ago: 2h, 3d")] = "30d",
    ends: Annotated[str | None, typer.Option("--to", help="The last day, or a moment; default: now")] = None,
    since: Annotated[str | None, typer.Option(hidden=True, help="As --from")] = None,
    until: Annotated[str | None, typer.Option(hidden=True, help="As --to")] = None,
    by_day: Annotated[bool, typer.Option("--by-day", help="A line a UTC day")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a pipeline, or a pipeline and day")] = False,
) -> None:
    """What the runs of each pipeline were billed, by the time at which they were created; reads no warehouse.

    Runs come from the runs index, bytes from the jobs that they report. What somebody requested by hand (`query`,
    `load`), the writing of the ledger, and steps that ended in an error of the warehouse are not among them.

    Example: convergence costs --tenant acme --from 2026-10-01 --to 2026-10-31
    """
    from convergence_assets.control.costs import costs as of_runs
    from convergence_assets.control.run_cursors import progress
    from convergence_assets.control.store import ControlStore

    settings = Settings.from_env()
    if tenant is not None or pipeline is not None:
        _check_names(settings, tenant, pipeline)
    store = ControlStore.open(settings)
    now = store.now()
    begins, ends = begins if since is None else since, ends if until is None else until
    begin, end = moment(begins, now, "--from"), end_of(ends, now, "--to") if ends else now
    if end <= begin:
        raise typer.BadParameter(f"--to {ends or 'now'} is not after --from {begins}")
    with store.read() as connection:
        listed = of_runs(connection, begin, end, tenant, pipeline, by_day=by_day)
        progress_row = progress(connection)
    if as_json:
        for cost in listed:
            typer.echo(json.dumps(_as_json(cost, settings)))
    else:
        console = Console(soft_wrap=True, highlight=False)
        if listed:
            print_table(_table(listed, settings, by_day=by_day))
        else:
            console.print("no run was made in that time")
        console.print(f"runs made from {begin:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}", style="dim")
        if any(_bytes(cost, settings) is None for cost in listed):
            console.print("the embedded warehouse counts no bytes: nothing is billed there", style="dim")
    if progress_row is None:
        typer.echo(NOT_BEGUN, err=True)


def _check_names(settings: Settings, tenant: str | None, pipeline: str | None) -> None:
    from convergence_assets.tenancy.registry import load_tenants

    registry = load_tenants(settings)
    if tenant is not None and pipeline is not None:
        pipeline_of(tenant_of(registry, tenant), pipeline)
    elif tenant is not None:
        tenant_of(registry, tenant)
    elif pipeline is not None:
        pipeline_named(registry, pipeline)


def _bytes(cost: "Cost", settings: Settings) -> int | None:
    """None where bytes were not counted; a store may have runs of a time when it was BigQuery."""
    return None if settings.warehouse == "embedded" and cost.bytes_billed == 0 else cost.bytes_billed


def _dollars(billed: int) -> float:
    return billed / 2**40 * DOLLARS_PER_TIBIBYTE


def _table(listed: "Sequence[Cost]", settings: Settings, *, by_day: bool) -> Table:
    columns = [Column(name, justify="right") for name in ("runs", "failed", "rows", "bytes billed", "USD on demand")]
    table = Table("tenant", "pipeline", *(["day"] if by_day else []), *columns)
    for cost in listed:
        billed = _bytes(cost, settings)
        table.add_row(
            cost.tenant_id,
            cost.pipeline,
            *([str(cost.day)] if by_day else []),
            f"{cost.runs:,}",
            f"{cost.failed:,}",
            f"{cost.rows_published:,}",
            "not counted" if billed is None else f"{billed:,}",
            "" if billed is None else f"{_dollars(billed):.4f}",
        )
    return table


def _as_json(cost: "Cost", settings: Settings) -> dict[str, object]:
    billed = _bytes(cost, settings)
    return {
        "tenant": cost.tenant_id,
        "pipeline": cost.pipeline,
        "day": str(cost.day) if cost.day else None,
        "runs": cost.runs,
        "failed": cost.failed,
        "rows_published": cost.rows_published,
        "bytes_billed": billed,
        "usd_on_demand": None if billed is None else round(_dollars(billed), 6),
    }
