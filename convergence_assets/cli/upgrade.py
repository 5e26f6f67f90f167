"""`convergence upgrade`: a new version of a table beside the one that is read, which it then replaces."""

import getpass
import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from convergence_assets.assets.structure import NOT_EMPTY
from convergence_assets.assets.tags import REMAKES_TAG
from convergence_assets.assets.window import days_of
from convergence_assets.cli.backfill_stale import Turn, chosen_tenants
from convergence_assets.cli.day_runs import progress_bar
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.run import Definitions
from convergence_assets.cli.tables import print_table, prose
from convergence_assets.pipelines.problems import nearest
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_tenants

if TYPE_CHECKING:
    import dagster as dg

    from convergence_assets.tenancy.tenant import Tenant, TenantPipeline
    from convergence_assets.tenant_lifecycle.missing_inputs import RunOutcome
    from convergence_assets.tenant_lifecycle.table_versions import TableVersion
    from convergence_assets.tenant_lifecycle.upgrading import Upgrade


def upgrade(
    tenant: Annotated[str | None, typer.Argument(help="Tenant id; absent: all")] = None,
    only_plan: Annotated[bool, typer.Option("--plan", help="Show which tables need it, and change nothing")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Build the declared versions, and switch to them")] = False,
    rollback: Annotated[bool, typer.Option("--rollback", help="Switch a table back to the version before")] = False,
    drop_former: Annotated[
        bool, typer.Option("--drop-former", help="Drop a table's versions that are kept and not read")
    ] = False,
    table: Annotated[str | None, typer.Option(help="The table of --rollback or --drop-former")] = None,
    accept_changes: Annotated[
        list[str] | None,
        typer.Option(
            help="Changes of figures that are right, TABLE=DIGEST as --apply shows it, or a TABLE whose days may be "
            "lost as --rollback and --drop-former show them; may be said several times"
        ),
    ] = None,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="On BigQuery: the table may be absent for some seconds")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a table")] = False,
) -> None:
    """Upgrade tables whose step declares a higher `version` than the one that is read.

    The declared version is built beside the other one, by the checks of a run, and takes its place where rows and
    amounts of every day agree: a reader sees the one or the other, whole. The former one is kept as `<table>__v1`,
    until --drop-former. Started again, it goes on. Exit code 1 where a table was not upgraded.

    --drop-former refuses a version that has rows of days that are not published now.

    Example: convergence upgrade acme --plan
    """
    if only_plan + apply + rollback + drop_former != 1:
        raise typer.BadParameter("say one of --plan, --apply, --rollback and --drop-former")
    if (rollback or drop_former) and (tenant is None or table is None):
        raise typer.BadParameter("--rollback and --drop-former are of one table; name it: TENANT --table TABLE")
    if table is not None and not (rollback or drop_former):
        raise typer.BadParameter("--table is for --rollback and --drop-former")
    settings = replace(Settings.from_env(), only_tenants=None)
    chosen = chosen_tenants(load_tenants(settings), [tenant] if tenant else None)
    _refuse_unknown_tables(chosen, [one.partition("=")[0] for one in accept_changes or ()], "--accept-changes")
    _refuse_unknown_tables(chosen, [table] if table else (), "--table")
    failed = False
    for one in chosen:
        with _opened(settings, one, accept_changes or (), accept_gap=accept_gap, as_json=as_json) as (work, versions):
            found = [v for v in versions if v.step.table == table or (table is None and v.needs_upgrade)]
            if only_plan or (apply and not as_json):
                _print_plan(settings, work, found, as_json=as_json)
            if only_plan:
                failed = failed or any(v.problem for v in found)
                continue
            for version in found:
                if not _done(work, version, rollback=rollback, drop_former=drop_former, as_json=as_json):
                    failed = True
                    break  # what reads this table is made of its new columns
    raise typer.Exit(1 if failed else 0)


def _refuse_unknown_tables(chosen: "Sequence[Tenant]", names: Sequence[str], option: str) -> None:
    known = {step.table for tenant in chosen for pipeline in tenant.pipelines for step in pipeline.steps}
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise typer.BadParameter(
                f"no step makes a table {name!r}{f'; did you mean {near!r}?' if near else ''}",
                param_hint=option,
            )


@contextmanager
def _opened(
    settings: Settings, tenant: "Tenant", accepted: Sequence[str], *, accept_gap: bool, as_json: bool
) -> "Iterator[tuple[Upgrade, list[TableVersion]]]":
    from convergence_assets.assets.publish_guard import outcome_of
    from convergence_assets.assets.warehouse_factory import open_warehouse
    from convergence_assets.control.lock_session import holding
    from convergence_assets.tenant_lifecycle.table_versions import table_versions
    from convergence_assets.tenant_lifecycle.upgrading import Upgrade

    session = holding(settings)

    def turn(pipeline: str) -> None:
        told: set[str] = set()

        def tell(why: str) -> None:
            if why and why not in told and not as_json:
                told.add(why)
                typer.echo(f"{tenant.tenant_id} {pipeline}: {why}", err=True)

        Turn(session.store, tenant, tell, not_of=pipeline).take()

    with (
        open_instance(settings) as instance,
        open_warehouse(settings, tenant.location, service_account=tenant.service_account) as warehouse,
    ):
        loaded: list[Definitions] = []

        def run(pipeline: "TenantPipeline", tables: Collection[str], first: date, last: date) -> "RunOutcome":
            if not loaded:
                loaded.append(Definitions(replace(settings, only_tenants=frozenset({tenant.tenant_id}))))
            return _run(loaded[0], instance, tenant, pipeline, tables, first, last)

        ended = lambda run_id: outcome_of(instance, run_id) is not None  # noqa: E731
        work = Upgrade(
            settings, warehouse, session, tenant, ended, getpass.getuser(), run, turn, tuple(accepted), accept_gap
        )
        yield work, list(table_versions(session.store, warehouse, tenant))


def _run(
    definitions: Definitions, instance: "dg.DagsterInstance", tenant: "Tenant", pipeline: "TenantPipeline",
    tables: Collection[str], first: date, last: date,
) -> "RunOutcome":  # fmt: skip
    """Run some tables, beside the daily and monthly runs of the plan."""
    from convergence_assets.tenant_lifecycle.missing_inputs import RunOutcome

    result = definitions.run(
        instance, tenant, pipeline, first, last, "backfill", tables=tables, tags={REMAKES_TAG: "upgrade"}
    )
    stopped: dict[tuple[str, date], list[str]] = {}
    for check in result.checks:
        if check.severity == "critical" and not check.passed:
            for day in check.partitions or map(str, days_of(first, last)):
                stopped.setdefault((check.table, date.fromisoformat(day)), []).append(check.name)
    published = {name: set(map(date.fromisoformat, days)) for name, days in result.published.items()}
    for check in result.checks:  # also of a table that may be empty, where the day has rows and its source has none
        for empty in map(date.fromisoformat, check.partitions):
            if check.name == NOT_EMPTY and empty not in published.get(check.table, ()):
                stopped.setdefault((check.table, empty), [NOT_EMPTY])
    return RunOutcome(published, stopped, result.failure)


def _done(work: "Upgrade", version: "TableVersion", *, rollback: bool, drop_former: bool, as_json: bool) -> bool:
    """Do it for one table and print what was done; False where it was not."""
    from convergence_assets.control.errors import ControlError
    from convergence_assets.control.locks import LockLost, Refused
    from convergence_assets.tenant_lifecycle.rolling_back import drop_former as drop
    from convergence_assets.tenant_lifecycle.rolling_back import roll_back
    from convergence_assets.tenant_lifecycle.table_versions import NotUpgraded
    from convergence_assets.warehouse.errors import WarehouseError

    name, outcome = f"{version.tenant.tenant_id} {version.step.table}", None
    work.notes.clear()
    try:
        if rollback:
            outcome = roll_back(work, version)
        elif drop_former:
            outcome = f"dropped {', '.join(dropped)}" if (dropped := drop(work, version)) else None
        else:
            with progress_bar(as_json) as progress:
                task = progress.add_task(name, total=len(version.published))
                outcome = work.apply(version, lambda days: progress.advance(task, days))
    except WarehouseError as error:
        typer.echo(f"error: {version.name}: {error}. Next: {error.remedy}", err=True)
    except (NotUpgraded, Refused, LockLost, ControlError) as error:
        typer.echo("\n".join([*work.notes, f"error: {error}"]), err=True)
    else:
        if outcome and as_json:
            fields = {"tenant": version.tenant.tenant_id, "table": version.step.table, "outcome": outcome}
            typer.echo(json.dumps(fields | {"notes": work.notes}))
        elif outcome:
            typer.echo("\n".join([f"{name}: {outcome}", *work.notes]))
        return True
    return False


def _print_plan(settings: Settings, work: "Upgrade", found: "Sequence[TableVersion]", *, as_json: bool) -> None:
    from convergence_assets.assets.dry_run import dry_run
    from convergence_assets.tenant_lifecycle.missing_inputs import MissingInputs, missing_inputs
    from convergence_assets.tenant_lifecycle.upgrading import GAP

    bytes_a_day: dict[str, int | None] = {}
    if settings.warehouse == "bigquery" and found:
        estimates = dry_run([work.tenant], settings, now=datetime.now(UTC), progress=lambda: None)
        bytes_a_day = {one.table: one.bytes_processed for one in estimates}
    table = Table("tenant", "table", "versions", "days", "to make", "rows", "bytes", prose("notes"))
    for one in found:
        notes = [] if one.problem is None else [one.problem]
        if work.warehouse.engine == "bigquery" and one.leaves_a_gap and not one.problem:
            notes.append(f"{GAP}: --accept-gap")
        inputs = MissingInputs()
        if one.schema is not None and not one.problem:
            inputs = missing_inputs(work.session.store, work.warehouse, one)
        if inputs.days:
            notes.append(f"first makes {inputs}, which it reads, or which read those; --rollback does not undo that")
        copied = sum(day in one.unbuildable for day in one.missing)
        if copied:
            notes.append(f"{copied} days can be copied alone: before start_date, or past their expiration")
        readers = [s.table for p in one.tenant.pipelines for s in p.steps if one.step.table in s.upstream]
        if readers and not one.problem:
            notes.append(f"its days are made again in what reads it: {', '.join(readers)}")
        rows = sum(published.rows for published in one.published.values())
        makes_first = {name: len(days) for name, days in (inputs.needed | inputs.besides).items()}
        to_make = makes_first | {one.step.table: len(one.missing)}
        read = [a_day * days for name, days in to_make.items() if (a_day := bytes_a_day.get(name)) is not None]
        fields = {
            "tenant": one.tenant.tenant_id, "table": one.step.table, "from": one.read, "to": one.declared,
            "days": len(one.published), "to_make": len(one.missing), "rows": rows,
            "makes_first": makes_first,
            "bytes": sum(read) if len(read) == len(to_make) else None,
            "problem": one.problem, "notes": notes,
        }  # fmt: skip
        if as_json:
            typer.echo(json.dumps(fields))
            continue
        counted = "not counted" if fields["bytes"] is None else f"{fields['bytes']:,}"
        numbers = (f"{fields[name]:,}" for name in ("days", "to_make", "rows"))
        table.add_row(
            one.tenant.tenant_id, one.step.table, f"{one.read} -> {one.declared}", *numbers, counted, "; ".join(notes)
        )
    if found and not as_json:
        print_table(table)
