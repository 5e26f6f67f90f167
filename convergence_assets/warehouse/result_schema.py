"""What a SELECT gives by BigQuery's types, held against what its table declares."""

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
    given = {column.name.lower(): column for column in output}
    wrong: list[str] = []
    for column in schema.columns:
        found = given.pop(column.name.lower(), None)
        if found is None:
            wrong.append(f"column {column.name} is declared and the SQL does not give it")
        elif not fits(found, column):
            wrong.append(f"column {column.name} is declared {spelled(column)} and the SQL gives {spelled(found)}")
    wrong += [f"column {column.name} is given by the SQL and not declared" for column in given.values()]
    if wrong:
        raise SchemaMismatch(f"table {table}: " + "; ".join(wrong))


def fits(given: Column, declared: Column) -> bool:
    """Whether BigQuery stores a given column as the declared one; names are not compared."""
    if (given.mode == "REPEATED") != (declared.mode == "REPEATED"):
        return False
    if given.type == "RECORD" and declared.type == "RECORD":
        return len(given.fields) == len(declared.fields) and all(map(fits, given.fields, declared.fields))
    return given.type == declared.type or given.type in _COERCED.get(declared.type, ())


def spelled(column: Column) -> str:
    """The column's type for a reader: `ARRAY<RECORD<key STRING>>`."""
    inner = f"<{', '.join(f'{f.name} {spelled(f)}' for f in column.fields)}>" if column.fields else ""
    return f"ARRAY<{column.type}{inner}>" if column.mode == "REPEATED" else f"{column.type}{inner}"
