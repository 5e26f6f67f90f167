"""`convergence restore`: put a published partition back to what it was."""

import getpass
import json
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.datetimes import moment
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import running_tenant_of
from convergence_assets.cli.run import Definitions, RunResult, finished_days_between, print_result
from convergence_assets.pipelines.problems import listing, nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import NotKept, UpgradeNotEnded, VersionMismatch, WarehouseError

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.recovery.restoring import Restored
    from convergence_assets.warehouse.interface import Staged


def restore(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    table: Annotated[str, typer.Argument(help="A table that one of the tenant's pipelines makes")],
    partition: Annotated[str, typer.Argument(help="The day, e.g. 2026-10-01")],
    as_of: Annotated[str, typer.Option(help="When it was right: a moment in UTC, or how long ago: 2h, 3d")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; needs --yes")] = False,
) -> None:
    """Put a published partition back to what it was at a moment, in one atomic step, after showing what that means.

    It is a publication like any other: what reads the table is made of it again, in the same pipeline at once and in
    others by the planner. The restored rows stay until the day is run again: by you, or because its sources say that
    it has changed; `convergence pause` keeps even those away. Checks are not judged anew.

    BigQuery keeps 7 days (or what the dataset is set to). The embedded warehouse keeps nothing: run the day again
    with the files or SQL that were right. A moment before the table was switched to its version (`convergence
    upgrade`) is refused. Exit code 1 where it could not be done, or what reads it could not be made.

    Example: convergence restore acme gcp_cost_daily 2026-10-01 --as-of 2026-10-03T06:00
    """
    from convergence_assets.assets.publish_guard import outcome_of
    from convergence_assets.control.lock_session import holding, release_run
    from convergence_assets.control.locks import LockLost, Refused
    from convergence_assets.recovery.restoring import AtWork, Restored

    if as_json and not yes:
        raise typer.BadParameter("--json asks nobody; say --yes too")
    settings = replace(Settings.from_env(), only_tenants=frozenset({tenant}))
    chosen = running_tenant_of(load_for_a_run(settings), tenant)
    pipeline, step = _step(chosen, table)
    day, _ = finished_days_between(chosen, pipeline, partition, partition)
    restoring = Restored(chosen, pipeline, step, day, moment(as_of, datetime.now(UTC), "--as-of"), str(uuid.uuid4()))
    with (
        open_instance(settings) as instance,
        open_warehouse(settings, chosen.location, service_account=chosen.service_account) as warehouse,
    ):
        try:
            staged, rows_now = restoring.staged(warehouse, holding(settings).store)
        except NotKept as error:
            command = f"convergence run {tenant} {pipeline.name} --partition {day}"
            typer.echo(f"error: {error}. Next: name a moment of which rows are kept, or {command}", err=True)
            raise typer.Exit(1) from None
        except (VersionMismatch, UpgradeNotEnded) as error:
            raise _refused(error) from None
        try:
            if not as_json:
                for line in _plan(restoring, staged, rows_now):
                    typer.echo(line)
            if not yes:
                typer.confirm("Restore it?", abort=True)
            lock = holding(settings)
            restoring.publish(
                warehouse,
                staged,
                rows_now,
                lock,
                lambda run_id: outcome_of(instance, run_id) is not None,
                getpass.getuser(),
            )
            result = _run_readers(settings, instance, restoring)
            if result and not result.succeeded:
                restoring.leave_alone(lock)
        except typer.Abort:
            warehouse.discard(staged)
            raise
        except (Refused, LockLost, AtWork) as error:
            warehouse.discard(staged)
            typer.echo(f"error: {error}. Nothing was restored", err=True)
            raise typer.Exit(1) from None
        except (VersionMismatch, UpgradeNotEnded, NotKept) as error:
            warehouse.discard(staged)
            raise _refused(error) from None
        finally:
            release_run(settings, restoring.run_id)
    if as_json:
        typer.echo(json.dumps(_as_json(restoring, staged, rows_now, result)))
    else:
        _print_restored(restoring, staged, result)
    raise typer.Exit(1 if result and not result.succeeded else 0)


def _refused(error: WarehouseError) -> typer.Exit:
    typer.echo(f"error: {error}. Nothing was restored. Next: {error.remedy}", err=True)
    return typer.Exit(1)


def _step(tenant: Tenant, table: str) -> tuple[TenantPipeline, Step]:
    by_table = {step.table: (pipeline, step) for pipeline in tenant.pipelines for step in pipeline.steps}
    if table not in by_table:
        near = nearest(table, by_table)
        hint = f"did you mean {near!r}?" if near else f"expected {listing(by_table)}"
        raise typer.BadParameter(f"no pipeline of tenant {tenant.tenant_id} makes a table {table!r}; {hint}")
    return by_table[table]


def _run_readers(settings: Settings, instance: "dg.DagsterInstance", restoring: "Restored") -> RunResult | None:
    """The tables of the pipeline that read it, run under the lock that the restore holds; None where there are none."""
    if not restoring.readers:
        return None
    definitions = Definitions(settings)
    days: tuple[date, date] = (restoring.day, restoring.day)
    return definitions.run(
        instance, restoring.tenant, restoring.pipeline, *days, tables=restoring.readers, run_id=restoring.run_id
    )


def _plan(restoring: "Restored", staged: "Staged", rows_now: int) -> list[str]:
    lines = [
        f"tenant {restoring.tenant.tenant_id}, table {staged.target}, partition {restoring.day}",
        f"  rows now: {rows_now:,}",
        f"  rows at {restoring.as_of:%Y-%m-%dT%H:%M:%SZ}: {staged.rows:,}"
        + ("" if staged.rows else " (the partition is emptied)"),
    ]
    if restoring.readers:
        lines.append(f"  then made anew of it: {', '.join(restoring.readers)}")
    others = sorted(
        f"{pipeline.name}/{step.table}"
        for pipeline in restoring.tenant.pipelines
        for step in pipeline.steps
        if pipeline.name != restoring.pipeline.name
        and {restoring.step.table, *restoring.readers}.intersection(step.upstream)
    )
    if others:
        lines.append(f"  requested again by the planner: {', '.join(others)}")
    return lines


def _print_restored(restoring: "Restored", staged: "Staged", result: RunResult | None) -> None:
    typer.echo(f"restored: {staged.rows:,} rows, as run {restoring.run_id}")
    if result is None:
        return
    print_result(result)
    if not result.succeeded:
        typer.echo(
            f"{restoring.step.table} is restored and what reads it is not; the planner leaves the day alone. Next: "
            f"convergence schedule {restoring.tenant.tenant_id}, which says why",
            err=True,
        )


def _as_json(restoring: "Restored", staged: "Staged", rows_now: int, result: RunResult | None) -> dict[str, object]:
    return {
        "tenant": restoring.tenant.tenant_id,
        "table": restoring.step.table,
        "partition": str(restoring.day),
        "as_of": restoring.as_of.isoformat(),
        "run_id": restoring.run_id,
        "rows_before": rows_now,
        "rows_restored": staged.rows,
        "made_anew": {name: sum(days.values()) for name, days in result.published.items()} if result else {},
        "failure": result.failure if result else None,
    }
