"""The statement that merges rows, given as one JSON text in `$rows`, into a table."""

from convergence_assets.warehouse.duckdb.column_types import duckdb_type
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.schema import Column, TableSchema


def merge_statement(name: str, schema: TableSchema, key: tuple[str, ...], newest_by: str | None) -> str:
    """For the table `name` (quoted); columns that a row does not give become NULL."""
    columns = [c for c in schema.columns if c.mode != "REPEATED"]
    selected = ", ".join(f"{_read(c)} AS {quoted(c.name)}" for c in columns)
    same = " AND ".join(f"target.{quoted(k)} = fresh.{quoted(k)}" for k in key)
    newer = f" AND fresh.{quoted(newest_by)} >= target.{quoted(newest_by)}" if newest_by else ""
    changed = ", ".join(f"{quoted(c.name)} = fresh.{quoted(c.name)}" for c in columns)
    names = ", ".join(quoted(c.name) for c in columns)
    values = ", ".join(f"fresh.{quoted(c.name)}" for c in columns)
    return (
        f"MERGE INTO {name} AS target "
        f"USING (SELECT {selected} FROM (SELECT unnest(from_json($rows, '[\"JSON\"]')) AS said)) AS fresh ON {same} "
        f"WHEN MATCHED{newer} THEN UPDATE SET {changed} "
        f"WHEN NOT MATCHED THEN INSERT ({names}) VALUES ({values})"
    )


def _read(column: Column) -> str:
    path = "$." + '"' + column.name + '"'
    return f"CAST(said->>'{path}' AS {duckdb_type(column)})"
