"""`convergence jobs`: what runs on the warehouse now, for whom, and the end of what nobody waits for."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from convergence_assets.assets.opening import open_warehouse
from convergence_assets.settings import Settings
from convergence_assets.warehouse.interface import RunningJob

_SHOWN = ("tenant", "pipeline", "asset", "partition", "run_id")


def jobs(
    sweep: Annotated[bool, typer.Option("--sweep", help="Cancel the jobs whose process on this host is gone")] = False,
    run_id: Annotated[str | None, typer.Option("--cancel", metavar="RUN_ID", help="Cancel the jobs of a run")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a job")] = False,
) -> None:
    """The jobs of this platform that run on the warehouse now, by tenant and run.

    Example: convergence jobs --sweep
    """
    with open_warehouse(Settings.from_env()) as warehouse:
        running = warehouse.running_jobs()
        ended = [j for j in running if (sweep and j.owner_is_gone) or (run_id and j.labels.get("run_id") == run_id)]
        warehouse.cancel_jobs(ended)
    if as_json:
        for job in running:
            typer.echo(json.dumps(asdict(job) | {"cancelled": job in ended}, default=str))
    else:
        _show(running, ended)
    if run_id and not ended:
        typer.echo(
            f"no job of a run {run_id} is running (the whole id is needed; `convergence status` shows it)", err=True
        )
        raise typer.Exit(1)


def _show(running: Sequence[RunningJob], ended: Sequence[RunningJob]) -> None:
    table = Table(*_SHOWN, "started", "process", "")
    table.add_column("job", overflow="fold")
    for job in running:
        process = {True: "gone", False: "alive", None: "on another host"}[job.owner_is_gone]
        said = (job.labels.get(key, "") for key in _SHOWN)
        table.add_row(*said, str(job.started or ""), process, "cancelled" if job in ended else "", job.job_id)
    Console(soft_wrap=True, highlight=False).print(table if running else "no job is running")
