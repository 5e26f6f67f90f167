"""`convergence locks`: list which runs hold which days, and release abandoned locks."""

import json
from datetime import date
from typing import Annotated

import typer
from rich.table import Table

from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings

locks = typer.Typer(name="locks", help="Which runs hold which days of which pipeline.", no_args_is_help=True)


@locks.command("list")
def show(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a lock")] = False) -> None:
    """Every lock: who holds it, since when, and whether the next run may take it.

    Example: convergence locks list
    """
    from convergence_assets.control.locks import Locks
    from convergence_assets.control.store import ControlStore

    store = ControlStore.open(Settings.from_env())
    store_locks = Locks(store)
    table = Table("tenant", "pipeline", "partition", "since", "last sign of life", "held by", "state", "run")
    for lock in store_locks.all():
        claim, free = lock.claim, store_locks.free_because(lock)
        if as_json:
            fields = {
                "tenant": claim.tenant_id,
                "pipeline": claim.pipeline,
                "first": str(claim.first),
                "last": str(claim.last),
                "run_id": lock.run_id,
                "host": lock.owner.host,
                "process": lock.owner.process,
                "fence": lock.fence,
                "acquired_at": lock.acquired_at.isoformat(),
                "heartbeat_at": lock.heartbeat_at.isoformat(),
                "free_because": free,
            }
            typer.echo(json.dumps(fields))
        silent = f"{(store.now() - lock.heartbeat_at).total_seconds():.0f} s ago"
        state = f"free: {free}" if free else "held"
        since = f"{lock.acquired_at:%Y-%m-%dT%H:%M:%SZ}"
        table.add_row(
            claim.tenant_id, claim.pipeline, claim.partition, since, silent, str(lock.owner), state, lock.run_id
        )
    if not as_json:
        if table.row_count:
            print_table(table)
        else:
            typer.echo("no run holds a lock")


@locks.command()
def release(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="Pipeline name")],
    partition: Annotated[
        str | None, typer.Option(metavar="DAY", help="Only the locks that hold this day, e.g. 2026-10-01")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Also from a run that seems to be alive")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a lock")] = False,
) -> None:
    """Free a pipeline's locks; a run that still works then ends before it publishes anything more.

    Example: convergence locks release acme gcp_billing --partition 2026-10-01
    """
    from convergence_assets.control.locks import Locks
    from convergence_assets.control.store import ControlStore

    day = _day(partition)
    store_locks = Locks(ControlStore.open(Settings.from_env()))
    matching = [
        lock for lock in store_locks.all(tenant, pipeline) if day is None or lock.claim.first <= day <= lock.claim.last
    ]
    ending = [lock for lock in matching if force or store_locks.free_because(lock)]
    store_locks.release([lock.fence for lock in ending])
    alive = [lock for lock in matching if lock not in ending]
    if as_json:
        for lock in matching:
            fields = {"tenant": tenant, "pipeline": pipeline, "partition": lock.claim.partition, "run_id": lock.run_id}
            typer.echo(json.dumps(fields | {"released": lock in ending}))
        raise typer.Exit(1 if alive else 0)
    for lock in ending:
        typer.echo(f"released: {lock.claim}, run {lock.run_id}")
    for lock in alive:
        typer.echo(
            f"kept: {lock.claim}: run {lock.run_id} ({lock.owner}) is alive. Next: wait for it, end it, or say --force",
            err=True,
        )
    if not matching:
        on = f" on {day}" if day else ""
        typer.echo(f"no run holds a lock of tenant {tenant}, pipeline {pipeline}{on}")
    raise typer.Exit(1 if alive else 0)


def _day(partition: str | None) -> date | None:
    try:
        return date.fromisoformat(partition) if partition is not None else None
    except ValueError as error:
        raise typer.BadParameter(f"--partition: {error}; expected a date like 2026-10-01") from None
