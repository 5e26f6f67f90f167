"""`convergence demo`: a month of bills for the demo tenants, their pipelines run on it, and what came out."""

import json
import os
import shutil
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from convergence_assets.assets.schema_mapping import file_rules, source_schema
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.cli.demo_costs import as_json as costs_as_json
from convergence_assets.cli.demo_costs import focus_costs, print_costs
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_of
from convergence_assets.cli.run import Definitions, RunResult
from convergence_assets.cli.tables import print_table
from convergence_assets.settings import Settings, SettingsError
from convergence_assets.starter import write_project
from convergence_assets.tenancy.registry import load_tenants
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline, TenantRegistry
from convergence_assets.warehouse.interface import Job, SourceFile
from convergence_assets.warehouse.schema import Query, TableRef

if TYPE_CHECKING:
    import dagster as dg

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
# Rows exported up to this day are loaded first; what the provider corrects later arrives in a second load.
FIRST_LOAD_UNTIL = date(2026, 10, 11)
CORRECTED_DAY = date(2026, 10, 9)
BAD_TENANT, BAD_DAY, BAD_DAY_FAULT = "globex", date(2026, 10, 6), "duplicated_export_rows"
PIPELINE = "gcp_billing"
_LEDGER_SECONDS = 60.0


@dataclass
class TenantResult:
    """What the demo shows of one tenant."""

    tenant: Tenant
    runs: list[RunResult] = field(default_factory=list)
    before: str | None = None
    after: str | None = None

    def checks(self) -> dict[str, int]:
        """How many check results passed, warned and failed over the tenant's runs."""
        counts = {"passed": 0, "warned": 0, "failed": 0}
        for check in (c for run in self.runs for c in run.checks):
            counts["passed" if check.passed else "failed" if check.severity == "critical" else "warned"] += 1
        return counts

    def published(self) -> dict[str, dict[str, int]]:
        """Rows by table and partition, the last run's where several wrote one."""
        rows: dict[str, dict[str, int]] = {}
        for run in self.runs:
            for table, partitions in run.published.items():
                rows.setdefault(table, {}).update(partitions)
        return rows

    def stopped(self) -> list[dict[str, Any]]:
        """Each stopped partition with its table and the critical checks that stopped it."""
        failed = [c for run in self.runs for c in run.checks if not c.passed and c.severity == "critical"]
        checks_by_partition: dict[tuple[str, str], list[str]] = {}
        for check in failed:
            for day in check.partitions:
                names = checks_by_partition.setdefault((day, check.table), [])
                if check.name not in names:
                    names.append(check.name)
        return [{"partition": d, "table": t, "checks": names} for (d, t), names in sorted(checks_by_partition.items())]


def demo(
    days: Annotated[int, typer.Option(min=7, max=28, help="Days materialised for each tenant")] = 10,
    rows_per_day: Annotated[int, typer.Option(min=100, help="Bill rows a tenant and day, about")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, other bills")] = 7,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object")] = False,
) -> None:
    """Generate a month of GCP bills, run the demo tenants' pipelines, and show what was published and why not.

    In a folder without tenants it writes those of the demo first, with dagster.yaml and workspace.yaml.

    CONVERGENCE_TENANTS=examples/one_billing_account has two that share one billing account (`make demo-shared`).

    Example: convergence demo --days 14
    """
    settings = Settings.from_env()
    if settings.warehouse != "embedded":
        raise SettingsError(
            "the demo writes made-up bills and runs on the embedded warehouse alone: unset GCP_PROJECT_ID"
        )
    if not os.environ.get("CONVERGENCE_TENANTS") and not Path(settings.tenants).exists():
        written = write_project(Path.cwd())
        typer.echo(f"made {', '.join(written)} here: the demo's tenants, and how Dagster runs them", err=True)
    registry = load_tenants(settings)
    console = Console(stderr=as_json, highlight=False, soft_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<42}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        exports = _generate_exports(settings, registry, seed, rows_per_day, progress)
        _load_exports(settings, registry, exports, progress, until=FIRST_LOAD_UNTIL)
        results = _run_pipelines(settings, registry, days, exports, progress)
    if as_json:
        typer.echo(json.dumps([_as_json(settings, result) for result in results]))
        return
    _print_results(console, settings, results)


def _generate_exports(
    settings: Settings, registry: TenantRegistry, seed: int, rows_per_day: int, progress: Progress
) -> dict[str, list[Path]]:
    from convergence_assets.demo.bills import generate_bills
    from convergence_assets.demo.faults import FAULTS
    from convergence_assets.demo.licences import generate_licences
    from convergence_assets.demo.tenants import DEMO_TENANTS, SHARED_ACCOUNT, SHARED_BY

    folder = settings.home / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    of_one = {account.tenant_id: account for account in DEMO_TENANTS}
    of_several = dict.fromkeys(SHARED_BY, SHARED_ACCOUNT)
    accounts = {name: account for name, account in (of_one | of_several).items() if name in registry.tenants}
    if not accounts:
        raise SettingsError(f"{settings.tenants} has none of the demo's tenants; `convergence validate` says why")
    bar = progress.add_task("bills of a month", total=len(set(accounts.values())) * ((LAST - FIRST).days + 1))
    written: dict[str, list[Path]] = {}
    for account in dict.fromkeys(accounts.values()):
        files = written[account.tenant_id] = generate_bills(
            folder / "exports", account, FIRST, LAST, seed=seed, rows_per_day=rows_per_day,
            progress=lambda: progress.advance(bar),
        )  # fmt: skip
        if account.tenant_id == BAD_TENANT:
            fault = next(f for f in FAULTS if f.name == BAD_DAY_FAULT)
            fault.apply(files, account, BAD_DAY)
    if "initech" in accounts:
        generate_licences(settings.landing / "initech" / "licences", FIRST, LAST, seed=seed)
    return {name: written[account.tenant_id] for name, account in accounts.items()}


def _load_exports(
    settings: Settings, registry: TenantRegistry, exports: dict[str, list[Path]], progress: Progress, *, until: date
) -> None:
    by_files = {tuple(files): tenant_id for tenant_id, files in exports.items()}  # an account of several is loaded once
    bar = progress.add_task(f"exports up to {until} loaded", total=len(by_files))
    for files, tenant_id in by_files.items():
        source = next(
            source
            for step in pipeline_of(registry.tenants[tenant_id], PIPELINE).steps
            for source in step.sources.values()
        )
        chosen = [SourceFile(str(f), "jsonl") for f in files if date.fromisoformat(f.stem) <= until]
        with open_warehouse(settings) as warehouse:
            table = TableRef.parse(source.tables[0])
            job = Job(f"demo-{tenant_id}-{until}")
            warehouse.load_files(table, source_schema(source.spec), chosen, job, file_rules(source.spec.columns))
        progress.advance(bar)


def _run_pipelines(
    settings: Settings, registry: TenantRegistry, days: int, exports: dict[str, list[Path]], progress: Progress
) -> list[TenantResult]:
    last = FIRST + timedelta(days=days - 1)
    tenants = [registry.tenants[tenant_id] for tenant_id in exports]
    bar = progress.add_task("loading Dagster", total=len(tenants) + 1)
    results = [TenantResult(tenant) for tenant in tenants]
    from convergence_assets.monitoring.monitor import Monitor

    with open_instance(settings) as instance:
        definitions = Definitions(settings)
        progress.advance(bar)
        for result in results:
            progress.update(bar, description=f"{result.tenant.tenant_id}: {FIRST} to {last}")
            for pipeline in result.tenant.pipelines:
                result.runs += _published_range(definitions, instance, result.tenant, pipeline, FIRST, last)
            progress.advance(bar)
        _load_exports(settings, registry, exports, progress, until=LAST + timedelta(days=30))
        bar = progress.add_task(f"late corrections of {CORRECTED_DAY}", total=len(results))
        for result in results:
            result.before = _net(settings, result.tenant, CORRECTED_DAY)
            for pipeline in result.tenant.pipelines:
                result.runs.append(definitions.run(instance, result.tenant, pipeline, CORRECTED_DAY, CORRECTED_DAY))
            result.after = _net(settings, result.tenant, CORRECTED_DAY)
            progress.advance(bar)
        bar = progress.add_task("run ledger", total=1)
        Monitor.of(registry, settings).follow(instance, _LEDGER_SECONDS)
        progress.advance(bar)
    return results


def _published_range(
    definitions: Definitions, instance: "dg.DagsterInstance", tenant: Tenant, pipeline: TenantPipeline, first: date,
    last: date,
) -> list[RunResult]:  # fmt: skip
    """Run the range; where a day was stopped, run the stretches around it so that their downstream tables follow."""
    runs = [definitions.run(instance, tenant, pipeline, first, last)]
    if runs[0].succeeded:
        return runs
    stopped = {day for c in runs[0].checks if not c.passed and c.severity == "critical" for day in c.partitions}
    stretch: list[date] = []
    for offset in range((last - first).days + 2):
        day = first + timedelta(days=offset)
        if day <= last and day.isoformat() not in stopped:
            stretch.append(day)
        elif stretch and stopped:
            runs.append(definitions.run(instance, tenant, pipeline, stretch[0], stretch[-1]))
            stretch = []
    return runs


def _net(settings: Settings, tenant: Tenant, day: date | None = None) -> str | None:
    table = TableRef(tenant.dataset, "gcp_cost_daily", tenant.project).quoted
    where = "usage_date = @day" if day else "usage_date >= @day"
    sql = f"SELECT SUM(net_cost) AS net, MIN(currency) AS currency FROM {table} WHERE {where}"
    with open_warehouse(settings) as warehouse:
        row = warehouse.read(Query(sql, {"day": day or FIRST}), Job("demo-net")).to_pylist()[0]
    return None if row["net"] is None else f"{row['net']:,.2f} {row['currency']}"


def _as_json(settings: Settings, result: TenantResult) -> dict[str, Any]:
    return {
        "tenant": result.tenant.tenant_id,
        "published": result.published(),
        "net_cost": _net(settings, result.tenant),
        **costs_as_json(focus_costs(settings, result.tenant, FIRST)),
        "checks": result.checks(),
        "stopped": result.stopped(),
        "late_correction": {"day": CORRECTED_DAY.isoformat(), "before": result.before, "after": result.after},
        "failures": [run.failure for run in result.runs if run.failure],
    }


def _print_results(console: Console, settings: Settings, results: list[TenantResult]) -> None:
    table = Table(title="Published", title_justify="left")
    for name in ("tenant", "table"):
        table.add_column(name, no_wrap=True)
    for name in ("days", "rows", "net cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        for n, (name, partitions) in enumerate(result.published().items()):
            net = (_net(settings, result.tenant) or "") if name == "gcp_cost_daily" else ""
            tenant = f"{result.tenant.tenant_id} ({result.tenant.timezone})" if n == 0 else ""
            table.add_row(tenant, name, str(len(partitions)), f"{sum(partitions.values()):,}", net)
        table.add_section()
    print_table(table, console)
    print_costs(console, {r.tenant.tenant_id: focus_costs(settings, r.tenant, FIRST) for r in results})
    for result in results:
        counts = result.checks()
        failed = f"[red]{counts['failed']} failed[/red]" if counts["failed"] else "0 failed"
        console.print(
            f"checks    {result.tenant.tenant_id}: {counts['passed']} passed, {counts['warned']} warned, {failed}"
        )
    for result in results:
        for stop in result.stopped():
            console.print(
                f"[red]stopped[/red]   {result.tenant.tenant_id} {stop['table']} {stop['partition']}: "
                f"{', '.join(stop['checks'])} (critical; nothing of that day was published)"
            )
        if result.before != result.after:
            console.print(
                f"[cyan]corrected[/cyan] {result.tenant.tenant_id} {CORRECTED_DAY}: net {result.before} became "
                f"{result.after} when the provider's late rows were loaded and the day was run again"
            )
    dataset = results[0].tenant.dataset
    example = f"SELECT usage_date, SUM(net_cost) AS net FROM {dataset}.gcp_cost_daily GROUP BY 1 ORDER BY 1"
    stopped = any(result.tenant.tenant_id == BAD_TENANT for result in results)
    command = f"[bold].venv/bin/convergence day[/bold] {BAD_TENANT} {PIPELINE} {BAD_DAY}"
    became = f"What became of a day: {command}\n" if stopped else ""
    console.print(
        "\nLook at a table:  [bold].venv/bin/convergence query[/bold] "
        f"'{example}'\n"
        f"{became}"
        "Open the UI:      [bold]make ui[/bold], then http://127.0.0.1:3000"
    )
