"""A step's queries for a window of days, fully named and with bound parameters, and the job that runs them."""

from convergence_assets.assets.own_tables import refuse_others
from convergence_assets.assets.schema_mapping import (
    source_schema,
    table_names,
    table_schema,
    target_table,
    window_parameters,
    written,
)
from convergence_assets.assets.window import Window
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.interface import GIGABYTE, Job
from convergence_assets.warehouse.schema import Column, Query, TableRef


def job_of(
    tenant: Tenant, pipeline: TenantPipeline, table: str, partition: str, run_id: str, origin: str | None = None
) -> Job:
    """A run's work on a table, within the pipeline's limits; it shares staging and jobs with `origin`, the run that it
    repeats."""
    return Job(
        run_id=origin or run_id,
        labels={
            "tenant": tenant.tenant_id,
            "pipeline": pipeline.name,
            "asset": table,
            "partition": partition,
            "run_id": run_id,
        },
        timeout_seconds=pipeline.max_pipeline_duration_minutes * 60,
        maximum_bytes_billed=pipeline.maximum_gigabytes_billed * GIGABYTE,
    )


def queries_of(tenant: Tenant, step: Step, window: Window) -> list[Query]:
    """One query for the window, or one a day where the SQL binds `@partition_date`; none for a step of files.

    Raises `AccessDenied` where it would read what is not the step's.
    """
    if step.sql is None:
        return []
    sql, used = step.sql.resolve(table_names(tenant, step)), step.sql.parameters
    text = written(tenant, step, step.sql)
    spans = [(day,) for day in window.days] if "partition_date" in used else [window.days]
    queries = []
    for days in spans:
        values = window_parameters(tenant, step, days, window.bounds[days[0]][0], window.bounds[days[-1]][1])
        queries.append(Query(sql, {name: value for name, value in values.items() if name in used}, text))
    refuse_others(sql, tenant, step)
    return queries


def declared_columns(tenant: Tenant, step: Step) -> dict[str, dict[str, Column]]:
    """The declared columns, by name, of every table that a step's SQL may read, by the tables' full names."""
    tenant_schemas = {s.table: table_schema(s.spec) for p in tenant.pipelines for s in p.steps}
    schemas = {str(target_table(tenant, name)): tenant_schemas[name] for name in (*step.upstream, step.table)}
    schemas |= {str(TableRef.parse(t)): source_schema(s.spec) for s in step.sources.values() for t in s.tables}
    return {name: {c.name: c for c in schema.columns} for name, schema in schemas.items()}
