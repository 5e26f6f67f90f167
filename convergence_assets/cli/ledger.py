"""`convergence ledger`: how far it is behind Dagster, and rebuilding it from the beginning."""

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.settings import Settings

if TYPE_CHECKING:
    from convergence_assets.ledger.write import Lag

ledger = typer.Typer(
    name="ledger", help="The x_meta tables: how far they are behind, and a rebuild.", no_args_is_help=True
)

NOT_BEGUN = "no run was read yet: start Dagster's daemon, or give `convergence ledger rebuild`"


@ledger.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False) -> None:
    """How far the ledger is behind, what waits for the warehouse, and what fails; exit code 1 if something does.

    Example: convergence ledger status
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.ledger.write import lag
    from convergence_assets.tenancy.registry import load_tenants

    settings = Settings.from_env()
    tenants = load_tenants(settings).tenants
    store = ControlStore.open(settings)
    with store.read() as connection:
        lag_now = lag(connection, store.now(), tenants)
    if as_json:
        typer.echo(json.dumps(_as_json(lag_now), default=str))
    else:
        _print_lag(lag_now, frozenset(tenants))
    raise typer.Exit(1 if lag_now.unreadable or any(b.error for b in lag_now.queues) else 0)


@ledger.command()
def rebuild(as_json: Annotated[bool, typer.Option("--json", help="One JSON object")] = False) -> None:
    """Read Dagster's storage from the beginning and overwrite the runs index and the ledger's rows.

    Nothing is alerted a second time. Sensors may run meanwhile: they share the work.

    Example: convergence ledger rebuild
    """
    from convergence_assets.control.store import ControlStore
    from convergence_assets.ledger.follow import Follower
    from convergence_assets.ledger.rebuild import follow_to_the_end, reset_ledger
    from convergence_assets.tenancy.registry import load_tenants

    settings = Settings.from_env()
    tenants = load_tenants(settings).tenants
    store = ControlStore.open(settings)
    with open_instance(settings) as instance, Progress(console=Console(stderr=True), transient=True) as progress:
        total = instance.get_runs_count()
        finding = progress.add_task("runs found", total=total)
        reading = progress.add_task("runs read", total=total)

        def show_progress(runs_found: int, unread: int) -> None:
            progress.update(finding, completed=runs_found)
            progress.update(reading, completed=runs_found - unread)

        reset_ledger(store)
        unreadable = follow_to_the_end(Follower(store, instance, tenants), store, show_progress)
    if as_json:
        typer.echo(json.dumps({"runs": total, "unreadable": unreadable}))
        raise typer.Exit(1 if unreadable else 0)
    for run_id, why in unreadable.items():
        typer.echo(f"run {run_id} cannot be read: {why}", err=True)
    typer.echo(f"{total} runs read again; their rows wait for the warehouse: `convergence ledger status`")
    raise typer.Exit(1 if unreadable else 0)


def _as_json(lag: "Lag") -> dict[str, object]:
    return {
        "lag_seconds": round(lag.seconds, 1),
        "unread_seconds": round(lag.unread_seconds, 1),
        "rows_waiting": sum(b.rows for b in lag.queues),
        "unreadable_runs": dict(lag.unreadable),
        "tenants": [vars(b) | {"lag_seconds": lag.by_tenant.get(b.tenant_id)} for b in lag.queues],
    }


def _print_lag(lag: "Lag", loaded: frozenset[str]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    table = Table("tenant", "rows waiting", "since", "tries that failed", "next try", prose("error"))
    for b in lag.queues:
        error = b.error or ("" if b.tenant_id in loaded else "no such tenant is loaded: its rows wait")
        shown = [f"{moment:%Y-%m-%d %H:%M:%SZ}" if moment else "" for moment in (b.oldest, b.retry_at)]
        table.add_row(b.tenant_id, str(b.rows), shown[0], str(b.failures or ""), shown[1], error)
    if lag.queues:
        print_table(table)
    for run_id, why in lag.unreadable.items():
        console.print(f"run {run_id} cannot be read: {why}", style="red", markup=False)
    if not lag.begun:
        console.print(NOT_BEGUN, style="dim")
        return
    console.print(
        f"{lag.seconds:.0f} s behind; Dagster's storage was last read to its end {lag.unread_seconds:.0f} s ago",
        style="dim",
    )
