"""What may change in an existing table: new NULLABLE columns; every other difference is an error."""

from convergence_assets.warehouse.errors import SchemaMismatch, VersionMismatch
from convergence_assets.warehouse.schema import Column, TableRef, TableSchema


def added_columns(declared: TableSchema, existing: TableSchema, table: TableRef) -> tuple[Column, ...]:
    """The NULLABLE or REPEATED columns to add; `SchemaMismatch` naming every other difference, `VersionMismatch` where
    the table is of another version."""
    if declared.version != existing.version:
        raise other_version(table, existing.version, declared.version)
    wrong: list[str] = []
    added: list[Column] = []
    for column in declared.columns:
        old = existing.column(column.name)
        if old is None:
            if column.mode == "REQUIRED":
                wrong.append(f"column {column.name} is new and REQUIRED; only NULLABLE columns can be added")
            added.append(column)
        elif _shape(old) != _shape(column):
            wrong.append(f"column {column.name} is {_spelled(old)} in the table and {_spelled(column)} as declared")
    wrong += [
        f"column {old.name} is in the table and no longer declared"
        for old in existing.columns
        if declared.column(old.name) is None
    ]
    if declared.partition_column != existing.partition_column:
        wrong.append(f"the partition column is {existing.partition_column} and declared as {declared.partition_column}")
    if wrong:
        raise SchemaMismatch(f"table {table}: " + "; ".join(wrong))
    return tuple(added)


def other_version(table: TableRef, existing: int, declared: int) -> VersionMismatch:
    """The error of a table that is of another version than its step declares."""
    return VersionMismatch(
        f"table {table} is version {existing}, and its step declares version {declared}; nothing was written"
    )


def _shape(column: Column) -> tuple[object, ...]:
    return (column.type, column.mode, tuple((f.name.lower(), _shape(f)) for f in column.fields))


def _spelled(column: Column) -> str:
    inner = f"<{', '.join(f'{f.name} {_spelled(f)}' for f in column.fields)}>" if column.fields else ""
    return f"{column.type}{inner} {column.mode}"
