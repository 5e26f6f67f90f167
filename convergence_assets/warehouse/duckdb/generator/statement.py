"""One statement of BigQuery SQL as the embedded engine runs it, faithfully or not at all."""

from collections.abc import Mapping
from typing import Any

from convergence_assets.warehouse.duckdb.generator.intervals import refuse_result
from convergence_assets.warehouse.duckdb.generator.names import column_name
from convergence_assets.warehouse.duckdb.generator.nodes import Unsupported, reading
from convergence_assets.warehouse.duckdb.generator.scans import Scans
from convergence_assets.warehouse.duckdb.generator.types import duckdb_type
from convergence_assets.warehouse.duckdb.quoting import quoted
from convergence_assets.warehouse.googlesql.types import kind_of


def generated(statement: Any, tables: Mapping[str, str], temporary: Mapping[str, Any] | None = None) -> str:
    """The SELECT of a resolved query; `tables` are DuckDB's relations by the statement's names, in lower case,
    `temporary` the functions that it makes itself.

    Columns without a name are f0_, f1_ and so on, as BigQuery names them. Raises `Unsupported`.
    """
    try:
        return _generated(statement, tables, temporary)
    except RecursionError:
        raise Unsupported("the statement nests too deeply for the embedded engine", "split it by WITH") from None


def _generated(statement: Any, tables: Mapping[str, str], temporary: Mapping[str, Any] | None) -> str:
    with reading("a query", statement) as fields:
        columns = fields.take("output_column_list", ())
        of = Scans(tables, temporary).relation(fields.need("query"))
        is_value_table = fields.take("is_value_table", False)
        fields.take("output_column_list")
    output = [(column.name, column.column) for column in columns]
    for _, column in output:
        duckdb_type(column.type)
        refuse_result(column.type)
    if is_value_table and kind_of(output[0][1].type) == "STRUCT":
        raise Unsupported("SELECT AS STRUCT or AS VALUE as the whole query has no form on the embedded engine",
                          "select its fields as columns")  # fmt: skip
    selected, unnamed = [], 0
    for name, column in output:
        shown = name
        if not name or name.startswith("$"):
            shown, unnamed = f"f{unnamed}_", unnamed + 1
        selected.append(f"{column_name(column)} AS {quoted(shown)}")
    return f"SELECT {', '.join(selected)} FROM {of.item}{of.order_by()}"
