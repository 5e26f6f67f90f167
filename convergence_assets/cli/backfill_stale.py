"""`convergence backfill --stale`: days that an older definition made, made again."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from convergence_assets.assets.tags import REMAKES_TAG
from convergence_assets.cli.day_runs import DayRuns, progress_bar
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_of, running_tenant_of
from convergence_assets.cli.run import Definitions
from convergence_assets.cli.tables import print_table
from convergence_assets.control.partition_states import all_outstanding
from convergence_assets.control.store import ControlStore
from convergence_assets.preview.stale import StalePipeline, stale_days, stale_pipelines
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from convergence_assets.tenancy.tenant import TenantRegistry

_LOOKS_EVERY_SECONDS = 2.0
_REQUESTED_WITHIN = timedelta(minutes=10)
"""A planner at work requests a due day within this time, or writes why not; none is waited for that is due longer."""


def backfill_stale(
    tenant: str | None, pipeline: str | None, *, newest_first: bool, only_plan: bool, yes: bool, as_json: bool
) -> NoReturn:
    """Make the stale days of these tenants again, after their estimate. Started again, it goes on with what is stale
    still. Raises `typer.Exit`: with 1 where a day was not published."""
    settings = replace(Settings.from_env(), only_tenants=None)
    store = ControlStore.open(settings)
    chosen = chosen_tenants(load_tenants(settings), [tenant] if tenant else None)
    if tenant and pipeline:
        pipeline_of(chosen[0], pipeline)
    planned = [
        one
        for each in chosen
        for one in stale_pipelines(each, stale_days(store, each))
        if pipeline in (None, one.pipeline.name)
    ]
    _print_plan(planned, _bytes_a_day(settings, planned), as_json=as_json)
    if not planned or only_plan:
        raise typer.Exit(0)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise typer.BadParameter("nothing is made unless --yes says so; --plan shows what would be")
        if not typer.confirm("Make these days again?", default=True):
            raise typer.Exit(1)
    definitions, missing = Definitions(settings), 0
    with open_instance(settings) as instance, progress_bar(as_json) as progress:
        for one in planned:
            name = f"{one.tenant.tenant_id} {one.pipeline.name}"
            task = progress.add_task(name, total=len(one.days))
            wait = Turn(store, one.tenant, partial(_tell, progress, task, name))
            runs = DayRuns(definitions, instance, one.tenant, one.pipeline, {REMAKES_TAG: "stale"}, wait.take)
            missing += len(runs.run(one.days, progress, task, as_json, newest_first=newest_first))
    if not as_json:
        published = sum(len(one.days) for one in planned) - missing
        end = f"; {missing} days are not. Next: read the reasons above, then give the same command again"
        typer.echo(f"{published} days are made again" + (end if missing else ""))
    raise typer.Exit(1 if missing else 0)


def chosen_tenants(registry: "TenantRegistry", names: Sequence[str] | None) -> list[Tenant]:
    """The enabled tenants, or those that are named."""
    if names:
        return [running_tenant_of(registry, name) for name in names]
    return [tenant for tenant in registry.tenants.values() if tenant.enabled]


@dataclass(frozen=True)
class Turn:
    """Lets what is due of a tenant go first, within the runs that its plan allows at once; days of the pipeline
    `not_of` are not waited for."""

    store: ControlStore
    tenant: Tenant
    tell: Callable[[str], None]
    not_of: str | None = None

    def take(self) -> None:
        """Return when a run may begin; `tell` gets what is waited for."""
        while why := self._blocked():
            self.tell(why)
            time.sleep(_LOOKS_EVERY_SECONDS)
        self.tell("")

    def _blocked(self) -> str:
        from convergence_assets.control.locks import Locks

        now = self.store.now()
        with self.store.read() as connection:
            rows = all_outstanding(connection, self.tenant.tenant_id)
            running = {lock.run_id for lock in Locks(self.store).living(connection, self.tenant.tenant_id)}
        allowed = self.tenant.plan.max_concurrent_runs
        if len(running) >= allowed:
            return f"waits: the plan allows {allowed} runs at once"
        due = [
            r for r in rows
            if r.state == "due" and r.wake_at and now - _REQUESTED_WITHIN <= r.wake_at <= now
            and r.pipeline != self.not_of
        ]  # fmt: skip
        return f"waits for {len(due)} due days" if due else ""


def _tell(progress: Progress, task: TaskID, name: str, why: str) -> None:
    progress.update(task, description=f"{name} {why}".rstrip())


def _bytes_a_day(settings: Settings, planned: Sequence[StalePipeline]) -> dict[tuple[str, str], int]:
    """What each pipeline reads for a day, by tenant and pipeline, where the warehouse counts."""
    from convergence_assets.assets.dry_run import dry_run

    if settings.warehouse != "bigquery" or not planned:
        return {}
    tenants = list({one.tenant.tenant_id: one.tenant for one in planned}.values())
    by_pipeline: dict[tuple[str, str], int] = {}
    for estimate in dry_run(tenants, settings, now=datetime.now(UTC), progress=lambda: None):
        if estimate.bytes_processed is not None:
            name = (estimate.tenant_id, estimate.pipeline)
            by_pipeline[name] = by_pipeline.get(name, 0) + estimate.bytes_processed
    return by_pipeline


def _print_plan(planned: Sequence[StalePipeline], bytes_a_day: dict[tuple[str, str], int], *, as_json: bool) -> None:
    rows: list[dict[str, Any]] = []
    for one in planned:
        read = bytes_a_day.get((one.tenant.tenant_id, one.pipeline.name))
        rows.append(
            {
                "tenant": one.tenant.tenant_id, "pipeline": one.pipeline.name, "first": str(one.days[0]),
                "last": str(one.days[-1]), "days": len(one.days), "rows": one.rows,
                "bytes": None if read is None else read * len(one.days),
            }
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps({"plan": rows}))
        return
    if not rows:
        typer.echo("no published day is older than its definition")
        return
    table = Table("tenant", "pipeline", "first", "last")
    for name in ("days", "rows", "bytes"):
        table.add_column(name, justify="right")
    for row in rows:
        numbers = ("not counted" if row[name] is None else f"{row[name]:,}" for name in ("days", "rows", "bytes"))
        table.add_row(row["tenant"], row["pipeline"], row["first"], row["last"], *numbers)
    print_table(table, Console(highlight=False))
