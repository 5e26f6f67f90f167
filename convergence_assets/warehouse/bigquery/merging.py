"""The statement that merges rows, given as one JSON text in `@rows`, into a table."""

from convergence_assets.warehouse.schema import Column, TableSchema


def merge_statement(
    table: str, schema: TableSchema, key: tuple[str, ...], newest_by: str | None, days: tuple[str, str] | None
) -> str:
    """For the quoted `table`, reading only the partitions of `days` (first and last value of the partition column)."""
    columns = [c for c in schema.columns if c.mode != "REPEATED"]
    partition = schema.column(schema.partition_column or "")
    same = [f"target.`{k}` = fresh.`{k}`" for k in key]
    if partition and days:
        first, last = (f"{partition.type} '{day}'" for day in days)
        same.insert(0, f"target.`{partition.name}` BETWEEN {first} AND {last}")
    newer = f" AND fresh.`{newest_by}` >= target.`{newest_by}`" if newest_by else ""
    return "\n".join((
        f"MERGE INTO {table} AS target",
        f"USING (SELECT {', '.join(f'{_read(c)} AS `{c.name}`' for c in columns)}",
        "       FROM UNNEST(JSON_QUERY_ARRAY(@rows)) AS said) AS fresh",
        f"ON {' AND '.join(same)}",
        f"WHEN MATCHED{newer} THEN UPDATE SET {', '.join(f'`{c.name}` = fresh.`{c.name}`' for c in columns)}",
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(f'`{c.name}`' for c in columns)})",
        f"VALUES ({', '.join(f'fresh.`{c.name}`' for c in columns)})",
    ))  # fmt: skip


def _read(column: Column) -> str:
    text = f"JSON_VALUE(said, '$.{column.name}')"
    if column.type == "STRING":
        return text
    return f"PARSE_JSON({text})" if column.type == "JSON" else f"CAST({text} AS {column.type})"
