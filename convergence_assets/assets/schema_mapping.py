"""A tenant's declarations as the warehouse and quality packages take them."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal

from convergence_assets.pipelines.compile import RUN_PARAMETER_TYPES
from convergence_assets.pipelines.compiled_sql import CompiledSql, Names
from convergence_assets.pipelines.models import ColumnSpec, SourceSpec, StepSpec, SuiteSpec
from convergence_assets.pipelines.suites import check_names
from convergence_assets.quality.expectations import Expectation
from convergence_assets.tenancy.dialect_checks import column, pseudo_columns
from convergence_assets.tenancy.tenant import Source, Step, Tenant
from convergence_assets.warehouse.interface import FileRules
from convergence_assets.warehouse.schema import (
    PARAMETER_TYPES,
    SHARED_PREFIX,
    TABLE_SUFFIX,
    Column,
    ParameterValue,
    TableRef,
    TableSchema,
    Written,
)

_INGESTED, _SUFFIX = "convergence_ingestion_time", "convergence_table_suffix"


def table_schema(spec: StepSpec) -> TableSchema:
    """A step's declared table."""
    return TableSchema(
        columns=tuple(column(c) for c in spec.columns),
        partition_column=spec.partition_column,
        clustering=tuple(spec.clustering),
        partition_expiration_days=spec.partition_expiration_days,
        require_partition_filter=spec.require_partition_filter,
        description=spec.description,
        version=spec.version,
    )


def source_schema(spec: SourceSpec) -> TableSchema:
    """A source's declared table, with the partition column that an ingesting warehouse fills."""
    columns = tuple(column(c) for c in spec.columns)
    if spec.partition_column and spec.ingestion_time_from:
        columns += (Column(spec.partition_column, "TIMESTAMP"),)
    return TableSchema(
        columns=columns,
        partition_column=spec.partition_column,
        ingestion_time_from=spec.ingestion_time_from,
        description=spec.description,
    )


def target_table(tenant: Tenant, table: str) -> TableRef:
    """Where a step's table is published."""
    return TableRef(tenant.dataset, table, tenant.project)


def table_names(tenant: Tenant, step: Step) -> Names:
    """Bare names as a step's SQL writes them (its own table and sources included) to what they are replaced with.

    A source of several tables becomes one query, as does one of which the tenant reads its own rows alone. BigQuery
    lets no query return a column of the name of an ingestion time or of a table's suffix, so that where a source is a
    query, all sources of the step give them another one.
    """
    names = {name: target_table(tenant, name).quoted for name in (*step.upstream, step.table)} | dict(step.replaced)
    if not any(_is_query(source, tenant) for source in step.sources.values()):
        return Names(names | {name: TableRef.parse(s.tables[0]).quoted for name, s in step.sources.items()})
    ingested = {_ingestion_time(source.spec).lower() for source in step.sources.values()} - {""}
    return Names(
        names | {name: f"({' UNION ALL '.join(_selects(source, tenant))})" for name, source in step.sources.items()},
        dict.fromkeys(ingested, _INGESTED)
        | ({TABLE_SUFFIX.lower(): _SUFFIX} if any(s.spec.is_wildcard for s in step.sources.values()) else {}),
    )


def written(tenant: Tenant, step: Step, sql: CompiledSql) -> Written:
    """A step's SQL as its author wrote it, with the meaning of its names and parameters."""
    names = table_names(tenant, step)
    specs = {s.table: s.spec for p in tenant.pipelines for s in p.steps}
    columns = {
        name: tuple(column(c) for c in (step.sources[name].spec if name in step.sources else specs[name]).columns)
        for name in sql.tables
    }
    pseudo = {name: pseudo_columns(step.sources[name].spec) for name in sql.tables if name in step.sources}
    types = RUN_PARAMETER_TYPES | {name: PARAMETER_TYPES[type(value)] for name, value in step.parameters.items()}
    parameters = {name: types[name] for name in sql.parameters if name in types}
    relations = {name: names.tables[name] for name in sql.tables}
    return Written(sql.text, relations, columns, pseudo, parameters, names.columns)


@dataclass(frozen=True)
class SharedView:
    """A tenant's rows of a shared source, for its service account, which may read the view and not the table.

    Its name holds a hash of what it selects: with another share, or another declared column, it is another view.
    """

    view: TableRef
    source: TableRef
    selected: str
    condition: str

    def sql(self, project: str) -> str:
        """The view's query; `project` is that of a source that names none."""
        source = replace(self.source, project=self.source.project or project)
        return f"SELECT {self.selected} FROM {source.quoted} WHERE {self.condition}"


def shared_views(tenant: Tenant, sources: Iterable[Source]) -> tuple[SharedView, ...]:
    """The views through which these sources are read."""
    views = (_view(tenant, source, table) for source in sources for table in source.tables)
    return tuple(dict.fromkeys(view for view in views if view))


def _view(tenant: Tenant, source: Source, table: str) -> SharedView | None:
    if not tenant.reads_views or table not in tenant.shares:
        return None
    read, selected, condition = TableRef.parse(table), _selected(source), tenant.shares[table]
    digest = hashlib.sha256(f"{read}\n{selected}\n{condition}".encode()).hexdigest()[:12]
    view = TableRef(SHARED_PREFIX + tenant.dataset, f"{read.table}__{digest}", tenant.project)
    return SharedView(view, read, selected, condition)


def _is_query(source: Source, tenant: Tenant) -> bool:
    return len(source.tables) > 1 or any(name in tenant.shares for name in source.tables)


def _selects(source: Source, tenant: Tenant) -> Iterator[str]:
    for table in source.tables:
        if view := _view(tenant, source, table):
            yield f"SELECT * FROM {view.view.quoted}"
        else:
            where = f" WHERE {tenant.shares[table]}" if table in tenant.shares else ""
            yield f"SELECT {_selected(source)} FROM {TableRef.parse(table).quoted}{where}"


def _selected(source: Source) -> str:
    """The columns by name: tables of one kind need not have them in one order."""
    names = [f"`{c.name}`" for c in source.spec.columns]
    if ingestion_time := _ingestion_time(source.spec):
        names.append(f"{ingestion_time} AS {_INGESTED}")
    if source.spec.is_wildcard:
        names.append(f"{TABLE_SUFFIX} AS {_SUFFIX}")
    return ", ".join(names)


def _ingestion_time(spec: SourceSpec) -> str:
    """The column that BigQuery fills by itself, empty where the source has none."""
    return (spec.ingestion_time_from and spec.partition_column) or ""


def expectations(suite: SuiteSpec) -> tuple[Expectation, ...]:
    """A merged suite, each expectation with the name of its check."""
    return tuple(
        Expectation(name=name, type=e.type, kwargs=e.kwargs, severity=e.severity, meta=e.meta)
        for name, e in zip(check_names(suite), suite.expectations, strict=True)
    )


def sensitive_columns(spec: StepSpec) -> frozenset[str]:
    return frozenset(c.name for c in spec.columns if c.sensitive)


def file_rules(columns: Sequence[ColumnSpec]) -> FileRules:
    """What declared columns allow in their files."""
    declared = dict(_paths(columns, ""))
    return FileRules(
        optional=frozenset(path for path, c in declared.items() if c.optional),
        rounded=frozenset(path for path, c in declared.items() if c.round),
        sensitive=frozenset(path for path, c in declared.items() if c.sensitive),
    )


def _paths(columns: Sequence[ColumnSpec], before: str) -> Iterator[tuple[str, ColumnSpec]]:
    for c in columns:
        path = before + c.name.lower()
        yield path, c
        yield from _paths(c.fields, f"{path}.")


def window_parameters(
    tenant: Tenant, step: Step, partitions: tuple[date, ...], start: datetime, end: datetime
) -> dict[str, ParameterValue]:
    """Every value a step's SQL may bind for partitions that cover [start, end)."""
    values: dict[str, ParameterValue] = {
        "partition_start": start,
        "partition_end": end,
        "first_partition_date": partitions[0],
        "last_partition_date": partitions[-1],
        "partition_date": partitions[0],
        "timezone": tenant.timezone,
    }
    parameters: dict[str, str | int | Decimal | bool | date] = dict(step.parameters)
    return values | parameters
