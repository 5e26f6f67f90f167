"""Every SELECT of every tenant checked by the warehouse without running it: syntax, tables, columns, types, bytes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from convergence_assets.assets.schema_mapping import (
    source_schema,
    table_names,
    table_schema,
    window_parameters,
    written,
)
from convergence_assets.assets.statements import step_advice
from convergence_assets.assets.warehouse_factory import open_warehouse
from convergence_assets.pipelines.advice import Advice
from convergence_assets.pipelines.problems import Problem
from convergence_assets.settings import Settings
from convergence_assets.temporary_functions import parted
from convergence_assets.tenancy.tenant import Step, Tenant, TenantPipeline
from convergence_assets.warehouse.errors import InvalidQuery, NotFound, WarehouseError
from convergence_assets.warehouse.interface import Warehouse
from convergence_assets.warehouse.schema import ParameterValue, Query, TableSchema

_TENANTS_AT_ONCE = {"bigquery": 8, "embedded": 2}


@dataclass(frozen=True)
class StepEstimate:
    """What one step would read for one day; `bytes_processed` is None where the engine or a missing table hides it."""

    tenant_id: str
    pipeline: str
    table: str
    bytes_processed: int | None
    advice: tuple[Advice, ...]
    problem: Problem | None = None


def dry_run(
    tenants: Sequence[Tenant], settings: Settings, *, now: datetime, progress: Callable[[], None]
) -> list[StepEstimate]:
    """An estimate of each SQL step for yesterday in the tenant's timezone; `progress` is called after each tenant.

    A table that does not exist yet is taken as declared. What passed is remembered under the settings' home for the
    day, by the hash of all that it depends on.
    """
    cache = _EstimateCache(settings.home / "dry-runs.json", now.astimezone(UTC).date())

    def estimate_tenant(tenant: Tenant) -> list[StepEstimate]:
        with open_warehouse(settings, tenant.location, service_account=tenant.service_account) as warehouse:
            tenant_estimates = list(_estimates(tenant, warehouse, settings, now, cache))
        progress()
        return tenant_estimates

    with ThreadPoolExecutor(_TENANTS_AT_ONCE[settings.warehouse]) as pool:
        estimates = [
            estimate for tenant_estimates in pool.map(estimate_tenant, tenants) for estimate in tenant_estimates
        ]
    cache.save()
    return estimates


def _estimates(
    tenant: Tenant, warehouse: Warehouse, settings: Settings, now: datetime, cache: "_EstimateCache"
) -> Iterator[StepEstimate]:
    for pipeline in tenant.pipelines:
        for step in pipeline.steps:
            if step.sql is None:
                continue
            advice = step_advice(tenant, step)
            values, text = _parameters(tenant, pipeline, step, now), written(tenant, step, step.sql)
            query = Query(step.sql.resolve(table_names(tenant, step)), values, text)
            key = _hash(settings, tenant, query)
            bytes_read, problem = cache.bytes_of(key), None
            if bytes_read is None:
                try:
                    bytes_read = _bytes(tenant, step, query, warehouse)
                    cache.put(key, bytes_read)
                except WarehouseError as error:
                    problem = _problem(step, error)
            yield StepEstimate(tenant.tenant_id, pipeline.name, step.table, bytes_read, advice, problem)


def _bytes(tenant: Tenant, step: Step, query: Query, warehouse: Warehouse) -> int | None:
    try:
        return warehouse.dry_run(query).bytes_processed
    except NotFound:
        warehouse.dry_run(Query(_with_declared_tables(tenant, step), query.parameters))
        return None


def _with_declared_tables(tenant: Tenant, step: Step) -> str:
    """The step's text over empty tables of the declared columns, on the lines it had."""
    assert step.sql is not None
    declared: dict[str, TableSchema] = {
        other.table: table_schema(other.spec) for pipeline in tenant.pipelines for other in pipeline.steps
    }
    declared |= {name: source_schema(source.spec) for name, source in step.sources.items()}
    empty = (f"`{name}` AS (SELECT {_nulls(declared[name])})" for name in sorted(step.sql.tables))
    functions, select = parted(step.sql.text)
    return f"{functions}WITH {', '.join(empty)} SELECT * FROM ({select}\n)"


def _nulls(schema: TableSchema) -> str:
    return ", ".join(f"CAST(NULL AS {c.spelled}) AS `{c.name}`" for c in schema.columns)


def _parameters(tenant: Tenant, pipeline: TenantPipeline, step: Step, now: datetime) -> dict[str, ParameterValue]:
    zone = ZoneInfo(tenant.timezone)
    day = max(pipeline.start_date, now.astimezone(zone).date() - timedelta(days=1))
    start, end = (datetime(d.year, d.month, d.day, tzinfo=zone).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    assert step.sql is not None
    values = window_parameters(tenant, step, (day,), start, end)
    return {name: value for name, value in values.items() if name in step.sql.parameters}


def _hash(settings: Settings, tenant: Tenant, query: Query) -> str:
    dependencies = [
        settings.warehouse,
        settings.project,
        tenant.config_version,
        query.sql,
        sorted(query.parameters.items()),
    ]
    return hashlib.sha256(json.dumps(dependencies, default=str).encode()).hexdigest()


def _problem(step: Step, error: WarehouseError) -> Problem:
    assert step.sql is not None
    line = step.sql.line(error.line) if isinstance(error, InvalidQuery) and error.line else 1
    return Problem(step.sql.file, line, step.table, f"{error.error_class}: {error}. Next: {error.remedy}")


class _EstimateCache:
    """Estimates of one day in a file; a file of another day, or one that cannot be read, counts as empty."""

    def __init__(self, file: Path, day: date) -> None:
        self._file, self._day = file, day.isoformat()
        self._bytes: dict[str, int | None] = {}
        try:
            stored = json.loads(file.read_text())
            if stored["day"] == self._day:
                self._bytes = stored["bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return

    def bytes_of(self, key: str) -> int | None:
        return self._bytes.get(key)

    def put(self, key: str, read: int | None) -> None:
        if read is not None:
            self._bytes[key] = read

    def save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._file.with_suffix(".tmp")
        scratch.write_text(json.dumps({"day": self._day, "bytes": self._bytes}))
        scratch.replace(self._file)


def bytes_by_tenant(estimates: Sequence[StepEstimate]) -> Mapping[str, int]:
    """Bytes a day of each tenant of which any are known."""
    totals: dict[str, int] = {}
    for estimate in estimates:
        if estimate.bytes_processed is not None:
            totals[estimate.tenant_id] = totals.get(estimate.tenant_id, 0) + estimate.bytes_processed
    return totals
