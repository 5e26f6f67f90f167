"""`convergence day`: what became of one day of a pipeline."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.cli.datetimes import day_of
from convergence_assets.cli.ledger import NOT_BEGUN
from convergence_assets.cli.lookup import pipeline_of, running_tenant_of
from convergence_assets.cli.schedule import print_dead_daemons, schedules_and_daemons
from convergence_assets.cli.tables import RUN_COLOURS, print_table, prose
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.control.runs import IndexedRun
    from convergence_assets.scheduling.explain_day import ExplainedDay


def day(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="Pipeline name")],
    partition: Annotated[str, typer.Argument(help="The day, e.g. 2026-10-01")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """What became of one day: which tables are published, the runs that worked on it, and why it is not requested.

    Exit code 1 where a table of the day is not published.

    Example: convergence day acme gcp_billing 2026-10-06
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.ledger.write import lag
    from convergence_assets.scheduling.explain_day import explain_day
    from convergence_assets.scheduling.targets import targets_of

    settings = Settings.from_env()
    chosen = running_tenant_of(load_tenants(settings), tenant)
    pipeline_of(chosen, pipeline)
    chosen_day = day_of(partition, "PARTITION")
    store = ControlStore.open(settings)
    (target,) = (t for t in targets_of([chosen]) if t.pipeline == pipeline)
    is_off, dead = schedules_and_daemons(settings)
    explained = explain_day(store, target, chosen_day, is_off)
    with store.read() as connection:
        begun = lag(connection, store.now(), {tenant: chosen}).begun
    if as_json:
        typer.echo(json.dumps({"tenant": tenant, "pipeline": pipeline, "day": partition} | _as_json(explained)))
    else:
        _print(explained)
        if not begun:
            typer.echo(NOT_BEGUN, err=True)
        print_dead_daemons(dead)
        failed = next((run for run in explained.runs if run.status == "failed"), None)
        if explained.reason and failed:
            typer.echo(f"Next: convergence logs {failed.run_id} --level warning")
    raise typer.Exit(0 if all(explained.tables.values()) else 1)


def _print(explained: "ExplainedDay") -> None:
    table = Table("table", "published", "rows", "by run")
    for name, publication in explained.tables.items():
        if publication is None:
            table.add_row(name, Text("not published", "red"), "", "")
        else:
            published_at = f"{publication.published_at:%Y-%m-%dT%H:%MZ}"
            table.add_row(name, published_at, f"{publication.rows:,}", publication.run_id)
    print_table(table)
    if explained.reason:
        Console(soft_wrap=True, highlight=False).print(Text(f"not requested: {explained.reason}"))
    if explained.runs:
        runs = Table("run", "created", "status", prose("what went wrong"))
        for run in explained.runs:
            status = Text(run.status, RUN_COLOURS[run.status])
            runs.add_row(run.run_id, f"{run.created_at:%Y-%m-%dT%H:%MZ}", status, _fault(run))
        print_table(runs)


def _fault(run: "IndexedRun") -> str:
    fault = f"{run.error_class}: {run.error_message}" if run.error_class else run.error_message or ""
    return f"{run.stuck_reason}; {fault}".strip("; ") if run.stuck_reason else fault


def _as_json(explained: "ExplainedDay") -> dict[str, object]:
    return {
        "tables": {
            name: publication
            and {
                "published_at": publication.published_at.isoformat(),
                "rows": publication.rows,
                "run_id": publication.run_id,
            }
            for name, publication in explained.tables.items()
        },
        "not_requested_because": explained.reason,
        "runs": [
            {
                "run_id": run.run_id,
                "status": run.status,
                "created_at": run.created_at.isoformat(),
                "error_class": run.error_class,
                "error_message": run.error_message,
                "stuck_reason": run.stuck_reason,
            }
            for run in explained.runs
        ],
    }
