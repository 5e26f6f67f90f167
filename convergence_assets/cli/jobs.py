"""`convergence jobs`: what runs on the warehouse and for whom, what ran last, and cancelling what nobody waits for."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import RunningJob

if TYPE_CHECKING:
    from convergence_assets.control.ledger_rows import LedgerRow

_SHOWN = ("tenant", "pipeline", "asset", "partition", "run_id")
_RUNS_LOOKED_AT = 20
_SWEEP_SECONDS = 600.0


def jobs(
    only_running: Annotated[bool, typer.Option("--running", help="Only those that run now")] = False,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Cancel jobs whose process here is gone; remove what dead runs staged")
    ] = False,
    run_id: Annotated[str | None, typer.Option("--cancel", metavar="RUN_ID", help="Cancel the jobs of a run")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a job")] = False,
) -> None:
    """The jobs of this platform on the warehouse by tenant and run: those that run now, and what the last runs sent.

    Example: convergence jobs --running
    """
    settings = Settings.from_env()
    with open_warehouse(settings) as warehouse:
        running = warehouse.running_jobs()
        ended = [j for j in running if (sweep and j.owner_is_gone) or (run_id and j.labels.get("run_id") == run_id)]
        warehouse.cancel_jobs(ended)
    for table in _swept_tables(settings) if sweep else ():
        typer.echo(f"removed {table}", err=as_json)
    # The embedded warehouse keeps no history of statements.
    looks_back = not (only_running or sweep or run_id) and settings.warehouse == "bigquery"
    finished = _finished(settings) if looks_back else []
    if as_json:
        for job in running:
            typer.echo(json.dumps(asdict(job) | {"state": "running", "cancelled": job in ended}, default=str))
        for row in finished:
            typer.echo(json.dumps(_as_json(row)))
    else:
        if running:
            print_table(_running_table(running, ended))
        else:
            typer.echo("no job is running")
        if finished:
            print_table(_finished_table(finished))
        elif looks_back:
            typer.echo(f"the last {_RUNS_LOOKED_AT} runs that were read have told of no job")
    if run_id and not ended:
        typer.echo(
            f"no job of a run {run_id} is running (the whole id is needed; `convergence status` shows it)", err=True
        )
        raise typer.Exit(1)


def _swept_tables(settings: Settings) -> list[str]:
    """What dead and failed runs had staged, of every tenant."""
    from convergence_assets.cli.instance import open_instance
    from convergence_assets.control.store import ControlStore
    from convergence_assets.monitoring.sweeping import Sweeper
    from convergence_assets.tenancy.registry import load_tenants

    tenants = load_tenants(settings).tenants.values()
    with open_instance(settings) as instance:
        return Sweeper(instance, ControlStore.open(settings), settings).sweep(tenants, _SWEEP_SECONDS)


def _finished(settings: Settings) -> "list[LedgerRow]":
    """The jobs that the last runs in the runs index reported; the newest run first."""
    from convergence_assets.cli.instance import open_instance
    from convergence_assets.control.runs import RunFilter, runs_page
    from convergence_assets.control.store import ControlStore
    from convergence_assets.ledger.replay import replay

    with ControlStore.open(settings).read() as connection:
        last = dict.fromkeys(run.run_id for run in runs_page(connection, RunFilter(), _RUNS_LOOKED_AT).runs)
    with open_instance(settings) as instance:
        replayed = [replay(instance, run_id, {}) for run_id in last]
    return [row for run in replayed if run for row in run.jobs]


def _running_table(running: Sequence[RunningJob], ended: Sequence[RunningJob]) -> Table:
    table = Table(*_SHOWN, "started", "process", "", "job", title="running", title_justify="left")
    for job in running:
        process = {True: "gone", False: "alive", None: "on another host"}[job.owner_is_gone]
        labels = (job.labels.get(key, "") for key in _SHOWN)
        table.add_row(*labels, str(job.started or ""), process, "cancelled" if job in ended else "", job.job_id)
    return table


def _finished_table(finished: "Sequence[LedgerRow]") -> Table:
    title = f"of the last {_RUNS_LOOKED_AT} runs"
    table = Table(*_SHOWN, "seconds", "bytes billed", "job", title=title, title_justify="left")
    for row in finished:
        fields = _as_json(row)
        table.add_row(
            *(str(fields["labels"][key] or "") for key in _SHOWN),
            f"{fields['duration_ms'] / 1000:.1f}",
            f"{fields['bytes_billed']:,}",
            fields["job_id"],
        )
    return table


def _as_json(row: "LedgerRow") -> dict[str, Any]:
    values = row.values
    labels = ("tenant_id", "pipeline_id", "step", "partition", "pipeline_run_id")
    return {
        "job_id": values["bigquery_job_id"],
        "labels": {key: values[name] for key, name in zip(_SHOWN, labels, strict=True)},
        "state": "finished",
        "duration_ms": values["duration_ms"],
        "bytes_billed": values["bytes_billed"] or 0,
        "ended": values["created_at"],
    }
