"""Declared columns' types as DuckDB's."""

from convergence_assets.warehouse.duckdb import bignumeric_encoding
from convergence_assets.warehouse.schema import Column

SCALARS = {
    "STRING": "VARCHAR", "INT64": "BIGINT", "NUMERIC": "DECIMAL(38,9)", "BIGNUMERIC": bignumeric_encoding.TYPE,
    "FLOAT64": "DOUBLE",
    "BOOL": "BOOLEAN", "DATE": "DATE", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMP WITH TIME ZONE",
    "TIME": "TIME", "BYTES": "BLOB", "JSON": "JSON",
}  # fmt: skip


def duckdb_type(column: Column) -> str:
    """A declared column's DuckDB type."""
    if column.type == "RECORD":
        kind = "STRUCT(" + ", ".join(f'"{f.name}" {duckdb_type(f)}' for f in column.fields) + ")"
    else:
        kind = SCALARS[column.type]
    return f"{kind}[]" if column.mode == "REPEATED" else kind
