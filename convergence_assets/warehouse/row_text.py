"""Rows as one JSON text, which both engines read back by a column's declared type."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from convergence_assets.warehouse.schema import TableSchema

Row = Mapping[str, Any]
"""Values by column: None, str, int, float, bool, Decimal, date, datetime (aware), and text that holds JSON."""


def row_text(schema: TableSchema, rows: Sequence[Row]) -> str:
    """An array of objects whose values are texts or null. Raises ValueError for a column that is no scalar."""
    nested = [c.name for c in schema.columns if c.mode == "REPEATED" or c.type in ("RECORD", "BYTES")]
    if unsupported := sorted({name for row in rows for name in row if name in nested}):
        raise ValueError(f"column {unsupported[0]} is no scalar: it cannot be merged")
    return json.dumps([{name: _text(value) for name, value in row.items() if value is not None} for row in rows])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat()
    return repr(value) if isinstance(value, float) else format(value, "f") if isinstance(value, Decimal) else str(value)


def partition_days(schema: TableSchema, rows: Sequence[Row]) -> tuple[str, str] | None:
    """The least and the greatest value of the partition column, as texts; None for a table without partitions."""
    if schema.partition_column is None:
        return None
    values = [row[schema.partition_column] for row in rows]
    return _text(min(values)), _text(max(values))
