"""What a SELECT means: its resolved tree and the types of its columns, or why BigQuery refuses it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convergence_assets.warehouse.googlesql.catalog import Tables, analyzer_options, catalog, registration
from convergence_assets.warehouse.googlesql.client import Refused, call
from convergence_assets.warehouse.googlesql.types import column_of
from convergence_assets.warehouse.schema import Column
from convergence_assets.warehouse.statements import LINE_BREAK

if TYPE_CHECKING:
    from zetasql.wasi._pb2.zetasql.resolved_ast.resolved_ast_pb2 import (
        ResolvedCreateFunctionStmtProto,
        ResolvedQueryStmtProto,
    )

_TAB = 8
_OWN = "temporary"
_MAKES_FUNCTIONS = re.compile(
    r"(?:\s|--[^\n]*\n|#[^\n]*\n|/\*(?>.*?\*/))*+CREATE\s+(OR\s+REPLACE\s+)?TEMP", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Analysis:
    """A statement as GoogleSQL understands it; a column without a name has an empty one."""

    statement: "ResolvedQueryStmtProto"
    columns: tuple[Column, ...]
    functions: "Mapping[str, ResolvedCreateFunctionStmtProto]" = field(default_factory=dict)
    """Temporary SQL functions that the text makes before its SELECT, by name in lower case."""


def analyzed(
    sql: str,
    tables: Tables,
    parameters: Mapping[str, str] | None = None,
    pseudo_columns: Tables | None = None,
) -> Analysis:
    """`parameters` are types by name. Raises `Refused` with the place in `sql`, counted as an editor does."""
    from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

    _encodable(sql)
    request = local_service_pb2.AnalyzeRequest(options=analyzer_options(parameters or {}))
    request.simple_catalog.CopyFrom(catalog(tables, pseudo_columns))
    request.descriptor_pool_list.definitions.add().builtin.SetInParent()
    functions: dict[str, ResolvedCreateFunctionStmtProto] = {}
    try:
        if _MAKES_FUNCTIONS.match(sql):
            request.parse_resume_location.input = sql
            request.parse_resume_location.allow_resume = True
            while (next_statement := _next(request)).HasField("resolved_create_statement_node"):
                function = next_statement.resolved_create_statement_node.resolved_create_function_stmt_node
                functions[_declare_function(request.simple_catalog, function)] = function
            statement = next_statement.resolved_query_stmt_node
            if sql.encode()[request.parse_resume_location.byte_position :].strip(b"; \t\r\n"):
                raise Refused(3, "Expected one SELECT after the functions")
        else:
            request.sql_statement = sql
            if not tables:
                request.ClearField("simple_catalog")
            builtins = None if tables else registration
            answer = call("Analyze", request, local_service_pb2.AnalyzeResponse, builtins)
            statement = answer.resolved_statement.resolved_query_stmt_node
    except Refused as refused:
        raise _placed(refused, sql) from None
    columns = tuple(column_of(_column_name(c.name), c.column.type) for c in statement.output_column_list)
    return Analysis(statement, columns, functions)


def _next(request: Any) -> Any:
    """The next of several statements; the request is then after it."""
    from zetasql.wasi._pb2.zetasql.local_service import local_service_pb2

    answer = call("Analyze", request, local_service_pb2.AnalyzeResponse)
    request.parse_resume_location.byte_position = answer.resume_byte_position
    return answer.resolved_statement


def _declare_function(catalog: Any, function: "ResolvedCreateFunctionStmtProto") -> str:
    """Put the function where the next statement finds it; gives its name. Raises `Refused` for one that is not SQL's
    or that another session would see."""
    from zetasql.wasi._pb2.zetasql.public.function_pb2 import FunctionEnums

    name = str(function.parent.name_path[-1])
    if function.language != "SQL" or function.is_aggregate or not function.HasField("function_expression"):
        raise Refused(12, f"Function {name} is not one of SQL over values of given types")
    registered = catalog.custom_function.add(name_path=[name], group=_OWN)
    registered.mode = FunctionEnums.SCALAR
    registered.signature.add().CopyFrom(function.signature)
    return name.lower()


def _column_name(name: str) -> str:
    return "" if name.startswith("$") else name


def _encodable(sql: str) -> None:
    """Raises `Refused` for half of a surrogate pair, which YAML and JSON may hold."""
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        lines = LINE_BREAK.split(sql[: error.start])
        raise Refused(3, "not a character of Unicode", len(lines), len(lines[-1]) + 1) from None


def _placed(refused: Refused, sql: str) -> Refused:
    """Its column without the blanks that GoogleSQL counts for a tab; a function's name as it is written."""
    refused.message = refused.message.replace(f"{_OWN.upper()}:", "")
    lines = LINE_BREAK.split(sql)
    if not 0 < refused.line <= len(lines):
        return refused
    wide, column = 1, 1
    for character in lines[refused.line - 1]:
        if wide >= refused.column:
            break
        wide = (wide - 1) // _TAB * _TAB + _TAB + 1 if character == "\t" else wide + 1
        column += 1
    return Refused(refused.code, refused.message, refused.line, column)
