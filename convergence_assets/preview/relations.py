"""What a previewed step reads in the place of tables that are previewed themselves."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date

from convergence_assets.assets.schema_mapping import table_schema, target_table
from convergence_assets.tenancy.tenant import Step, Tenant
from convergence_assets.warehouse.interface import Warehouse
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema


def previewed_relation(
    table: TableRef,
    schema: TableSchema,
    staged: Mapping[TableRef, Collection[date]],
    published: Mapping[str, str] | None,
) -> str:
    """The query for a table of which some days are read as staged and all others as published, where they can be: a
    published column of another type, or another partition column, leaves only the staged rows. `staged` has the days
    to read of each staging table."""
    day, names = f"`{schema.partition_column}`", ", ".join(f"`{c.name}`" for c in schema.columns)
    selects = [f"SELECT {names} FROM {one.quoted} WHERE {is_among(day, days)}" for one, days in staged.items()]
    if published is not None and _fit(schema, published):
        every = {one for days in staged.values() for one in days}
        before = ", ".join(_column(c, published) for c in schema.columns)
        selects.append(f"SELECT {before} FROM {table.quoted} WHERE NOT {is_among(day, every)}")
    return f"({' UNION ALL '.join(selects)})"


def with_empty_own_table(tenant: Tenant, step: Step, warehouse: Warehouse) -> Step:
    """The step; one that reads its own table before that was ever made reads an empty one."""
    if step.sql is None or step.table not in step.sql.tables:
        return step
    if warehouse.existing_schema(target_table(tenant, step.table)) is not None:
        return step
    nulls = ", ".join(f"CAST(NULL AS {c.spelled}) AS `{c.name}`" for c in table_schema(step.spec).columns)
    return replace(step, replaced={**step.replaced, step.table: f"(SELECT {nulls} LIMIT 0)"})


def is_among(column: str, days: Iterable[date]) -> str:
    """The condition that a DATE column is one of these days."""
    listed = sorted(days)
    if not listed:
        return "(FALSE)"
    if (listed[-1] - listed[0]).days == len(listed) - 1:
        return f"({column} BETWEEN DATE '{listed[0]}' AND DATE '{listed[-1]}')"
    literals = ", ".join(f"DATE '{one}'" for one in listed)
    return f"({column} IN ({literals}))"


def _fit(schema: TableSchema, published: Mapping[str, str]) -> bool:
    types = {name.lower(): kind for name, kind in published.items()}
    has_day = (schema.partition_column or "").lower() in types
    return has_day and all(c.spelled == types.get(c.name.lower(), c.spelled) for c in schema.columns)


def _column(column: Column, published: Mapping[str, str]) -> str:
    if column.name.lower() in {name.lower() for name in published}:
        return f"`{column.name}`"
    return f"CAST(NULL AS {column.spelled}) AS `{column.name}`"
