"""`convergence prune`: removes history that is older than it is kept, now instead of with the daily sensor."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from convergence_assets.cli.instance import open_instance
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    from convergence_assets.monitoring.history import Pruned


def prune(
    plan: Annotated[bool, typer.Option("--plan", help="Only show how much is old; nothing is removed")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False,
) -> None:
    """Remove runs, events, ticks and ledger rows that are older than they are kept. The sensor `history` does so daily.

    CONVERGENCE_KEEP_EVENTS_DAYS (90) and CONVERGENCE_KEEP_RUNS_DAYS (365) say how long. What a partition is stays: its
    newest materialisation and check results, and what was published. Started again after a stop, it continues.

    Example: convergence prune --plan
    """
    import dagster as dg

    from convergence_assets.control.store import ControlStore
    from convergence_assets.monitoring.history import History

    settings = Settings.from_env()
    registry = load_tenants(settings)
    with open_instance(settings) as instance:
        history = History(instance, ControlStore.open(settings), settings)
        counts = {
            "runs_before_keep_events": instance.get_runs_count(dg.RunsFilter(created_before=history.events_before)),
            "runs_before_keep_runs": instance.get_runs_count(dg.RunsFilter(created_before=history.runs_before)),
        }
        if plan:
            if as_json:
                typer.echo(json.dumps({"planned": counts}))
                return
            typer.echo(
                f"{counts['runs_before_keep_events']} runs are older than {settings.keep_events_days} days: their "
                "events are removed, but for the newest of each partition\n"
                f"{counts['runs_before_keep_runs']} runs are older than {settings.keep_runs_days} days: they are "
                "removed, but for those that make a partition red"
            )
            return
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (SpinnerColumn(), TextColumn("{task.description:<60}"), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("history", total=sum(counts.values()) + len(registry.tenants))
            pruned = history.prune(
                registry.tenants.values(), advance=lambda what: progress.update(task, advance=1, description=what)
            )
    _print(pruned, as_json=as_json)
    raise typer.Exit(1 if pruned.failed else 0)


def _print(pruned: "Pruned", *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(asdict(pruned)))
        return
    for tenant_id, why in pruned.failed.items():
        typer.echo(f"the ledger of {tenant_id} could not be reached: {why}. Next: convergence prune", err=True)
    typer.echo(f"removed: {pruned}")
