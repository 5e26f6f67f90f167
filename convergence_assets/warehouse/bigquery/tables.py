"""Declared schemas as BigQuery tables: made, read back, and brought up to date additively."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from convergence_assets.warehouse.bigquery.labels import MANAGED, VERSION
from convergence_assets.warehouse.schema import Column, ColumnType, Mode, TableRef, TableSchema

if TYPE_CHECKING:
    from google.cloud import bigquery

_DAY_MS = 86_400_000
_LEGACY: Mapping[str, ColumnType] = {
    "INTEGER": "INT64",
    "FLOAT": "FLOAT64",
    "BOOLEAN": "BOOL",
    "STRUCT": "RECORD",
    "DECIMAL": "NUMERIC",
    "BIGDECIMAL": "BIGNUMERIC",
}


def field(column: Column, *, nullable: bool = False) -> "bigquery.SchemaField":
    """A column as the client takes it; `nullable` makes REQUIRED ones NULLABLE."""
    from google.cloud import bigquery

    properties: dict[str, Any] = {
        "name": column.name,
        "type": column.type,
        "mode": "NULLABLE" if nullable and column.mode == "REQUIRED" else column.mode,
    }
    if column.description:
        properties["description"] = column.description
    if column.fields:
        properties["fields"] = [field(f, nullable=nullable).to_api_repr() for f in column.fields]
    return bigquery.SchemaField.from_api_repr(properties)


def column_of(schema_field: "bigquery.SchemaField") -> Column:
    """A column from BigQuery's schema field."""
    return Column(
        schema_field.name,
        _LEGACY.get(schema_field.field_type, cast(ColumnType, schema_field.field_type)),
        cast(Mode, schema_field.mode or "NULLABLE"),
        schema_field.description or "",
        tuple(column_of(f) for f in schema_field.fields),
    )


def schema_of(table: "bigquery.Table", declared: TableSchema) -> TableSchema:
    """What a table is; ingestion-time partitioning has no column of its own and takes the declared one's name."""
    partitioning = table.time_partitioning
    columns = tuple(column_of(f) for f in table.schema)
    partition_column = partitioning.field if partitioning else None
    pseudo = declared.column(declared.partition_column or "") if declared.ingestion_time_from else None
    if pseudo:
        # No engine lists it, whether it keeps the partitions itself or has an ordinary column of that name.
        columns = (*(c for c in columns if c.name.lower() != pseudo.name.lower()), pseudo)
        partition_column = pseudo.name
    expiration = partitioning.expiration_ms if partitioning else None
    return TableSchema(
        columns=columns,
        partition_column=partition_column,
        clustering=tuple(table.clustering_fields or ()),
        partition_expiration_days=expiration // _DAY_MS if expiration else None,
        require_partition_filter=bool(table.require_partition_filter),
        description=table.description or "",
        ingestion_time_from=declared.ingestion_time_from,
        version=int(dict(table.labels or {}).get(VERSION, 1)),
    )


def table_of(
    ref: "bigquery.TableReference", schema: TableSchema, *, ingestion_time: bool, labels: Mapping[str, str] = MANAGED
) -> "bigquery.Table":
    """The table to create; where the engine lacks ingestion-time partitions their column is an ordinary one."""
    from google.cloud import bigquery

    pseudo = schema.partition_column if schema.ingestion_time_from else None
    columns = [c for c in schema.columns if not (ingestion_time and c.name == pseudo)]
    table = bigquery.Table(ref, schema=[field(c) for c in columns])
    if schema.partition_column and (ingestion_time or not pseudo):
        table.time_partitioning = _partitioning(schema, None if pseudo else schema.partition_column)
        table.require_partition_filter = schema.require_partition_filter
    if schema.clustering:
        table.clustering_fields = list(schema.clustering)
    table.description = schema.description or None
    table.labels = dict(labels)
    return table


def reconcile(table: "bigquery.Table", declared: TableSchema, added: tuple[Column, ...]) -> list[str]:
    """Bring the fetched `table` up to `declared`; the properties to send, none where nothing differs."""
    changed: list[str] = []
    described = {c.name.lower(): c for c in declared.columns}
    fields = [_described(f, described.get(f.name.lower())) for f in table.schema] + [field(c) for c in added]
    if fields != list(table.schema):
        table.schema = fields
        changed.append("schema")
    if tuple(table.clustering_fields or ()) != declared.clustering:
        table.clustering_fields = list(declared.clustering) or None
        changed.append("clustering_fields")
    if (table.description or "") != declared.description:
        table.description = declared.description or None
        changed.append("description")
    if table.time_partitioning and declared.partition_column:
        partitioning = _partitioning(declared, table.time_partitioning.field)
        if (table.time_partitioning.expiration_ms or 0) != (partitioning.expiration_ms or 0):
            table.time_partitioning = partitioning
            changed.append("time_partitioning")
        if bool(table.require_partition_filter) != declared.require_partition_filter:
            table.require_partition_filter = declared.require_partition_filter
            changed.append("require_partition_filter")
    if any(table.labels.get(k) != v for k, v in MANAGED.items()):
        table.labels = {**table.labels, **MANAGED}
        changed.append("labels")
    return changed


def reference(table: TableRef, project: str) -> "bigquery.TableReference":
    """The client's name of a table; `project` where it names none."""
    from google.cloud import bigquery

    return bigquery.TableReference(bigquery.DatasetReference(table.project or project, table.dataset), table.table)


def _partitioning(schema: TableSchema, column: str | None) -> "bigquery.TimePartitioning":
    from google.cloud import bigquery

    days = schema.partition_expiration_days
    return bigquery.TimePartitioning(
        type_=bigquery.TimePartitioningType.DAY, field=column, expiration_ms=days * _DAY_MS if days else None
    )


def _described(schema_field: Any, column: Column | None) -> Any:
    from google.cloud import bigquery

    if column is None or (schema_field.description or "") == column.description:
        return schema_field
    return bigquery.SchemaField.from_api_repr({**schema_field.to_api_repr(), "description": column.description})
