"""`convergence run`: materialise a tenant's pipeline for a day or a range of days, in this process."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from convergence_assets.assets.window import days_of
from convergence_assets.cli.instance import open_instance
from convergence_assets.cli.lookup import pipeline_of, running_tenant_of
from convergence_assets.cli.tables import print_table
from convergence_assets.local_days import why_unfinished
from convergence_assets.redaction import redacted
from convergence_assets.settings import Settings
from convergence_assets.tenancy.registry import load_for_a_run, load_tenants
from convergence_assets.tenancy.tenant import Tenant, TenantPipeline, TenantRegistry

if TYPE_CHECKING:
    import dagster as dg


@dataclass(frozen=True)
class Check:
    """One check's result in a run; `partitions` are those it failed for (empty: all, or passed), `examples` up to
    twenty unexpected values or rows, masked where they must be."""

    table: str
    name: str
    severity: str
    passed: bool
    partitions: tuple[str, ...]
    unexpected_count: int | None = None
    examples: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class RunResult:
    """What a run did: rows published by table and partition, every check, the failure's sentence if it failed."""

    run_id: str
    succeeded: bool
    published: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    failure: str | None


def run(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="Pipeline name")],
    partition: Annotated[str | None, typer.Option(help="One day, e.g. 2026-10-01")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day of a range")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day of a range")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as one JSON object")] = False,
) -> None:
    """Materialise a pipeline for a day or a range; exit code 1 if a partition was not published.

    Example: convergence run acme gcp_billing --partition 2026-10-01
    """
    from convergence_assets.control.store import ControlStore

    settings = replace(Settings.from_env(), only_tenants=frozenset({tenant}))
    ControlStore.open(settings)  # fails before anything is loaded: a run needs the store
    chosen = running_tenant_of(load_for_a_run(settings), tenant)
    chosen_pipeline = pipeline_of(chosen, pipeline)
    days = _days(chosen, chosen_pipeline, partition, first, last)
    definitions = Definitions(settings)
    with open_instance(settings) as instance:
        result = definitions.run(instance, chosen, chosen_pipeline, *days)
    if as_json:
        import json
        from dataclasses import asdict

        typer.echo(json.dumps(asdict(result)))
    else:
        print_result(result)
    raise typer.Exit(0 if result.succeeded else 1)


class Definitions:
    """The code location, loaded once for any number of runs in this process; of `registry` where it is given."""

    def __init__(self, settings: Settings, registry: TenantRegistry | None = None) -> None:
        import dagster as dg

        from convergence_assets.assets.factory import build_assets

        assets, self._faulty = build_assets(registry or load_tenants(settings), settings)
        self._settings = settings
        self._job = dg.Definitions(
            assets=assets, executor=dg.in_process_executor
        ).resolve_implicit_global_asset_job_def()

    def run(
        self,
        instance: "dg.DagsterInstance",
        tenant: Tenant,
        pipeline: TenantPipeline,
        first: date,
        last: date,
        trigger: str = "manual",
        *,
        tables: Collection[str] | None = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> RunResult:
        """Materialise every table of the pipeline, or those among `tables`, for [first, last] in one run, which holds
        its lock to the end; one that `run_id` holds already is taken over. `tags` are given to the run besides."""
        from convergence_assets.assets.factory import asset_key
        from convergence_assets.assets.tags import TERMINAL, TRIGGERED_BY_TAG, partition_key, run_tags
        from convergence_assets.control.lock_session import release_run

        if problem := self._faulty.get(tenant.tenant_id):
            raise typer.BadParameter(problem.render())
        own_tags = run_tags(tenant.tenant_id, pipeline.name, first, last, trigger) | {TRIGGERED_BY_TAG: TERMINAL}
        run_id = run_id or str(uuid.uuid4())
        keys = [asset_key(tenant, pipeline, s.table) for s in pipeline.steps if tables is None or s.table in tables]
        try:
            result = self._job.execute_in_process(
                instance=instance,
                run_id=run_id,
                asset_selection=keys,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                partition_key=partition_key(first, last),
                tags=own_tags | dict(tags or {}),
                raise_on_error=False,
            )
        finally:
            release_run(self._settings, run_id)
        days = [day.isoformat() for day in days_of(first, last)]
        return _result(result, _published(instance, run_id, keys, days))


def print_result(result: RunResult) -> None:
    """A table of what was published, then what failed and why."""
    from convergence_assets.assets.check_events import example_lines

    console = Console(soft_wrap=True, highlight=False)
    table = Table("table", "partitions", "rows", title=f"run {result.run_id}", title_justify="left")
    for name, partitions in result.published.items():
        table.add_row(name, str(len(partitions)), f"{sum(partitions.values()):,}")
    if result.published:
        print_table(table, console)
    else:
        console.print(f"run {result.run_id}: nothing was published")
    for check in result.checks:
        if not check.passed:
            colour = {"critical": "red", "warning": "yellow"}.get(check.severity, "blue")
            where = f" ({', '.join(check.partitions)})" if check.partitions else ""
            count = f": {check.unexpected_count:,} unexpected" if check.unexpected_count else ""
            why = count + (f": {check.error}" if check.error else "")
            console.print(Text(check.severity, colour), Text(f"{check.table}: {check.name}{where}{why}"))
            for line in filter(None, example_lines(check.examples, check.unexpected_count) if check.examples else ()):
                console.print(Text(f"    {line}"))
    if result.failure:
        console.print(Text("failed:", "red"), Text(result.failure))


def _published(
    instance: "dg.DagsterInstance", run_id: str, keys: "Sequence[dg.AssetKey]", days: list[str]
) -> dict[str, dict[str, int]]:
    """Rows by table and day as the instance recorded them: the result of a failed run does not hold them all."""
    import dagster as dg

    published: dict[str, dict[str, int]] = {}
    for key in keys:
        records_filter = dg.AssetRecordsFilter(asset_key=key, asset_partitions=days)
        for record in instance.fetch_materializations(records_filter, limit=len(days)).records:
            materialization = record.asset_materialization
            if record.run_id != run_id or materialization is None or materialization.partition is None:
                continue
            rows: Any = materialization.metadata["dagster/partition_row_count"].value
            published.setdefault(key.path[-1], {})[materialization.partition] = rows
    return {table: dict(sorted(rows.items())) for table, rows in published.items()}


def _result(result: "dg.ExecuteInProcessResult", published: dict[str, dict[str, int]]) -> RunResult:
    checks: list[Check] = []
    failure = None
    for event in result.all_events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            evaluation: Any = event.event_specific_data
            metadata: Any = evaluation.metadata
            partitions = tuple(metadata["failed_partitions"].value) if "failed_partitions" in metadata else ()
            checks.append(
                Check(
                    evaluation.asset_key.path[-1],
                    evaluation.check_name,
                    str(metadata["severity"].value),
                    evaluation.passed,
                    partitions,
                    metadata["unexpected_count"].value if "unexpected_count" in metadata else None,
                    tuple(redacted(str(example)) for example in metadata["examples"].value)
                    if "examples" in metadata
                    else (),
                    redacted(str(metadata["error"].value)) if "error" in metadata else None,
                )
            )
        elif event.is_step_failure and failure is None:
            data = event.step_failure_data
            failure = (data.user_failure_data.description if data.user_failure_data else None) or (
                data.error.message.strip() if data.error else "the run failed"
            )
    return RunResult(result.run_id, result.success, published, tuple(checks), redacted(failure) if failure else None)


def _days(
    tenant: Tenant, pipeline: TenantPipeline, partition: str | None, first: str | None, last: str | None
) -> tuple[date, date]:
    if (partition is None) == (first is None or last is None):
        raise typer.BadParameter("say --partition, or --from and --to")
    start, end = finished_days_between(tenant, pipeline, partition or first or "", partition or last or "")
    if end - start >= timedelta(days=366):
        raise typer.BadParameter("a run covers at most 366 days; `convergence backfill` covers any number")
    return start, end


def finished_days_between(tenant: Tenant, pipeline: TenantPipeline, first: str, last: str) -> tuple[date, date]:
    """As `days_between`; raises `BadParameter` as well where the last day is not over in the tenant's timezone."""
    start, end = days_between(pipeline, first, last)
    if unfinished := why_unfinished(end, tenant.timezone, datetime.now(UTC)):
        raise typer.BadParameter(unfinished)
    return start, end


def days_between(pipeline: TenantPipeline, first: str, last: str) -> tuple[date, date]:
    """Two dates as a person writes them; raises `BadParameter` unless they are partitions in order."""
    try:
        start, end = date.fromisoformat(first), date.fromisoformat(last)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; expected a date like 2026-10-01") from None
    if end < start:
        raise typer.BadParameter(f"--to {end} is before --from {start}")
    if start < pipeline.start_date:
        raise typer.BadParameter(f"{pipeline.name} starts on {pipeline.start_date}; {start} is no partition of it")
    return start, end
