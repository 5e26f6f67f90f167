"""`convergence compile`: the SQL of a pipeline's steps as the warehouse is given it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from convergence_assets.assets.queries import declared_columns, queries_of
from convergence_assets.assets.schema_mapping import target_table
from convergence_assets.assets.window import Window
from convergence_assets.cli.lookup import pipeline_of, tenant_of
from convergence_assets.cli.run import days_between
from convergence_assets.pipelines.problems import listing, nearest
from convergence_assets.settings import Settings, WarehouseKind
from convergence_assets.tenancy.registry import load_for_a_run
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.schema import ParameterValue, Query


@dataclass(frozen=True)
class Compiled:
    """A step's SELECT as its engine runs it, once for each of `parameters`; `sql` is None for a step of files, which
    reads `files`. `bigquery_sql` is the same as BigQuery would be given it."""

    table: str
    target: str
    sql: str | None
    bigquery_sql: str | None
    parameters: tuple[Mapping[str, ParameterValue], ...]
    files: str | None = None


def compile_sql(
    tenant: Annotated[str, typer.Argument(help="Tenant id")],
    pipeline: Annotated[str, typer.Argument(help="Pipeline name")],
    partition: Annotated[str | None, typer.Option(help="One day; default: yesterday in the tenant's timezone")] = None,
    first: Annotated[str | None, typer.Option("--from", help="First day of a range")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day of a range")] = None,
    table: Annotated[str | None, typer.Option(help="Only the step that makes this table")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a step")] = False,
) -> None:
    """Print the SQL of a pipeline's steps as the active warehouse is given it, with its parameters; nothing is run.

    On BigQuery that is the author's text with every table named in full; the embedded warehouse is given DuckDB's,
    as it follows from what Google's analyzer says of that text, which is printed before it.

    Example: convergence compile acme gcp_billing --partition 2026-10-01 --table gcp_cost_daily
    """
    settings = replace(Settings.from_env(), only_tenants=frozenset({tenant}))
    chosen = tenant_of(load_for_a_run(settings), tenant)
    chosen_pipeline = pipeline_of(chosen, pipeline)
    steps = _steps(chosen_pipeline, table)
    window = Window.local(*_days(chosen, chosen_pipeline, partition, first, last), chosen.timezone)
    compiled = [_compiled(chosen, step, window, settings.warehouse, pretty=not as_json) for step in steps]
    if as_json:
        for step in compiled:
            typer.echo(json.dumps(vars(step) | {"engine": settings.warehouse}, default=str))
        return
    typer.echo(f"-- tenant {tenant}, pipeline {pipeline}, partition {window}, for the {settings.warehouse} warehouse")
    for step in compiled:
        typer.echo("\n".join(_lines(step)))


def _steps(pipeline: TenantPipeline, table: str | None) -> Sequence[Step]:
    steps = [step for step in pipeline.steps if table in (None, step.table)]
    if not steps:
        tables = [step.table for step in pipeline.steps]
        near = nearest(table or "", tables)
        hint = f"did you mean {near!r}?" if near else f"expected {listing(tables)}"
        raise typer.BadParameter(f"pipeline {pipeline.name} makes no table {table!r}; {hint}")
    return steps


def _days(
    tenant: Tenant, pipeline: TenantPipeline, partition: str | None, first: str | None, last: str | None
) -> tuple[date, date]:
    if partition is None and first is None and last is None:
        yesterday = datetime.now(UTC).astimezone(ZoneInfo(tenant.timezone)).date() - timedelta(days=1)
        return (max(pipeline.start_date, yesterday),) * 2
    if (partition is None) == (first is None or last is None):
        raise typer.BadParameter("say --partition, or --from and --to")
    return days_between(pipeline, partition or first or "", partition or last or "")


def _compiled(tenant: Tenant, step: Step, window: Window, engine: WarehouseKind, *, pretty: bool) -> Compiled:
    target = str(target_table(tenant, step.table))
    queries = queries_of(tenant, step, window)
    bigquery_sql = queries[0].sql if queries else None
    if engine == "embedded":
        queries = [_as_duckdb_runs(tenant, step, query, pretty=pretty) for query in queries]
    sql = queries[0].sql if queries else None
    return Compiled(step.table, target, sql, bigquery_sql, tuple(query.parameters for query in queries), step.path)


def _as_duckdb_runs(tenant: Tenant, step: Step, query: Query, *, pretty: bool) -> Query:
    from convergence_assets.warehouse.duckdb.query_preparation import prepared

    return Query(*prepared(query, declared_columns(tenant, step), pretty=pretty))


def _lines(step: Compiled) -> list[str]:
    """Comments name the parameters to bind; the statement is printed as it is sent."""
    if step.sql is None:
        return ["", f"-- {step.target} is loaded from files: {step.files}"]
    lines = ["", f"-- {step.target}"]
    for parameters in step.parameters:
        lines += [f"-- @{name} = {_literal(value)}" for name, value in parameters.items()]
    if step.bigquery_sql not in (None, step.sql):
        assert step.bigquery_sql is not None
        lines += ["-- As BigQuery is given it:", *(f"--   {line}" for line in step.bigquery_sql.rstrip().splitlines())]
        lines.append("-- As DuckDB is given it:")
    return [*lines, step.sql.rstrip() + ";"]


def _literal(value: ParameterValue) -> str:
    match value:
        case bool():
            return str(value).upper()
        case datetime():
            return f"TIMESTAMP '{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00'"
        case date():
            return f"DATE '{value}'"
        case Decimal():
            return f"NUMERIC '{value}'"
        case str():
            return json.dumps(value, ensure_ascii=False)
    return str(value)
