"""Columns of a step's sources that are not declared."""

from collections.abc import Iterator, Mapping

from convergence_assets.assets.schema_mapping import source_schema
from convergence_assets.tenancy.tenant import Source, Tenant
from convergence_assets.warehouse.interface import Warehouse
from convergence_assets.warehouse.schema import Query, TableRef


def undeclared(warehouse: Warehouse, tenant: Tenant, sources: Mapping[str, Source]) -> tuple[str, ...]:
    """`source.column` and `source.record.field` of all that nothing declares, as the source spells it.

    A table that the tenant reads by a view is skipped: the view has what is declared.

    Raises `WarehouseError` where a source cannot be read.
    """
    return tuple(name for source in sources.values() for name in _undeclared(warehouse, tenant, source))


def _undeclared(warehouse: Warehouse, tenant: Tenant, source: Source) -> Iterator[str]:
    columns = source_schema(source.spec).columns
    declared = {name.lower() for c in columns for name in (c.name, *c.field_names())}
    names: set[str] = set()
    for table in source.tables:
        if tenant.reads_views and table in tenant.shares:
            continue
        result = warehouse.dry_run(Query(f"SELECT * FROM {TableRef.parse(table).quoted}"))
        names |= {*result.columns, *result.fields}
    for name in sorted(names):
        record = name.rpartition(".")[0]
        # Of an undeclared record only its own name is listed.
        if name.lower() not in declared and (not record or record.lower() in declared):
            yield f"{source.name}.{name}"
