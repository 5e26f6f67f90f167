"""What a SELECT means: its resolved tree and the types of its columns, or why BigQuery refuses it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergence_assets.warehouse.googlesql.catalog import Tables, analyzer_options, catalog
from convergence_assets.warehouse.googlesql.client import Refused, call
from convergence_assets.warehouse.googlesql.types import column_of
from convergence_assets.warehouse.schema import Column

if TYPE_CHECKING:
    from zetasql.wasi._pb2.zetasql.resolved_ast.resolved_ast_pb2 import ResolvedQueryStmtProto

_TAB = 8
_LINE_BREAK = re.compile(r"\r\n|\r|\n")  # what GoogleSQL counts; str.splitlines() knows others


@dataclass(frozen=True)
class Analysis:
    """A statement as GoogleSQL understands it; a column without a name has an empty one."""

    statement: "ResolvedQueryStmtProto"
    columns: tuple[Column, ...]


def analyzed(
    sql: str,
    tables: Tables,
    parameters: Mapping[str, str] | None = None,
    pseudo_columns: Tables | None = None,
) -> Analysis:
    """`parameters` are types by name. Raises `Refused` with the place in `sql`, counted as an editor does."""
    from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

    _encodable(sql)
    request = local_service_pb2.AnalyzeRequest(sql_statement=sql, options=analyzer_options(parameters or {}))
    request.simple_catalog.CopyFrom(catalog(tables, pseudo_columns))
    request.descriptor_pool_list.definitions.add().builtin.SetInParent()
    try:
        answer = call("Analyze", request, local_service_pb2.AnalyzeResponse)
    except Refused as refused:
        raise _placed(refused, sql) from None
    statement = answer.resolved_statement.resolved_query_stmt_node
    columns = tuple(column_of(_given(c.name), c.column.type) for c in statement.output_column_list)
    return Analysis(statement, columns)


def _given(name: str) -> str:
    return "" if name.startswith("$") else name


def _encodable(sql: str) -> None:
    """Raises `Refused` where half a surrogate pair stands, as YAML and JSON may hold."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        lines = _LINE_BREAK.split(sql[: error.start])
        raise Refused(3, "not a character of Unicode", len(lines), len(lines[-1]) + 1) from None


def _placed(refused: Refused, sql: str) -> Refused:
    """Its column without the blanks that GoogleSQL counts for a tab."""
    lines = _LINE_BREAK.split(sql)
    if not 0 < refused.line <= len(lines):
        return refused
    wide, column = 1, 1
    for character in lines[refused.line - 1]:
        if wide >= refused.column:
            break
        wide = (wide - 1) // _TAB * _TAB + _TAB + 1 if character == "\t" else wide + 1
        column += 1
    return Refused(refused.code, refused.message, refused.line, column)
