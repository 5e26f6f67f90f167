"""Checks a SELECT's columns, in BigQuery's types, against its table's declaration."""

from collections.abc import Mapping, Sequence

from convergence_assets.warehouse.errors import SchemaMismatch
from convergence_assets.warehouse.schema import Column, ColumnType, TableRef, TableSchema

# https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#coercion
_COERCED: Mapping[ColumnType, tuple[ColumnType, ...]] = {
    "NUMERIC": ("INT64",),
    "BIGNUMERIC": ("INT64", "NUMERIC"),
    "FLOAT64": ("INT64", "NUMERIC", "BIGNUMERIC"),
}


def check_output(table: TableRef, schema: TableSchema, output: Sequence[Column]) -> None:
    """Raises `SchemaMismatch` naming each column that is missing, not declared or of another type."""
    by_name = {column.name.lower(): column for column in output}
    wrong: list[str] = []
    for column in schema.columns:
        actual = by_name.pop(column.name.lower(), None)
        if actual is None:
            wrong.append(f"column {column.name} is declared and the SQL does not give it")
        elif not fits(actual, column):
            wrong.append(f"column {column.name} is declared {spelled(column)} and the SQL gives {spelled(actual)}")
    wrong += [f"column {column.name} is given by the SQL and not declared" for column in by_name.values()]
    if wrong:
        raise SchemaMismatch(f"table {table}: " + "; ".join(wrong))


def fits(actual: Column, declared: Column) -> bool:
    """Whether BigQuery stores a given column as the declared one; names are not compared."""
    if (actual.mode == "REPEATED") != (declared.mode == "REPEATED"):
        return False
    if actual.type == "RECORD" and declared.type == "RECORD":
        return len(actual.fields) == len(declared.fields) and all(map(fits, actual.fields, declared.fields))
    return actual.type == declared.type or actual.type in _COERCED.get(declared.type, ())


def spelled(column: Column) -> str:
    """The column's type for a reader: `ARRAY<RECORD<key STRING>>`."""
    inner = f"<{', '.join(f'{f.name} {spelled(f)}' for f in column.fields)}>" if column.fields else ""
    return f"ARRAY<{column.type}{inner}>" if column.mode == "REPEATED" else f"{column.type}{inner}"
